package ui

import "net/http"

// The kinds of second factors.
const (
	FactorTOTP     = "totp"     // an authenticator app
	FactorWebAuthn = "webauthn" // a security key or a passkey
	FactorRecovery = "recovery" // a recovery code
)

// A FactorOption is a second factor to choose.
type FactorOption struct {
	Kind string // FactorTOTP, FactorWebAuthn or FactorRecovery
	Name string // tells it from others of its kind; may be empty
	URL  string // where choosing it leads
}

// A FactorChoicePage lets somebody choose a second factor, to use it or to set it up.
type FactorChoicePage struct {
	SettingUp bool
	Options   []FactorOption
}

// FactorChoice shows the choice of second factors.
func (u *UI) FactorChoice(w http.ResponseWriter, r *http.Request, status int, p FactorChoicePage) {
	title := "Confirm that it’s you"
	if p.SettingUp {
		title = "Protect your account"
	}
	u.render(w, r, status, factorChoiceView, newFactorChoiceData(u.newPage(r, title), p))
}

var factorChoiceView = declare("factor_choice.html", func(base page) []sample {
	const address = "/mfa/totp?req=1"
	return []sample{
		{"logging in", newFactorChoiceData(base, FactorChoicePage{Options: []FactorOption{
			{Kind: FactorTOTP, URL: address}, {Kind: FactorWebAuthn, URL: address}, {Kind: FactorRecovery, URL: address},
		}})},
		{"several of a kind", newFactorChoiceData(base, FactorChoicePage{Options: []FactorOption{
			{Kind: FactorTOTP, Name: "work", URL: address}, {Kind: FactorTOTP, Name: "administration", URL: address},
		}})},
		{"setting up", newFactorChoiceData(base, FactorChoicePage{SettingUp: true, Options: []FactorOption{
			{Kind: FactorTOTP, URL: address}, {Kind: FactorWebAuthn, URL: address},
		}})},
	}
})

type factorChoiceData struct {
	page
	FactorChoicePage
}

func newFactorChoiceData(base page, p FactorChoicePage) factorChoiceData {
	shown := make([]FactorOption, len(p.Options))
	for i, option := range p.Options {
		tidy(&option.Name)
		shown[i] = option
	}
	p.Options = shown
	return factorChoiceData{base, p}
}
