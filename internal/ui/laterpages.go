package ui

import "net/http"

// The pages of this file are part of the contract with operators' templates, which are held to it from now on. No route shows them
// yet: they come with second factors.

// A TOTPPage asks for the code of an authenticator app, and lets users set one up.
type TOTPPage struct {
	PostURL   string // path and query of the request
	Invalid   bool   // the last code was wrong
	Message   string // why, instead of the usual text; implies Invalid
	Issuer    string // what the app calls us
	Connector string // id of the connector

	// The rest is for setting up an app, and empty afterwards.

	QRCodeURL string // address of the picture with the key
	QRCode    string // the same picture, a PNG in base64, for templates made for upstream
	Secret    string // the key as text, for people who can't scan it
	Account   string // whose it is
}

// TOTP shows the form for a code.
func (u *UI) TOTP(w http.ResponseWriter, r *http.Request, status int, p TOTPPage) {
	u.render(w, r, status, totpView, newTOTPData(u.newPage(r, "Enter your code"), p))
}

var totpView = declareLater("totp_verify.html", func(base page) []sample {
	return []sample{
		{"setting up", newTOTPData(base, TOTPPage{ //nolint:gosec // G101: a sample
			PostURL: "/mfa/totp?req=1", Issuer: "Example", Connector: "ldap", QRCode: "iVBORw0KGgo=",
			QRCodeURL: base.ui.cfg.IssuerPath + "/theme/logo.png",
			Secret:    "JBSW Y3DP EHPK 3PXP", Account: "jane@example.com",
		})},
		{"wrong code", newTOTPData(base, TOTPPage{PostURL: "/mfa/totp?req=1", Issuer: "Example", Connector: "ldap", Invalid: true})},
		{"code", newTOTPData(base, TOTPPage{PostURL: "/mfa/totp?req=1", Issuer: "Example", Connector: "ldap"})},
	}
})

type totpData struct {
	page
	TOTPPage
}

func newTOTPData(base page, p TOTPPage) totpData {
	tidy(&p.Issuer, &p.Account)
	p.Invalid = p.Invalid || p.Message != ""
	p.Message = base.lang.Say(p.Message)
	return totpData{base, p}
}

// A WebAuthnPage asks for a security key or a passkey, or registers one.
type WebAuthnPage struct {
	Mode            string // register or login
	AuthenticatorID string
}

// WebAuthn shows the page for security keys and passkeys.
func (u *UI) WebAuthn(w http.ResponseWriter, r *http.Request, p WebAuthnPage) {
	u.render(w, r, http.StatusOK, webAuthnView, webAuthnData{u.newPage(r, "Use your security key or passkey"), p})
}

var webAuthnView = declareLater("webauthn_verify.html", func(base page) []sample {
	return []sample{
		{"registering", webAuthnData{base, WebAuthnPage{Mode: "register", AuthenticatorID: "key"}}},
		{"logging in", webAuthnData{base, WebAuthnPage{Mode: "login", AuthenticatorID: "key"}}},
	}
})

type webAuthnData struct {
	page
	WebAuthnPage
}
