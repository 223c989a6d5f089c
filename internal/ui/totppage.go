package ui

import (
	"html/template"
	"net/http"
)

// A TOTPPage asks for the code of an authenticator app, and lets users set one up. The field is named totp.
type TOTPPage struct {
	PostURL   string // path and query of the request
	Invalid   bool   // the last code was wrong
	Message   string // why, instead of the usual text; implies Invalid
	Issuer    string // what the app calls us
	Connector string // id of the connector

	RecoveryURL string // leads to the page for recovery codes; empty if there is none
	OtherURL    string // leads to the choice of another factor; empty if there is none

	// The rest is for setting up an app, and empty afterwards.

	QRCodeSVG template.HTML // the picture with the key
	QRCode    string        // the same picture, a PNG in base64, for templates made for upstream
	Secret    string        // the key as text, for people who can't scan it
	Account   string        // whose it is
	Fields    []FormField   // that the form repeats
	BackURL   string        // leads back without setting anything up; empty if that is impossible
}

// TOTP shows the form for a code.
func (u *UI) TOTP(w http.ResponseWriter, r *http.Request, status int, p TOTPPage) {
	title := "Enter your code"
	if p.SettingUp() {
		title = "Set up an authenticator app"
	}
	u.render(w, r, status, totpView, newTOTPData(u.newPage(r, title), p))
}

// SettingUp reports whether the page is to set up an app.
func (p TOTPPage) SettingUp() bool { return p.Secret != "" || p.QRCode != "" || p.QRCodeSVG != "" }

var totpView = declare("totp_verify.html", func(base page) []sample {
	const post, other = "/mfa/totp?req=1", "/mfa/choose?req=1"
	setup := TOTPPage{ //nolint:gosec // G101: a sample
		PostURL: post, Issuer: "Example", Connector: "local", QRCode: sampleQRCode, QRCodeSVG: sampleQRCodeSVG,
		Secret: "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP", Account: "jane@example.com", OtherURL: other,
	}
	own := setup
	own.OtherURL, own.BackURL, own.Fields = "", "/", []FormField{{Name: "setup", Value: "1"}}
	again := setup
	again.Invalid = true
	return []sample{
		{"setting up", newTOTPData(base, setup)},
		{"setting up with a wrong code", newTOTPData(base, again)},
		{"setting up on the account page", newTOTPData(base, own)},
		{"wrong code", newTOTPData(base, TOTPPage{
			PostURL: post, Issuer: "Example", Connector: "local", Invalid: true, RecoveryURL: "/mfa/recovery?req=1", OtherURL: other,
		})},
		{"too many codes", newTOTPData(base, TOTPPage{
			PostURL: post, Issuer: "Example", Connector: "local", Message: sampleMessage, RecoveryURL: "/mfa/recovery?req=1",
		})},
		{"code", newTOTPData(base, TOTPPage{PostURL: post, Issuer: "Example", Connector: "local"})},
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
