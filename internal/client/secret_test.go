package client

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"dex/internal/event"
	"dex/internal/limit"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// with returns a registry with stored clients.
func with(t *testing.T, documents ...Client) (*Registry, store.Store) {
	t.Helper()
	s := memory.New()
	table := store.In(s, Kind)
	for _, d := range documents {
		if _, err := table.Create(t.Context(), d.ID, d); err != nil {
			t.Fatal(err)
		}
	}
	return NewRegistry([]*Client{{ID: "static", Secret: "of the file"}}, s, limit.NewSet(), slog.New(slog.DiscardHandler)), s
}

func authenticate(r *Registry, id, secret string) error {
	body := url.Values{"client_id": {id}, "client_secret": {secret}}.Encode()
	req := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := req.ParseForm(); err != nil {
		return err
	}
	_, err := r.Authenticate(req, event.Discard)
	return err
}

func TestStoredClientsSecret(t *testing.T) {
	hashed := HashSecret("correct horse")
	const long = "a secret of more than thirty-two characters"
	r, _ := with(t,
		Client{ID: "hashed", Secret: hashed}, Client{ID: "clear", Secret: "written by hand"},
		Client{ID: "long", Secret: HashSecret(long)}, Client{ID: "public", Public: true}, Client{ID: "forgotten"},
		Client{ID: "static", Secret: "hidden"},
		Client{ID: "broken", Secret: hashPrefix + "100000$%$%"}, Client{ID: "endless", Secret: hashPrefix + "100000000$YQ$YQ"},
	)
	for _, c := range []struct {
		id, secret string
		ok         bool
	}{
		{"hashed", "correct horse", true}, {"hashed", "correct horse", true}, {"hashed", "wrong", false},
		{"hashed", "", false}, {"hashed", hashed, false},
		{"long", long, true}, {"long", long[:32], false}, {"long", long + " ", false},
		{"clear", "written by hand", true}, {"clear", "", false},
		{"public", "", true}, {"public", "x", false}, {"forgotten", "", false}, {"forgotten", "x", false},
		{"static", "of the file", true}, {"static", "hidden", false},
		{"broken", "", false}, {"broken", "x", false}, {"endless", "x", false}, {"nobody", "x", false}, {"", "", false},
	} {
		if err := authenticate(r, c.id, c.secret); (err == nil) != c.ok {
			t.Errorf("%s with %q: got error %v, want success %v", c.id, c.secret, err, c.ok)
		}
	}
}

func TestHashSecret(t *testing.T) {
	if got := HashSecret(""); got != "" {
		t.Errorf("of no secret: got %q", got)
	}
	a, b := HashSecret("secret"), HashSecret("secret")
	if a == b || strings.Contains(a, "secret") || !IsHashed(a) {
		t.Errorf("got %q and %q", a, b)
	}
}

func TestChangedClientIsReadAgain(t *testing.T) {
	r, s := with(t, Client{ID: "app", Secret: "first"})
	if err := authenticate(r, "app", "first"); err != nil {
		t.Fatal(err)
	}
	_, err := store.In(s, Kind).Update(t.Context(), "app", func(d *Client) error { d.Secret = "second"; return nil })
	if err != nil {
		t.Fatal(err)
	}
	r.Forget(store.Change{Kind: "client", Key: "app"})
	if err := authenticate(r, "app", "second"); err != nil {
		t.Error(err)
	}
	if err := authenticate(r, "app", "first"); err == nil {
		t.Error("the old secret is still taken")
	}
}
