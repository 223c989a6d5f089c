package app_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/app"
	"dex/internal/session"
	"dex/internal/store"
)

// askingSessions is startSessions where users are asked for consent.
func askingSessions(t *testing.T, section string) *server {
	t.Helper()
	return startWith(t, strings.Replace(withSessions, "skipApprovalScreen: true", "skipApprovalScreen: false", 1)+"sessions: {"+section+"}\n")
}

// copyOf returns a browser with the cookies that another one has now.
func (b *browser) copyOf() *browser {
	b.t.Helper()
	other := b.browser()
	at := &url.URL{Scheme: "http", Host: "dex.test", Path: "/dex/"}
	other.jar.SetCookies(at, b.jar.Cookies(at))
	return other
}

// An answer to the consent page that is given again after a logout signs nobody in.
func TestConsentAfterLogout(t *testing.T) {
	t.Parallel()
	s := askingSessions(t, "")
	b := s.browser()
	form := b.visit(to("shop", "connector_id", "local")).wantStatus(http.StatusFound).location().String()
	consent := b.post(form, credentials()).wantStatus(http.StatusSeeOther).path()
	before := b.copyOf()
	tokens := b.redeem("shop", b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther))
	b.post("/dex/logout", url.Values{"id_token_hint": {tokens.text("id_token")}}).wantStatus(http.StatusOK)
	b.visit(to("shop", "prompt", "none")).wantRedirectError("login_required")
	for name, again := range map[string]*browser{"the same browser": b, "a browser with its old cookies": before} {
		again.post(consent, url.Values{"approval": {"approve"}})
		again.visit(to("shop", "prompt", "none")).wantRedirectError("login_required")
		if t.Failed() {
			t.Fatalf("%s is signed in again", name)
		}
	}
}

// asking is a server with sessions that asks its users for consent, and a browser that is signed in to the shop.
func asking(t *testing.T, changes ...string) (kept, *browser) {
	t.Helper()
	k := startKept(t, "", append(changes, "skipApprovalScreen: true", "skipApprovalScreen: false")...)
	b := k.browser()
	form := b.visit(to("shop", "connector_id", "local")).wantStatus(http.StatusFound).location().String()
	consent := b.post(form, credentials()).wantStatus(http.StatusSeeOther).path()
	b.redeem("shop", b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther))
	return k, b
}

// change changes the only session that there is.
func (k kept) change(change func(*session.Session)) {
	k.t.Helper()
	table := store.In(k.store, session.Kind)
	all, err := table.List(k.t.Context(), store.Query{Limit: 10})
	if err != nil || len(all) != 1 {
		k.t.Fatalf("%d sessions, %v", len(all), err)
	}
	if _, err := table.Update(k.t.Context(), all[0].Key, func(v *session.Session) error { change(v); return nil }); err != nil {
		k.t.Fatal(err)
	}
}

// Of many tabs that sign in at once, any one's cookie may be the one that the browser keeps. Later sign-ins leave none of them.
func TestManyTabsSignInAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := startKept(t, "")
		b := k.browser()
		b.shopLogin()
		signIn := func() {
			path := b.visit(to("shop", "connector_id", "mock", "prompt", "login")).wantStatus(http.StatusFound).path()
			b.redeem("shop", b.visit(path).wantStatus(http.StatusSeeOther))
		}
		signIn()
		first := b.copyOf()
		for range 40 {
			signIn()
		}
		time.Sleep(2 * time.Minute)
		first.redeem("shop", first.visit(to("shop", "connector_id", "mock", "prompt", "none")).wantStatus(http.StatusSeeOther))
		signIn()
		time.Sleep(2 * time.Minute)
		first.visit(to("shop", "connector_id", "mock", "prompt", "none")).wantRedirectError("login_required")
		signIn()
		all, err := store.In(k.store, session.Kind).List(t.Context(), store.Query{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if n := len(e.Value.Secrets); n > 2 {
				t.Errorf("%d secrets are left", n)
			}
		}
	})
}

// A consent page that was open while the session ceased to be shared leads nowhere.
func TestConsentAfterSharing(t *testing.T) {
	t.Parallel()
	k, b := asking(t)
	consent := b.visit(to("till")).wantStatus(http.StatusSeeOther).path()
	k.change(func(v *session.Session) { v.Clients = map[string]session.Participation{"store": v.Clients["shop"]} })
	b.post(consent, url.Values{"approval": {"approve"}}).wantRedirectError("login_required")
}

// A session that a replica has written whose clock is ahead is as old as any other for max_age=0.
func TestMaxAgeOfZero(t *testing.T) {
	t.Parallel()
	k := startKept(t, "")
	b := k.browser()
	b.shopLogin()
	k.change(func(v *session.Session) { v.AuthTime = time.Now().Add(time.Minute) })
	b.visit(to("shop", "prompt", "none", "max_age", "0")).wantRedirectError("login_required")
	b.redeem("shop", b.visit(to("shop", "prompt", "none", "max_age", "1")).wantStatus(http.StatusSeeOther))
}

// beforeDelete does something before the first session is removed.
type beforeDelete struct {
	store.Store
	do func()
}

func (s *beforeDelete) Delete(ctx context.Context, kind, key, revision string) error {
	if do := s.do; do != nil && kind == session.Kind.Name() {
		s.do = nil
		do()
	}
	return s.Store.Delete(ctx, kind, key, revision)
}

// An application that begins to use a session while it ends is told too.
func TestLogoutMeetsLogin(t *testing.T) {
	t.Parallel()
	k, racing := kept{}, &beforeDelete{}
	yaml := strings.Replace(withSessions, "  ssoSharedWith: [store]", "  ssoSharedWith: [store]\n  backchannelLogoutURI: https://till.test/out", 1)
	k.server = startOn(t, yaml+"sessions: {}\n", func(inner store.Store) store.Store {
		k.store, racing.Store = inner, inner
		return racing
	})
	b := k.browser()
	hint := b.shopLogin().text("id_token")
	other := b.copyOf()
	racing.do = func() { other.visit(to("till")).wantStatus(http.StatusSeeOther) }
	b.visit("/dex/logout?" + url.Values{"id_token_hint": {hint}}.Encode()).wantStatus(http.StatusOK)
	b.visit(to("shop", "prompt", "none")).wantRedirectError("login_required")
	if told := k.told(); told != "till" {
		t.Errorf("%q are told", told)
	}
}

// Nothing that signs somebody in or out is in the log, whatever comes.
func TestSessionSecretsAreNotLogged(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	yaml := strings.Replace(withSessions, "skipApprovalScreen: true", "skipApprovalScreen: false", 1) + "sessions: {}\n"
	core := open(t, yaml, nil, func(o *app.Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	s := &server{t: t, handler: core.Handler()}
	b := s.browser()
	form := b.visit(to("shop", "connector_id", "local")).wantStatus(http.StatusFound).location().String()
	consent := b.post(form, credentials()).wantStatus(http.StatusSeeOther).path()
	answer := b.post(consent, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther)
	tokens := b.redeem("shop", answer)
	secrets := []string{
		answer.location().Query().Get("code"), tokens.text("id_token"), tokens.text("access_token"), tokens.text("refresh_token"), consent,
	}
	for _, c := range b.jar.Cookies(&url.URL{Scheme: "http", Host: "dex.test", Path: "/dex/"}) {
		if c.Name != "dex_connector" {
			secrets = append(secrets, c.Value)
		}
	}
	b.visit(to("shop", "prompt", "none"))
	b.visit("/dex/logout?" + url.Values{"id_token_hint": {tokens.text("id_token") + "x"}}.Encode())
	b.post("/dex/logout", url.Values{"dex_logout": {"forged-answer"}})
	b.visit("/dex/logout/callback?state=forged-state")
	b.visit("/dex/logout/mock?logout_token=forged-token")
	b.post("/dex/logout", url.Values{"id_token_hint": {tokens.text("id_token")}}).wantStatus(http.StatusOK)
	s.token(refreshForm(tokens.text("refresh_token")), asShop).wantError(http.StatusBadRequest, "invalid_grant")
	text := log.take()
	if !strings.Contains(text, "session") {
		t.Fatalf("the log says nothing of sessions: %s", text)
	}
	for _, secret := range append(secrets, "forged-answer", "forged-state", "forged-token") {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

// A neighbour in the domain that gives the browser a second cookie, with an account of its own, keeps nobody from signing out.
func TestLogoutWithTwoCookies(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "")
	b, neighbour := s.browser(), s.browser()
	hint := b.shopLogin().text("id_token")
	neighbour.shopLogin()
	at := &url.URL{Scheme: "http", Host: "dex.test", Path: "/dex/"}
	r := httptest.NewRequest(http.MethodGet, "http://dex.test/dex/logout?"+url.Values{"id_token_hint": {hint}}.Encode(), nil)
	for _, c := range append(neighbour.jar.Cookies(at), b.jar.Cookies(at)...) {
		r.AddCookie(c)
	}
	cookies := (&http.Response{Header: s.do(r).wantStatus(http.StatusOK).header}).Cookies()
	for _, c := range cookies {
		if c.Name == "dex_session" && c.Value != "" {
			t.Error("the browser gets the neighbour's account")
		}
	}
	b.visit(to("shop", "prompt", "none")).wantRedirectError("login_required")
	neighbour.redeem("shop", neighbour.visit(to("shop", "prompt", "none")).wantStatus(http.StatusSeeOther))
}

// A provider's form without the state comes without our cookies, too. It is sent once more, but no more than that.
func TestLogoutAnswerWithoutState(t *testing.T) {
	t.Parallel()
	b := startSessions(t, "").browser()
	for body, status := range map[string]int{"SAMLResponse=x": http.StatusOK, "SAMLResponse=x&dex_reposted=1": http.StatusBadRequest} {
		r := httptest.NewRequest(http.MethodPost, "http://dex.test/dex/logout/callback", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		shown := b.send(r).wantStatus(status).body
		if again := strings.Contains(shown, `action="/dex/logout/callback"`); again != (status == http.StatusOK) {
			t.Errorf("%s: the form is sent again: %t", body, again)
		}
	}
}
