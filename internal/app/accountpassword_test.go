package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/connector/local"
	"dex/internal/identity"
	"dex/internal/session"
	"dex/internal/store"
)

// An owned server has a user in its storage, whose password is "the first one".
type owned struct {
	*server
	store store.Store
}

func startOwned(t *testing.T, more string) *owned {
	t.Helper()
	o := &owned{}
	o.server = startOn(t, withSessions+"sessions: {}\n"+more, func(s store.Store) store.Store {
		o.store = s
		return s
	})
	hash, err := bcrypt.GenerateFromPassword([]byte("the first one"), bcrypt.MinCost+6)
	if err != nil {
		t.Fatal(err)
	}
	put(t, o.store, local.Kind, "ann@example.com", local.User{Email: "ann@example.com", Hash: hash, UserID: "1", Username: "ann"})
	return o
}

// annLogin signs in with a password to a client, and returns the answer to the form.
func (b *browser) annLogin(client, password string) answer {
	b.t.Helper()
	form := b.visit(to(client, "connector_id", "local", "scope", "openid offline_access")).location().String()
	return b.post(form, url.Values{"login": {"ann@example.com"}, "password": {password}})
}

// age makes the sessions of all users as if they had begun some time ago.
func (o *owned) age(by time.Duration) {
	o.t.Helper()
	table := store.In(o.store, session.Kind)
	all, err := table.All(o.t.Context())
	if err != nil || len(all) == 0 {
		o.t.Fatal("no sessions", err)
	}
	for _, e := range all {
		_, err := table.UpdateEntry(o.t.Context(), e, func(s *session.Session) error {
			s.AuthTime = s.AuthTime.Add(-by)
			return nil
		})
		if err != nil {
			o.t.Fatal(err)
		}
	}
}

func TestAccountPassword(t *testing.T) {
	t.Parallel()
	o := startOwned(t, "")
	here, elsewhere := o.browser(), o.browser()
	here.redeem("shop", here.annLogin("shop", "the first one"))
	tokens := elsewhere.redeem("till", elsewhere.annLogin("till", "the first one"))

	if body := here.visit("/dex").body; !strings.Contains(body, `id="change-password"`) {
		t.Fatalf("no way to change the password:\n%s", body)
	}
	here.visit("/dex/account/password").wantStatus(http.StatusOK)
	change := func(current, password, again string) answer {
		return here.post("/dex/account/password", form("current", current, "new", password, "again", again))
	}
	for name, c := range map[string]struct {
		current, password, again string
		status                   int
		says                     string
	}{
		"wrong":     {"wrong", "quite another one", "quite another one", http.StatusUnauthorized, "The current password is wrong."},
		"different": {"the first one", "quite another one", "quite another on", http.StatusBadRequest, "The new passwords differ."},
		"short":     {"the first one", "short", "short", http.StatusBadRequest, "Choose a longer password"},
		"too long":  {"the first one", strings.Repeat("x", 5000), strings.Repeat("x", 5000), http.StatusBadRequest, "Choose a shorter password."},
	} {
		a := change(c.current, c.password, c.again).wantStatus(c.status)
		if !strings.Contains(a.body, c.says) || strings.Contains(a.body, "quite another one") || strings.Contains(a.body, "the first one") {
			t.Errorf("%s:\n%s", name, a.body)
		}
	}
	copied := here.copyOf()
	copied.visit(to("shop", "prompt", "none")).wantStatus(http.StatusSeeOther)
	if done := change("the first one", "quite another one", "quite another one").wantStatus(http.StatusSeeOther).location().String(); done != "/dex?done=password-changed" {
		t.Errorf("leads to %s", done)
	}

	if body := here.visit("/dex").body; !strings.Contains(body, "Your account") {
		t.Error("this session has ended")
	}
	copied.visit(to("shop", "prompt", "none")).wantRedirectError("login_required")
	elsewhere.visit(to("till", "prompt", "none")).wantRedirectError("login_required")
	o.token(refreshForm(tokens.text("refresh_token")), func(r *http.Request) { r.SetBasicAuth("till", "till-secret") }).
		wantError(http.StatusBadRequest, "invalid_grant")
	elsewhere.annLogin("till", "the first one").wantStatus(http.StatusUnauthorized)
	elsewhere.annLogin("till", "quite another one").wantStatus(http.StatusSeeOther)
}

// Guesses of the current password are counted with those at a login.
func TestAccountPasswordIsLimited(t *testing.T) {
	t.Parallel()
	o := startOwned(t, "")
	b := o.browser()
	b.redeem("shop", b.annLogin("shop", "the first one"))
	status := 0
	for range 20 {
		a := b.post("/dex/account/password", form("current", "wrong", "new", "quite another one", "again", "quite another one"))
		if status = a.status; status != http.StatusUnauthorized {
			break
		}
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("status %d", status)
	}
	o.browser().annLogin("till", "the first one").wantStatus(http.StatusTooManyRequests)
}

// Whoever hasn't proved lately who they are does so again, as the same user, and comes back.
func TestAccountAsksForFreshLogin(t *testing.T) {
	t.Parallel()
	o := startOwned(t, "")
	b := o.browser()
	b.redeem("shop", b.annLogin("shop", "the first one"))
	o.age(16 * time.Minute)
	post := b.post("/dex/account/password", form("current", "the first one", "new", "quite another one", "again", "quite another one"))
	page := post.wantStatus(http.StatusSeeOther).location().String()
	if !strings.HasPrefix(page, "/dex/account/password?") {
		t.Fatalf("the form leads to %s", page)
	}
	form := b.visit(page).wantStatus(http.StatusFound).location().String()
	if a := b.post(form, credentials()); !strings.Contains(a.body, "you have to log in again with the same account") {
		t.Errorf("another user: %d\n%s", a.status, a.body)
	}
	form = b.visit(page).wantStatus(http.StatusFound).location().String()
	back := b.post(form, url.Values{"login": {"ann@example.com"}, "password": {"the first one"}}).wantStatus(http.StatusSeeOther).location().String()
	if !strings.HasPrefix(back, "/dex/account/password?") {
		t.Fatalf("the login leads to %s", back)
	}
	b.visit(back).wantStatus(http.StatusOK)
	o.age(16 * time.Minute)
	if body := b.visit(back).wantStatus(http.StatusForbidden).body; !strings.Contains(body, "Log in again") {
		t.Errorf("it goes round in circles:\n%s", body)
	}
}

func TestAccountOfConfiguredUser(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "")
	b := s.browser()
	b.shopLogin()
	if body := b.visit("/dex").body; strings.Contains(body, "change-password") || !strings.Contains(body, "in the server’s configuration") {
		t.Errorf("the home page:\n%s", body)
	}
	a := b.post("/dex/account/password", form("current", "password", "new", "quite another one", "again", "quite another one"))
	if a.wantStatus(http.StatusConflict); !strings.Contains(a.body, "in the server’s configuration") {
		t.Errorf("the password page:\n%s", a.body)
	}
}

// A user who was deleted is signed out, and one who is blocked sees nothing else.
func TestAccountOfUserWhoIsGone(t *testing.T) {
	t.Parallel()
	o := startOwned(t, "")
	b := o.browser()
	b.redeem("shop", b.annLogin("shop", "the first one"))
	_, err := store.In(o.store, identity.Kind).Update(t.Context(), identity.Key("1", "local"), func(v *identity.Identity) error {
		v.BlockedUntil = time.Now().Add(time.Hour)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if body := b.visit("/dex").body; !strings.Contains(body, `id="blocked"`) || strings.Contains(body, `id="logins"`) || strings.Contains(body, `id="sessions"`) {
		t.Errorf("blocked:\n%s", body)
	}
	if done := b.own("sessions/end-others"); done != "" {
		t.Errorf("a blocked user has done %s", done)
	}
	if at := b.visit("/dex/account/password").wantStatus(http.StatusSeeOther).location().String(); at != "/dex" {
		t.Errorf("a blocked user may change the password: %s", at)
	}
	if err := store.In(o.store, local.Kind).Delete(t.Context(), "ann@example.com", ""); err != nil {
		t.Fatal(err)
	}
	b.server = startOn(t, withSessions+"sessions: {}\n", func(store.Store) store.Store { return o.store }) // which remembers nobody
	if body := b.visit("/dex").body; !strings.Contains(body, `id="login"`) {
		t.Errorf("deleted:\n%s", body)
	}
	if all, err := store.In(o.store, session.Kind).All(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%d sessions are left: %v", len(all), err)
	}
}
