package ui

import "net/http"

// What a WebAuthnPage does.
const (
	WebAuthnRegister = "register"
	WebAuthnLogin    = "login"
)

// A WebAuthnPage asks for a security key or a passkey, or registers one. Its script talks JSON to the page's own address, below
// which are the mode and begin or finish, with the page's own query. When it registers, the body for finish has the name that
// the user gives the key, as "name", beside the members of the credential.
type WebAuthnPage struct {
	Mode            string // WebAuthnRegister or WebAuthnLogin
	AuthenticatorID string

	RecoveryURL string // leads to the page for recovery codes; empty if there is none
	OtherURL    string // leads to the choice of another factor; empty if there is none
	BackURL     string // leads back without registering anything; empty if that is impossible
}

// WebAuthn shows the page for security keys and passkeys.
func (u *UI) WebAuthn(w http.ResponseWriter, r *http.Request, status int, p WebAuthnPage) {
	title := "Use your security key or passkey"
	if p.Mode == WebAuthnRegister {
		title = "Add a security key or a passkey"
	}
	u.render(w, r, status, webAuthnView, webAuthnData{u.newPage(r, title), p})
}

var webAuthnView = declare("webauthn_verify.html", func(base page) []sample {
	return []sample{
		{"registering", webAuthnData{base, WebAuthnPage{Mode: WebAuthnRegister, AuthenticatorID: "key", OtherURL: "/mfa/choose?req=1"}}},
		{"registering on the account page", webAuthnData{base, WebAuthnPage{Mode: WebAuthnRegister, AuthenticatorID: "key", BackURL: "/"}}},
		{"logging in", webAuthnData{base, WebAuthnPage{
			Mode: WebAuthnLogin, AuthenticatorID: "key", RecoveryURL: "/mfa/recovery?req=1", OtherURL: "/mfa/choose?req=1",
		}}},
		{"logging in with nothing else", webAuthnData{base, WebAuthnPage{Mode: WebAuthnLogin, AuthenticatorID: "key"}}},
	}
})

type webAuthnData struct {
	page
	WebAuthnPage
}
