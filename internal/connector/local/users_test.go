package local_test

import (
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/connector"
	"dex/internal/connector/local"
	"dex/internal/store"
	"dex/internal/store/memory"
)

func hash(t *testing.T, password string) []byte {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestStoredUsers(t *testing.T) {
	s := memory.New()
	table := store.In(s, local.Kind)
	unverified := false
	for key, d := range map[string]local.User{
		"ann@example.com": {Email: "Ann@example.com", Hash: hash(t, "a"), UserID: "1", Username: "ann", Groups: []string{"g"}},
		"bob@example.com": {Email: "bob@example.com", Hash: hash(t, "b"), UserID: "2", Name: "Bob", Username: "b",
			PreferredUsername: "bobby", EmailVerified: &unverified},
		"file@example.com": {Email: "file@example.com", Hash: hash(t, "stored"), UserID: "9"},
		"slow@example.com": {Email: "slow@example.com", Hash: []byte("$2a$31$" + strings.Repeat("X", 53)), UserID: "4"},
		"mix@example.com":  {Email: "ann@example.com", Hash: hash(t, "x"), UserID: "1"},
	} {
		if _, err := table.Create(t.Context(), key, d); err != nil {
			t.Fatal(err)
		}
	}
	users := local.NewUsers(nil, s, slog.New(slog.DiscardHandler)).With([]*local.User{
		{Email: "File@Example.com", Hash: hash(t, "f"), UserID: "3", Username: "file"},
	}, local.Hashing{Cost: bcrypt.MinCost}, &local.Policy{})
	db := local.New(users)

	for _, c := range []struct {
		email, password string
		want            connector.Identity
		ok              bool
	}{
		{"ANN@example.com", "a", connector.Identity{UserID: "1", Username: "ann", EmailVerified: true}, true},
		{"ann@example.com", "b", connector.Identity{}, false},
		{"bob@example.com", "b", connector.Identity{UserID: "2", Username: "Bob", PreferredUsername: "bobby"}, true},
		{"file@example.com", "f", connector.Identity{UserID: "3", Username: "file", EmailVerified: true}, true},
		{"file@example.com", "stored", connector.Identity{}, false},
		{"nobody@example.com", "a", connector.Identity{}, false},
		{"", "a", connector.Identity{}, false},
	} {
		got, ok, err := db.Login(t.Context(), connector.Scopes{}, c.email, c.password)
		if err != nil || ok != c.ok || got.UserID != c.want.UserID || got.Username != c.want.Username ||
			got.PreferredUsername != c.want.PreferredUsername || got.EmailVerified != c.want.EmailVerified {
			t.Errorf("%s with %q: got %+v, %v and error %v", c.email, c.password, got, ok, err)
		}
	}
	if _, ok, err := db.Login(t.Context(), connector.Scopes{}, "mix@example.com", "x"); ok || err == nil {
		t.Errorf("a record that is somebody else's: got %v and error %v, want an error", ok, err)
	}
	if _, ok, err := db.Login(t.Context(), connector.Scopes{}, "slow@example.com", "x"); ok || err == nil {
		t.Errorf("a hash that would take for ever: got %v and error %v, want an error", ok, err)
	}

	if err := table.Delete(t.Context(), "ann@example.com", ""); err != nil {
		t.Fatal(err)
	}
	users.Forget(store.Change{Kind: "password", Key: "ann@example.com"})
	if _, ok, err := db.Login(t.Context(), connector.Scopes{}, "ann@example.com", "a"); ok || err != nil {
		t.Errorf("after the user was deleted: got %v and error %v", ok, err)
	}
}
