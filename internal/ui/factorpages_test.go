package ui_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"dex/internal/ui"
)

func totpPage(u *ui.UI, p ui.TOTPPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.TOTP(w, r, http.StatusUnauthorized, p) }
}

func webAuthnPage(u *ui.UI, mode string) handler {
	return func(w http.ResponseWriter, r *http.Request) {
		u.WebAuthn(w, r, http.StatusOK, ui.WebAuthnPage{Mode: mode, AuthenticatorID: "key", RecoveryURL: "/recovery", OtherURL: "/other"})
	}
}

func recoveryPage(u *ui.UI, p ui.RecoveryPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.Recovery(w, r, http.StatusUnauthorized, p) }
}

func recoveryCodesPage(u *ui.UI, p ui.RecoveryCodesPage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.RecoveryCodes(w, r, http.StatusOK, p) }
}

func factorChoicePage(u *ui.UI, p ui.FactorChoicePage) handler {
	return func(w http.ResponseWriter, r *http.Request) { u.FactorChoice(w, r, http.StatusOK, p) }
}

// setup is a page for setting up an app, with everything on it.
func setup(post string) ui.TOTPPage {
	return ui.TOTPPage{
		PostURL: post, Issuer: "Acme", QRCode: "aGk=", QRCodeSVG: `<svg viewBox="0 0 1 1"><path d="M0 0h1v1z"/></svg>`,
		Secret: "ABCD EFGH", Account: "jane@example.com",
	}
}

// Upstream's hooks are on the page for codes, and an app can be set up by the picture or by the text.
func TestTOTPPage(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	p := setup("/dex/mfa/totp?req=1")
	doc := document(t, totpPage(u, p))
	form, field := enclosing(byID(t, doc, "submit-login"), "form"), byID(t, doc, "totp")
	if attr(form, "action") != p.PostURL || enclosing(field, "form") != form || attr(field, "name") != "totp" {
		t.Errorf("the form is %v, the field %v", form.Attr, field.Attr)
	}
	if picture := one(t, "picture", byClass(doc, "dex-qr")); len(tags(picture, "svg")) != 1 || attr(picture, "aria-label") == "" {
		t.Errorf("the picture is %v", picture.Attr)
	}
	for _, want := range []string{"ABCD EFGH", "jane@example.com", "Acme"} {
		if !strings.Contains(text(doc), want) {
			t.Errorf("the page doesn't say %q", want)
		}
	}
	if links := byClass(doc, "theme-link-back"); len(links) != 0 {
		t.Errorf("the page has %d links that lead nowhere", len(links))
	}

	doc = document(t, totpPage(u, ui.TOTPPage{Issuer: "Acme", Message: "Too many failed attempts.", RecoveryURL: "/recovery", OtherURL: "/other"}))
	if got := text(byID(t, doc, "login-error")); got != "Too many failed attempts." || attr(byID(t, doc, "totp"), "aria-describedby") != "login-error" {
		t.Errorf("the error is %q", got)
	}
	if attr(byID(t, doc, "use-recovery"), "href") != "/recovery" || attr(byID(t, doc, "use-other"), "href") != "/other" {
		t.Error("the links lead elsewhere")
	}
	if len(byClass(doc, "dex-qr")) != 0 || len(byClass(doc, "dex-facts")) != 0 {
		t.Error("an app can be set up again")
	}
}

// Nothing that needs the script shows without it; the ways around it do.
func TestWebAuthnPage(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	for _, mode := range []string{ui.WebAuthnRegister, ui.WebAuthnLogin} {
		doc := document(t, webAuthnPage(u, mode))
		for _, id := range []string{"webauthn-btn", "webauthn-error", "webauthn-working"} {
			if n := byID(t, doc, id); !hasAttr(n, "hidden") {
				t.Errorf("%s: #%s shows without a script", mode, id)
			}
		}
		if mode == ui.WebAuthnRegister && !hasAttr(enclosing(byID(t, doc, "webauthn-name"), "form"), "hidden") {
			t.Error("the name can be typed without a script")
		}
		page := byID(t, doc, "webauthn")
		if attr(page, "data-mode") != mode || attr(page, "data-authenticator") != "key" {
			t.Errorf("the script is told %v", page.Attr)
		}
		if attr(byID(t, doc, "use-recovery"), "href") != "/recovery" {
			t.Errorf("%s: the link leads elsewhere", mode)
		}
	}
}

func TestRecoveryPages(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex", Languages: manyLanguages(t)})
	doc := document(t, recoveryPage(u, ui.RecoveryPage{PostURL: "/post", Invalid: true}))
	form, field := enclosing(byID(t, doc, "submit-login"), "form"), byID(t, doc, "recovery_code")
	if attr(form, "action") != "/post" || enclosing(field, "form") != form || attr(field, "name") != "code" {
		t.Errorf("the form is %v, the field %v", form.Attr, field.Attr)
	}
	if got := text(byID(t, doc, "login-error")); !strings.Contains(got, "recovery code is wrong") {
		t.Errorf("the error is %q", got)
	}

	doc = document(t, recoveryCodesPage(u, ui.RecoveryCodesPage{Codes: []string{"AAAA-BBBB", "CCCC-DDDD"}, PostURL: "/post"}))
	codes := tags(byID(t, doc, "recovery-codes"), "code")
	if len(codes) != 2 || text(codes[0]) != "AAAA-BBBB" || attr(enclosing(byID(t, doc, "submit-saved"), "form"), "action") != "/post" {
		t.Errorf("the codes are %s", text(byID(t, doc, "recovery-codes")))
	}
	if len(byClass(doc, "dex-language")) != 0 {
		t.Error("whoever chooses another language loses the codes")
	}
}

func TestFactorChoice(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	doc := document(t, factorChoicePage(u, ui.FactorChoicePage{Options: []ui.FactorOption{
		{Kind: ui.FactorTOTP, Name: "work", URL: "/a"}, {Kind: ui.FactorWebAuthn, URL: "/b"}, {Kind: ui.FactorRecovery, URL: "/c"},
	}}))
	var options []string
	for _, link := range tags(byID(t, doc, "factors"), "a") {
		options = append(options, attr(link, "href")+" "+text(link))
	}
	if want := []string{"/a Authenticator app work", "/b Security key or passkey", "/c Recovery code"}; !slices.Equal(options, want) {
		t.Errorf("the options are %q, want %q", options, want)
	}
}

// Without a passkey to offer, the page is as it was; with one, the form shows by a script only.
func TestPasskeyForm(t *testing.T) {
	u, _ := newUI(t, ui.Config{IssuerPath: "/dex"})
	doc := document(t, passwordPage(u, http.StatusOK, ui.PasswordPage{PostURL: "/post"}))
	if attr(byID(t, doc, "login"), "autocomplete") != "username" || len(tags(one(t, "main", tags(doc, "main")), "form")) != 1 {
		t.Error("the page offers a passkey that nobody has")
	}

	const options = `{"publicKey":{"challenge":"YQ"}}`
	p := ui.PasswordPage{PostURL: "/post", Passkey: &ui.PasskeyForm{PostURL: "/passkey", Options: options}}
	login := ui.LoginPage{Form: &p, Connectors: []ui.ConnectorLink{{ID: "local", Name: "Email", URL: "/a"}, {ID: "ldap", Name: "LDAP", URL: "/b"}}}
	for name, page := range map[string]handler{"password": passwordPage(u, http.StatusOK, p), "login": loginPage(u, login)} {
		doc := document(t, page)
		form := byID(t, doc, "passkey")
		if !hasAttr(form, "hidden") || attr(form, "action") != "/passkey" || attr(form, "data-options") != options {
			t.Errorf("%s: the form is %v", name, form.Attr)
		}
		if attr(byID(t, doc, "login"), "autocomplete") != "username webauthn" {
			t.Errorf("%s: browsers don't offer passkeys in the field", name)
		}
		scripts := tags(doc, "script")
		if !strings.HasPrefix(attr(scripts[len(scripts)-1], "src"), "/dex/static/passkey.js") {
			t.Errorf("%s: the script is missing", name)
		}
		checkPolicy(t, doc)
	}
}
