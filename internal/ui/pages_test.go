package ui_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"dex/internal/ui"
)

// A handler shows one of the pages.
type handler = http.HandlerFunc

func loginPage(u *ui.UI, p ui.LoginPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.Login(w, r, p) }
}

func passwordPage(u *ui.UI, status int, p ui.PasswordPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.Password(w, r, status, p) }
}

func approvalPage(u *ui.UI, p ui.ApprovalPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.Approval(w, r, p) }
}

func errorPage(u *ui.UI, status int, p ui.ErrorPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.Error(w, r, status, p) }
}

func homePage(u *ui.UI, p ui.HomePage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.Home(w, r, p) }
}

// allPages has every page with everything on it, and the title it should have.
func allPages(u *ui.UI) map[string]struct {
	show   handler
	status int
	title  string
} {
	signedIn := time.Date(2026, time.November, 22, 12, 23, 0, 0, time.UTC)
	return map[string]struct {
		show   handler
		status int
		title  string
	}{
		"login": {loginPage(u, ui.LoginPage{
			Client: "Grafana", Connectors: []ui.ConnectorLink{{ID: "ldap", Name: "LDAP", URL: "/dex/auth/ldap", Type: "ldap"}},
		}), http.StatusOK, "Log in · dex"},
		"password": {passwordPage(u, http.StatusUnauthorized, ui.PasswordPage{
			PostURL: "/dex/auth/local/login?state=x", BackLink: "/dex/auth", Username: "jane", UsernamePrompt: "Email",
			Invalid: true, ShowRememberMe: true, RememberMeChecked: true, Client: "Grafana", Connector: "LDAP",
		}), http.StatusUnauthorized, "Log in · dex"},
		"approval": {approvalPage(u, ui.ApprovalPage{
			User: "jane", Client: "Grafana", AuthReqID: "x", RequestedScopes: []string{"openid", "email"},
			Email: "jane@example.com", Connector: "LDAP", ClientLogoURL: "https://example.com/l.png", OtherAccountURL: "/o",
		}), http.StatusOK, "Allow access · dex"},
		"oob": {func(w http.ResponseWriter, r *http.Request) { u.OOB(w, r, ui.OOBPage{Code: "abc"}) },
			http.StatusOK, "Copy your code · dex"},
		"error": {errorPage(u, http.StatusBadRequest, ui.ErrorPage{
			ErrMsg: "It expired.", Hint: "Start again.", RequestID: "r-1", RetryURL: "/dex/auth",
		}), http.StatusBadRequest, "We can’t continue from here · dex"},
		"not found": {u.NotFound, http.StatusNotFound, "Page not found · dex"},
		"home": {homePage(u, ui.HomePage{DiscoveryURL: "https://x/.well-known/openid-configuration"}),
			http.StatusOK, "dex"},
		"home, signed in": {homePage(u, ui.HomePage{
			LoggedIn: true, Username: "jane", Email: "jane@example.com", Groups: []string{"a"}, ConnectorName: "LDAP",
			SignedIn: signedIn, SessionExpires: signedIn.Add(time.Hour), IPAddress: "192.0.2.1", UserAgent: "x",
			LogoutURL: "/dex/logout", DiscoveryURL: "https://x/.well-known/openid-configuration", Others: []ui.Account{{Name: "bob"}},
		}), http.StatusOK, "dex"},
		"accounts": {accountsPage(u, ui.AccountsPage{Client: "Grafana", Accounts: []ui.Account{{Name: "jane", URL: "/a"}}, AnotherURL: "/b"}),
			http.StatusOK, "Choose an account · dex"},
		"logout question": {logoutPage(u, ui.LogoutPage{ShowConfirmation: true, User: ui.Account{Name: "jane"}, Others: []ui.Account{{Name: "bob"}}}),
			http.StatusOK, "Log out · dex"},
		"logged out":    {logoutPage(u, ui.LogoutPage{LoggedOut: true, StillOpen: []string{"Wiki"}}), http.StatusOK, "Log out · dex"},
		"logout frames": {frontchannelPage(u, ui.FrontchannelPage{NextURL: "/x", Frames: []ui.Frame{{URL: "https://x.test/", Client: "Wiki"}}}), http.StatusOK, "Log out · dex"},
		"code": {totpPage(u, ui.TOTPPage{PostURL: "/x", Issuer: "Acme", Invalid: true, RecoveryURL: "/r", OtherURL: "/o"}),
			http.StatusUnauthorized, "Enter your code · dex"},
		"app to set up": {totpPage(u, setup("/x")), http.StatusUnauthorized, "Set up an authenticator app · dex"},
		"key":           {webAuthnPage(u, "login"), http.StatusOK, "Use your security key or passkey · dex"},
		"key to add":    {webAuthnPage(u, "register"), http.StatusOK, "Add a security key or a passkey · dex"},
		"recovery code": {recoveryPage(u, ui.RecoveryPage{PostURL: "/x", Invalid: true, OtherURL: "/o"}), http.StatusUnauthorized, "Use a recovery code · dex"},
		"recovery codes": {recoveryCodesPage(u, ui.RecoveryCodesPage{Codes: []string{"AAAA-BBBB"}, PostURL: "/x", Account: "jane"}),
			http.StatusOK, "Save your recovery codes · dex"},
		"factors": {factorChoicePage(u, ui.FactorChoicePage{Options: []ui.FactorOption{{Kind: ui.FactorTOTP, Name: "work", URL: "/x"}}}),
			http.StatusOK, "Confirm that it’s you · dex"},
		"factors to set up": {factorChoicePage(u, ui.FactorChoicePage{SettingUp: true, Options: []ui.FactorOption{{Kind: ui.FactorWebAuthn, URL: "/x"}}}),
			http.StatusOK, "Protect your account · dex"},
		"forgotten password": {resetPage(u, ui.ResetPage{PostURL: "/x", Email: "jane", Message: "No.", BackURL: "/b", Minutes: 30}),
			http.StatusOK, "Forgot your password? · dex"},
		"mail sent":         {resetPage(u, ui.ResetPage{Email: "jane@example.com", Sent: true, Minutes: 30}), http.StatusOK, "Check your email · dex"},
		"new password":      {newPasswordPage(u, ui.NewPasswordPage{PostURL: "/x", Username: "jane", Message: "No."}), http.StatusBadRequest, "Set a new password · dex"},
		"invitation":        {newPasswordPage(u, ui.NewPasswordPage{PostURL: "/x", Username: "jane", Invited: true}), http.StatusBadRequest, "Choose a password · dex"},
		"new password, set": {passwordSetPage(u, ui.PasswordSetPage{LoginURL: "/x", Incomplete: true}), http.StatusOK, "Your password is set · dex"},
		"elsewhere":         {elsewherePage(u, ui.ElsewherePage{Link: "https://x/y"}), http.StatusForbidden, "Open this link in another browser · dex"},
		"address":           {verifyPage(u, ui.VerifyPage{PostURL: "/x", Email: "jane@example.com"}), http.StatusOK, "Is this your email address? · dex"},
		"verified":          {verifyPage(u, ui.VerifyPage{Email: "jane@example.com", Done: true, HomeURL: "/"}), http.StatusOK, "Your email address is confirmed · dex"},
	}
}

func TestResponse(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	for name, page := range allPages(u) {
		t.Run(name, func(t *testing.T) {
			w := show(t, "/dex/auth", page.show)
			if w.Code != page.status {
				t.Errorf("status %d, want %d", w.Code, page.status)
			}
			for header, want := range map[string]string{
				"Content-Type":   "text/html; charset=utf-8",
				"Cache-Control":  "no-store",
				"Content-Length": strconv.Itoa(w.Body.Len()),
			} {
				if got := w.Header().Get(header); got != want {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
		})
	}
}

// What a screen reader needs, and what a strict content security policy forbids.
func TestStructure(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	for name, page := range allPages(u) {
		t.Run(name, func(t *testing.T) {
			doc := document(t, page.show)
			if got := attr(one(t, "html", tags(doc, "html")), "lang"); got != "en" {
				t.Errorf("lang %q", got)
			}
			if got := text(one(t, "title", tags(doc, "title"))); got != page.title {
				t.Errorf("title %q, want %q", got, page.title)
			}
			for _, landmark := range []string{"header", "main", "h1"} {
				one(t, landmark, tags(doc, landmark))
			}
			for _, img := range tags(doc, "img") {
				if !hasAttr(img, "alt") {
					t.Errorf("image %s has no alt", attr(img, "src"))
				}
			}
			checkLabels(t, doc)
			checkPolicy(t, doc)
		})
	}
}

func checkLabels(t *testing.T, doc *html.Node) {
	t.Helper()
	for _, input := range tags(doc, "input") {
		if attr(input, "type") == "hidden" {
			continue
		}
		labels := find(doc, func(n *html.Node) bool { return n.Data == "label" && attr(n, "for") == attr(input, "id") })
		if label := one(t, "label of "+attr(input, "name"), labels); text(label) == "" {
			t.Errorf("label of %s is empty", attr(input, "name"))
		}
		for id := range strings.FieldsSeq(attr(input, "aria-describedby")) {
			byID(t, doc, id)
		}
	}
}

func checkPolicy(t *testing.T, doc *html.Node) {
	t.Helper()
	for _, n := range find(doc, func(*html.Node) bool { return true }) {
		if n.Data == "script" && (!strings.HasPrefix(attr(n, "src"), "/") || text(n) != "") {
			t.Errorf("page has a script from %q: %s", attr(n, "src"), text(n))
		}
		if n.Data == "style" || n.Data == "base" {
			t.Errorf("page has a <%s>", n.Data)
		}
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has %s", n.Data, a.Key)
			}
			if link := strings.ToLower(a.Val); strings.HasPrefix(link, "javascript:") || strings.HasPrefix(link, "data:") {
				t.Errorf("<%s %s> is %s", n.Data, a.Key, a.Val)
			}
		}
	}
}

func TestErrorPage(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	doc := document(t, errorPage(u, http.StatusForbidden, ui.ErrorPage{
		ErrMsg: "You aren’t in a group that may use this.", RequestID: "r-1", RetryURL: "/dex/auth",
	}))
	for _, want := range []string{"Forbidden", "You aren’t in a group", "ask the people who run this service", "r-1"} {
		if !strings.Contains(text(doc), want) {
			t.Errorf("page doesn't say %q", want)
		}
	}
	retry := one(t, "retry", byClass(doc, "theme-btn--primary"))
	if attr(retry, "href") != "/dex/auth" {
		t.Errorf("retry leads to %q", attr(retry, "href"))
	}

	doc = document(t, errorPage(u, http.StatusInternalServerError, ui.ErrorPage{Hint: "Call 123."}))
	if !strings.Contains(text(doc), "Call 123.") || strings.Contains(text(doc), "Request ID") {
		t.Errorf("page says %q", text(doc))
	}
	for status := 400; status < 600; status++ {
		if http.StatusText(status) == "" {
			continue
		}
		doc := document(t, errorPage(u, status, ui.ErrorPage{}))
		if len(tags(one(t, "main", tags(doc, "main")), "p")) < 2 {
			t.Errorf("status %d: page doesn't say what to do", status)
		}
	}
}

func TestHome(t *testing.T) {
	u, _ := newUI(t, ui.Config{Issuer: "Acme"})
	const discovery = "https://login.example.com/dex/.well-known/openid-configuration"
	doc := document(t, homePage(u, ui.HomePage{DiscoveryURL: discovery}))
	if got := attr(one(t, "link", byClass(doc, "dex-home__link")), "href"); got != discovery {
		t.Errorf("discovery link %q", got)
	}
	if len(byClass(doc, "dex-facts")) != 0 || !strings.Contains(text(doc), "Acme") {
		t.Errorf("page says %q", text(doc))
	}

	signedIn := time.Date(2026, time.November, 2, 15, 4, 0, 0, time.FixedZone("CET", 3600))
	doc = document(t, homePage(u, ui.HomePage{
		LoggedIn: true, Username: "jane", Email: "jane@example.com", EmailVerified: true, Groups: []string{"ops", "dev"},
		SignedIn: signedIn, SessionExpiryIsIdle: true, LogoutURL: "https://login.example.com/dex/logout",
	}))
	clock := one(t, "time", tags(doc, "time"))
	if attr(clock, "datetime") != "2026-11-02T14:04:00Z" || text(clock) != "2 Nov 2026, 14:04 UTC" {
		t.Errorf("time %q says %q", attr(clock, "datetime"), text(clock))
	}
	for _, want := range []string{"jane@example.com verified", "ops dev", "Groups 2", "Log out"} {
		if !strings.Contains(text(doc), want) {
			t.Errorf("page doesn't say %q", want)
		}
	}
	if strings.Contains(text(doc), "Ends") {
		t.Error("page shows an end that it was not given")
	}
}

func TestHostileText(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>'`
	const link = "javascript:alert(1)"
	u, _ := newUI(t, ui.Config{Issuer: evil, Extra: map[string]string{"helpURL": link}})
	for name, page := range map[string]handler{
		"login": loginPage(u, ui.LoginPage{Client: evil, Connectors: []ui.ConnectorLink{
			{ID: evil, Name: evil, URL: link, Type: evil},
		}}),
		"password": passwordPage(u, http.StatusOK, ui.PasswordPage{
			PostURL: link, BackLink: link, Username: evil, UsernamePrompt: evil, Message: evil, Client: evil, Connector: evil,
		}),
		"approval": approvalPage(u, ui.ApprovalPage{
			User: evil, Client: evil, AuthReqID: evil, RequestedScopes: []string{evil}, Email: evil + "@", Connector: evil,
			ClientLogoURL: link, OtherAccountURL: link,
		}),
		"oob":   func(w http.ResponseWriter, r *http.Request) { u.OOB(w, r, ui.OOBPage{Code: evil}) },
		"error": errorPage(u, http.StatusBadRequest, ui.ErrorPage{ErrMsg: evil, Hint: evil, RequestID: evil, RetryURL: link}),
		"home": homePage(u, ui.HomePage{
			LoggedIn: true, Username: evil, Email: evil, Groups: []string{evil}, ConnectorName: evil, IPAddress: evil,
			UserAgent: evil, LogoutURL: link, DiscoveryURL: link, Others: []ui.Account{{Name: evil, Email: evil + "@", Connector: evil}},
		}),
		"accounts": accountsPage(u, ui.AccountsPage{
			Client: evil, Accounts: []ui.Account{{Name: evil, Email: evil + "@", Connector: evil, URL: link}}, AnotherURL: link,
		}),
		"logout question": logoutPage(u, ui.LogoutPage{
			ShowConfirmation: true, PostURL: link, BackURL: link, App: evil, User: ui.Account{Name: evil, Connector: evil},
			Others: []ui.Account{{Name: evil}}, Fields: []ui.FormField{{Name: evil, Value: evil}},
		}),
		"logged out": logoutPage(u, ui.LogoutPage{LoggedOut: true, BackURL: link, StillOpen: []string{evil}, SourceName: evil}),
		"password with passkeys": passwordPage(u, http.StatusOK, ui.PasswordPage{
			Username: evil, Client: evil, Passkey: &ui.PasskeyForm{PostURL: link, Options: evil},
		}),
		"code":           totpPage(u, ui.TOTPPage{PostURL: link, Message: evil, Issuer: evil, RecoveryURL: link, OtherURL: link}),
		"app to set up":  totpPage(u, ui.TOTPPage{PostURL: link, Issuer: evil, QRCode: evil, Secret: evil, Account: evil}),
		"recovery code":  recoveryPage(u, ui.RecoveryPage{PostURL: link, Message: evil, OtherURL: link}),
		"recovery codes": recoveryCodesPage(u, ui.RecoveryCodesPage{Codes: []string{evil}, PostURL: link, Account: evil}),
		"factors":        factorChoicePage(u, ui.FactorChoicePage{Options: []ui.FactorOption{{Kind: evil, Name: evil, URL: link}}}),
		"forgotten password": resetPage(u, ui.ResetPage{
			PostURL: link, Email: evil, Message: evil, BackURL: link, Fields: []ui.FormField{{Name: evil, Value: evil}},
		}),
		"new password": newPasswordPage(u, ui.NewPasswordPage{PostURL: link, Token: evil, Username: evil, Message: evil}),
		"password set": passwordSetPage(u, ui.PasswordSetPage{LoginURL: link, FromLogin: true}),
		"elsewhere":    elsewherePage(u, ui.ElsewherePage{Link: evil}),
		"address":      verifyPage(u, ui.VerifyPage{PostURL: link, Token: evil, Email: evil, HomeURL: link}),
	} {
		t.Run(name, func(t *testing.T) {
			doc := document(t, page)
			checkPolicy(t, doc)
			if !strings.Contains(text(doc), "<script>") {
				t.Error("the text isn't shown as it is")
			}
			if len(tags(doc, "img")) > 1 {
				t.Error("the text became an image")
			}
		})
	}
}

func TestHeadHasNoBody(t *testing.T) {
	u, _ := newUI(t, ui.Config{})
	server := httptest.NewServer(http.HandlerFunc(u.NotFound))
	defer server.Close()
	res, err := server.Client().Head(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusNotFound || res.ContentLength <= 0 {
		t.Errorf("status %d, length %d", res.StatusCode, res.ContentLength)
	}
}
