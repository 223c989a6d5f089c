package app_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// accountLogin signs in to the account with a password.
func (b *browser) accountLogin() {
	b.t.Helper()
	if a := b.provePassword(b.visit("/dex/account/login").wantStatus(http.StatusOK)); a.location().String() != "/dex" {
		b.t.Errorf("leads to %s", a.location())
	}
}

// provePassword goes on from the choice of connectors with a password.
func (b *browser) provePassword(choice answer) answer {
	b.t.Helper()
	_, link, ok := strings.Cut(choice.body, `href="/dex/auth/local?`)
	if !ok {
		b.t.Fatalf("no way to the password form:\n%s", choice.body)
	}
	link, _, _ = strings.Cut(link, `"`)
	form := b.visit("/dex/auth/local?" + html.UnescapeString(link)).wantStatus(http.StatusFound).location().String()
	return b.post(form, credentials()).wantStatus(http.StatusSeeOther)
}

// ownID returns the id that the first form of the home page names; empty if there is no form.
func (b *browser) ownID() string {
	b.t.Helper()
	_, id, ok := strings.Cut(b.visit("/dex").wantStatus(http.StatusOK).body, `name="account" value="`)
	if !ok {
		return ""
	}
	id, _, _ = strings.Cut(id, `"`)
	return id
}

// own posts a form of the account, and returns the word for what is done.
func (b *browser) own(path string, pairs ...string) string {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.post("/dex/account/"+path, form).wantStatus(http.StatusSeeOther).location().Query().Get("done")
}

func TestAccountLogin(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "")
	b := s.browser()
	if body := b.visit("/dex").wantStatus(http.StatusOK).body; !strings.Contains(body, `href="/dex/account/login"`) {
		t.Fatalf("no way to log in:\n%s", body)
	}
	b.accountLogin()
	body := b.visit("/dex").body
	for _, want := range []string{"Your account", "admin@example.com", `id="sessions"`, "This browser"} {
		if !strings.Contains(body, want) {
			t.Errorf("the home page lacks %q", want)
		}
	}
	if strings.Contains(body, `id="logins"`) || strings.Contains(body, `id="consents"`) {
		t.Error("the home page has sections without anything in them")
	}
	b.visit(to("shop", "prompt", "none")).wantRedirectError("login_required")
}

func TestAccountEndsSessions(t *testing.T) {
	t.Parallel()
	a := startAdministered(t, "")
	here := a.browser()
	here.accountLogin()
	other := a.signIn("shop", "till")
	third := a.signIn("store")

	body := here.visit("/dex").body
	for _, want := range []string{other, third, "Shop", "Till", "Store", `id="end-others"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the home page lacks %q", want)
		}
	}
	if done := here.own("sessions/end", "session", other); done != "session-ended" {
		t.Errorf("done: %q", done)
	}
	a.wantTold("shop "+other, "till "+other)
	if done := here.own("sessions/end", "session", other); done != "gone" {
		t.Errorf("ended twice: %q", done)
	}
	if done := here.own("sessions/end-others"); done != "sessions-ended" {
		t.Errorf("done: %q", done)
	}
	a.wantTold("store " + third)
	if body = here.visit("/dex?done=sessions-ended").body; strings.Contains(body, third) || !strings.Contains(body, "All other sessions have ended.") {
		t.Errorf("the home page afterwards:\n%s", body)
	}
}

// mockUser signs in as the user of the source mock, who is somebody else.
func (b *browser) mockUser(clientID string) {
	b.t.Helper()
	b.redeem(clientID, b.visit(b.visit(to(clientID, "connector_id", "mock")).wantStatus(http.StatusFound).path()).wantStatus(http.StatusSeeOther))
}

func TestAccountOfSomebodyElse(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "")
	victim := s.browser()
	tokens := victim.shopLogin("scope", "openid offline_access")
	sessionID, _ := claims(t, tokens.text("id_token"))["sid"].(string)
	login := victim.visit("/dex").body
	_, login, _ = strings.Cut(login, `name="login" value="`)
	login, _, _ = strings.Cut(login, `"`)

	thief := s.browser()
	thief.mockUser("shop")
	if thief.ownID() == "" || login == "" || sessionID == "" {
		t.Fatal("nobody is logged in")
	}
	for path, form := range map[string][]string{
		"sessions/end": {"session", sessionID}, "logins/end": {"login", login}, "consents/withdraw": {"client", "shop"},
	} {
		if done := thief.own(path, form...); done != "gone" {
			t.Errorf("%s: %q", path, done)
		}
		if done := thief.own(path, append(form, "account", sessionID)...); done != "" {
			t.Errorf("%s in the victim's name: %q", path, done)
		}
	}
	if done := thief.own("sessions/end-others", "account", sessionID); done != "" {
		t.Errorf("all sessions in the victim's name: %q", done)
	}
	if victim.ownID() != sessionID {
		t.Error("the victim's session has ended")
	}
	s.token(refreshForm(tokens.text("refresh_token")), func(r *http.Request) { r.SetBasicAuth("shop", "shop-secret") }).wantStatus(http.StatusOK)
	foreign := httptest.NewRequest(http.MethodPost, "http://dex.test/dex/account/sessions/end-others", strings.NewReader("account="+sessionID))
	foreign.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	if a := victim.send(foreign); a.status != http.StatusForbidden {
		t.Errorf("another site's form: %d", a.status)
	}
}

func TestAccountEndsLogins(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "")
	b := s.browser()
	tokens := b.redeem("till", b.post(b.visit(to("till", "connector_id", "local", "scope", "openid offline_access")).location().String(), credentials()))
	_, login, ok := strings.Cut(b.visit("/dex").body, `name="login" value="`)
	if !ok {
		t.Fatal("the login is not on the page")
	}
	login, _, _ = strings.Cut(login, `"`)
	userInfo := func() int {
		r := httptest.NewRequest(http.MethodGet, "http://dex.test/dex/userinfo", nil)
		r.Header.Set("Authorization", "Bearer "+tokens.text("access_token"))
		return s.do(r).status
	}
	if got := userInfo(); got != http.StatusOK {
		t.Fatalf("UserInfo before: %d", got)
	}
	if done := b.own("logins/end", "login", login); done != "login-ended" {
		t.Errorf("done: %q", done)
	}
	s.token(refreshForm(tokens.text("refresh_token")), func(r *http.Request) { r.SetBasicAuth("till", "till-secret") }).
		wantError(http.StatusBadRequest, "invalid_grant")
	if got := userInfo(); got != http.StatusUnauthorized {
		t.Errorf("UserInfo afterwards: %d", got)
	}
	if body := b.visit("/dex").body; strings.Contains(body, `id="logins"`) {
		t.Error("the login is still on the page")
	}
}

func TestAccountWithdrawsConsent(t *testing.T) {
	t.Parallel()
	s := startWith(t, strings.Replace(withSessions, "skipApprovalScreen: true, ", "", 1)+"sessions: {}\n")
	b := s.browser()
	page := b.post(b.visit(to("till", "connector_id", "local", "scope", "openid email")).location().String(), credentials()).location().String()
	b.redeem("till", b.post(page, form("approval", "approve")).wantStatus(http.StatusSeeOther))
	b.redeem("till", b.visit(to("till", "scope", "openid email")).wantStatus(http.StatusSeeOther))
	if body := b.visit("/dex").body; !strings.Contains(body, "See your email address") {
		t.Errorf("the consent is not on the page:\n%s", body)
	}
	if done := b.own("consents/withdraw", "client", "till"); done != "consent-withdrawn" {
		t.Errorf("done: %q", done)
	}
	if at := b.visit(to("till", "scope", "openid email")).location().Path; at != "/dex/approval" {
		t.Errorf("asked again? %s", at)
	}
	if done := b.own("consents/withdraw", "client", "till"); done != "gone" {
		t.Errorf("withdrawn twice: %q", done)
	}
}

func TestAccountSharesItsSession(t *testing.T) {
	t.Parallel()
	for share, shared := range map[string]bool{"none": false, "all": true} {
		s := startSessions(t, "ssoSharedWithDefault: "+share)
		b := s.browser()
		b.accountLogin()
		// The account is no application: one that says nothing gets in if the configuration says that all share.
		a := b.visit(to("shop", "prompt", "none"))
		if code := a.location().Query().Get("code"); (code != "") != shared {
			t.Errorf("%s: %s", share, a.location())
		}
	}
}

func TestAccountSwitches(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "")
	b := s.browser()
	b.accountLogin()
	choice := b.visit("/dex/account/login?another=1").wantStatus(http.StatusOK)
	_, link, _ := strings.Cut(choice.body, `href="/dex/auth/mock?`)
	link, _, _ = strings.Cut(link, `"`)
	b.visit(b.visit("/dex/auth/mock?" + html.UnescapeString(link)).path()).wantStatus(http.StatusSeeOther)
	// The only form on the page names the other account.
	first := b.ownID()
	if body := b.visit("/dex").body; first == "" || !strings.Contains(body, "kilgore@kilgore.trout") {
		t.Fatalf("there is only one account:\n%s", body)
	}
	b.own("switch", "account", first)
	if second := b.ownID(); second == first || second == "" {
		t.Errorf("the other account is %q, and was %q", second, first)
	}
}

func TestAccountHidden(t *testing.T) {
	t.Parallel()
	s := startWith(t, withSessions+"sessions: {}\naccount: {hidden: true}\n")
	b := s.browser()
	if body := b.visit("/dex").body; strings.Contains(body, "account/login") {
		t.Error("there is a way to log in")
	}
	b.shopLogin()
	if body := b.visit("/dex").body; !strings.Contains(body, "You are logged in") || strings.Contains(body, `id="sessions"`) {
		t.Errorf("the home page:\n%s", body)
	}
	for _, path := range []string{"login", "totp", "switch"} {
		b.visit("/dex/account/" + path).wantStatus(http.StatusNotFound)
	}
}
