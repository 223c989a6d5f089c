package ui

import (
	"cmp"
	"net/http"
	"strings"
)

// A PasswordPage asks for a username and a password.
type PasswordPage struct {
	PostURL           string // path and query of the request
	BackLink          string // to the choice of connectors; empty when there is only one
	Username          string // what was typed last
	UsernamePrompt    string // label of the field; "Username" when empty
	Invalid           bool   // the last attempt failed
	ShowRememberMe    bool
	RememberMeChecked bool

	Message   string // why the last attempt failed, if not because of what was typed; implies Invalid
	Failing   bool   // the connector failed its last probe; it may have recovered since
	Client    string // display name of the application; may be empty
	Connector string // display name of the connector; may be empty

	ResetURL string // where users go who have forgotten their password; empty if they can't

	Passkey *PasskeyForm // nil where nobody logs in with a passkey
}

// A PasskeyForm lets somebody log in with a passkey instead of a password. A script fills it in: the field credential gets the
// answer of the passkey as JSON, with binary members in base64url, and remember_me what was chosen for the password.
type PasskeyForm struct {
	PostURL string // may be that of the password form
	Options string // JSON for the browser: {"publicKey": {...}}, with binary members in base64url
}

// Password shows the form for username and password.
func (u *UI) Password(w http.ResponseWriter, r *http.Request, status int, p PasswordPage) {
	u.render(w, r, status, passwordView, newPasswordData(u.newPage(r, "Log in"), p))
}

var passwordView = declare("password.html", func(base page) []sample {
	return []sample{
		{"wrong password", newPasswordData(base, PasswordPage{
			PostURL: "/auth/sample/login?state=1", BackLink: "/auth", Username: "jane", UsernamePrompt: "Username",
			Invalid: true, ShowRememberMe: true, RememberMeChecked: true,
			Client: "Wiki", Connector: "Company directory",
		})},
		{"another message", newPasswordData(base, PasswordPage{
			PostURL: "/auth/sample/login?state=1", BackLink: "/auth", Username: "jane", UsernamePrompt: "Username",
			Message: sampleMessage, Client: "Wiki", Connector: "Company directory",
		})},
		{"with passkeys", newPasswordData(base, PasswordPage{
			PostURL: "/auth/sample/login?state=1", UsernamePrompt: "Email Address", ShowRememberMe: true, Client: "Wiki",
			ResetURL: "/reset?login=1",
			Passkey:  &PasskeyForm{PostURL: "/auth/sample/passkey?state=1", Options: samplePasskeyOptions},
		})},
		{"source fails", newPasswordData(base, PasswordPage{
			PostURL: "/auth/sample/login?state=1", BackLink: "/auth", Failing: true, Connector: "Company directory",
		})},
		{"nothing typed yet", newPasswordData(base, PasswordPage{PostURL: "/auth/sample/login?state=1"})},
	}
})

const samplePasskeyOptions = `{"publicKey":{"challenge":"c2FtcGxl","timeout":300000,"rpId":"localhost","userVerification":"required"}}` //nolint:gosec // G101: a sample

type passwordData struct {
	page
	PasswordPage
	// Wrong is set where the name or the password was wrong, as far as we know.
	Wrong bool
	Focus bool // whether a field of the form is where people begin
	Email bool // the prompt is for an e-mail address, in whatever language it is shown
}

func newPasswordData(base page, p PasswordPage) passwordData {
	email := strings.Contains(strings.ToLower(p.UsernamePrompt), "email")
	p.UsernamePrompt = base.lang.Say(cmp.Or(p.UsernamePrompt, "Username"))
	p.Message = base.lang.Say(p.Message)
	tidy(&p.Client, &p.Connector)
	wrong := p.Invalid && p.Message == ""
	// A custom template may not know Message, and still has to say that the attempt failed.
	p.Invalid = p.Invalid || p.Message != ""
	return passwordData{page: base, PasswordPage: p, Wrong: wrong, Focus: true, Email: email}
}
