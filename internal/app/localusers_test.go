package app_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/connector/local"
	"dex/internal/store"
)

// Hashes become those that the configuration says, as their users sign in.
func TestPasswordHashesAreRenewed(t *testing.T) {
	old, err := bcrypt.GenerateFromPassword([]byte("geheim"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	newer, err := local.Hashing{Argon2id: true}.Hash("geheim")
	if err != nil {
		t.Fatal(err)
	}
	for settings, argon2id := range map[string]bool{
		"": true, "localUsers: {passwordHash: argon2id}\n": true, "localUsers: {passwordHash: bcrypt}\n": false,
	} {
		s, stored := startStored(t, configuration+settings)
		for email, hash := range map[string]local.Hash{"old@example.com": old, "new@example.com": newer} {
			put(t, stored, local.Kind, email, local.User{Email: email, Hash: hash, UserID: email})
			b := s.browser()
			form := b.passwordForm()
			b.post(form, url.Values{"login": {email}, "password": {"falsch"}}).wantStatus(http.StatusUnauthorized)
			for range 2 {
				b := s.browser()
				b.signIn(b.passwordForm(), url.Values{"login": {email}, "password": {"geheim"}}, map[string]any{"email": email})
			}
			e, err := store.In(stored, local.Kind).Get(t.Context(), email)
			if err != nil || e.Value.Hash.IsArgon2id() != argon2id || e.Value.UserID != email {
				t.Errorf("%q: %s has the hash %.20s, %v", settings, email, e.Value.Hash, err)
			}
		}
	}
}

// A user of the configuration may have either hash.
func TestConfiguredArgon2id(t *testing.T) {
	long := strings.Repeat("a long password ", 10)
	hash, err := local.Hashing{Argon2id: true}.Hash(long)
	if err != nil {
		t.Fatal(err)
	}
	before, after, _ := strings.Cut(configuration, "staticPasswords:\n")
	s := startWith(t, before+"staticPasswords:\n- {email: long@example.com, userID: '7', hash: '"+string(hash)+"'}\n"+after)
	b := s.browser()
	form := b.passwordForm()
	b.post(form, url.Values{"login": {"long@example.com"}, "password": {long + "x"}}).wantStatus(http.StatusUnauthorized)
	b.post(form, url.Values{"login": {"long@example.com"}, "password": {long[:72]}}).wantStatus(http.StatusUnauthorized)
	b.signIn(form, url.Values{"login": {"long@example.com"}, "password": {long}}, map[string]any{"email": "long@example.com"})
}

// Without the list that people's passwords are to be checked by, the server doesn't start.
func TestBreachedListAtTheStart(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list.txt")
	yaml := configuration + "localUsers: {passwords: {breachedList: '" + list + "'}}\n"
	plan, problems := app.Check(config.Source{Name: "dex.yaml", Data: []byte(yaml), Files: config.NewFiles()})
	want := "localUsers.passwords.breachedList: can't open " + list + ": no such file or directory"
	if mistakes := problems.Errors(); plan != nil || len(mistakes) != 1 || !strings.HasSuffix(mistakes[0].String(), want) || mistakes[0].Line == 0 {
		t.Errorf("without the list: %v, want %s", problems, want)
	}
	if err := os.WriteFile(list, []byte("password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if plan, problems := app.Check(config.Source{Name: "dex.yaml", Data: []byte(yaml), Files: config.NewFiles()}); plan == nil {
		t.Errorf("with the list: %v", problems)
	}
}
