package ui

import "net/http"

// A ResetPage asks somebody who has forgotten their password for their e-mail address, in the field email, and then says that a mail
// may be on its way.
type ResetPage struct {
	PostURL string
	Fields  []FormField // hidden
	Email   string      // what was typed last
	Message string      // why that didn't work
	BackURL string      // to the form for the password; empty if there is none
	Sent    bool        // nothing is asked any more
	Minutes int         // for which the link in the mail is good
}

// Reset shows the form for an address, or what comes of it.
func (u *UI) Reset(w http.ResponseWriter, r *http.Request, status int, p ResetPage) {
	title := "Forgot your password?"
	if p.Sent {
		title = "Check your email"
	}
	u.render(w, r, status, resetView, newResetData(u.newPage(r, title), p))
}

var resetView = declare("reset.html", func(base page) []sample {
	return []sample{
		{"address", newResetData(base, ResetPage{
			PostURL: "/reset", Fields: []FormField{{"login", "1"}}, BackURL: "/auth/local/login?state=1", Minutes: 30,
		})},
		{"wrong address", newResetData(base, ResetPage{PostURL: "/reset", Fields: []FormField{{"login", ""}}, Email: "jane", Message: sampleMessage, Minutes: 30})},
		{"sent", newResetData(base, ResetPage{
			PostURL: "/reset", Fields: []FormField{{"login", "1"}}, Email: "jane@example.com", BackURL: "/auth/local/login?state=1", Sent: true, Minutes: 30,
		})},
	}
})

type resetData struct {
	page
	ResetPage
}

func newResetData(base page, p ResetPage) resetData {
	p.Message = base.lang.Say(p.Message)
	tidy(&p.Email)
	return resetData{base, p}
}

// A NewPasswordPage asks for a new password, in the fields password and password_again. The field token has what the link has.
type NewPasswordPage struct {
	PostURL  string
	Token    string
	Username string // whose it is
	Message  string // why the last one won't do
	Invited  bool   // it is their first one
}

// NewPassword shows the form for a new password.
func (u *UI) NewPassword(w http.ResponseWriter, r *http.Request, status int, p NewPasswordPage) {
	view, title := newPasswordView, "Set a new password"
	if p.Invited {
		view, title = invitationView, "Choose a password"
	}
	u.render(w, r, status, view, newSetPasswordData(u.newPage(r, title), p))
}

var (
	newPasswordView = declare("reset_password.html", func(base page) []sample { return newPasswordSamples(base, false) })
	invitationView  = declare("invitation.html", func(base page) []sample { return newPasswordSamples(base, true) })
)

func newPasswordSamples(base page, invited bool) []sample {
	const post = "/reset/password"
	return []sample{
		{"nothing typed yet", newSetPasswordData(base, NewPasswordPage{PostURL: post, Token: "t", Username: "jane@example.com", Invited: invited})},
		{"not good enough", newSetPasswordData(base, NewPasswordPage{PostURL: post, Token: "t", Username: "jane@example.com", Invited: invited, Message: sampleMessage})},
	}
}

type setPasswordData struct {
	page
	NewPasswordPage
}

func newSetPasswordData(base page, p NewPasswordPage) setPasswordData {
	p.Message = base.lang.Say(p.Message)
	tidy(&p.Username)
	return setPasswordData{base, p}
}

// A PasswordSetPage says that a password is set, and leads to the form for it.
type PasswordSetPage struct {
	LoginURL   string
	FromLogin  bool // LoginURL goes on with a login, instead of leading to the start page
	Invited    bool // it was the first password
	Incomplete bool // some of what was begun with the one before may go on
}

// PasswordSet says that a password is set.
func (u *UI) PasswordSet(w http.ResponseWriter, r *http.Request, status int, p PasswordSetPage) {
	u.render(w, r, status, passwordSetView, passwordSetData{u.newPage(r, "Your password is set"), p})
}

var passwordSetView = declare("reset_done.html", func(base page) []sample {
	return []sample{
		{"in a login", passwordSetData{base, PasswordSetPage{LoginURL: "/auth/local/login?state=1", FromLogin: true}}},
		{"not all ended", passwordSetData{base, PasswordSetPage{LoginURL: "/", Incomplete: true}}},
		{"first password", passwordSetData{base, PasswordSetPage{LoginURL: "/", Invited: true}}},
	}
})

type passwordSetData struct {
	page
	PasswordSetPage
}

// An ElsewherePage says that a link was opened in another browser than it was asked for in.
type ElsewherePage struct {
	Link         string
	Verification bool // the browser is the one in which the user is logged in
}

// Elsewhere says which browser a link is to be opened in.
func (u *UI) Elsewhere(w http.ResponseWriter, r *http.Request, status int, p ElsewherePage) {
	u.render(w, r, status, elsewhereView, elsewhereData{u.newPage(r, "Open this link in another browser"), p})
}

var elsewhereView = declare("reset_elsewhere.html", func(base page) []sample {
	const link = "https://dex.example.com/reset/password?token=sample"
	return []sample{
		{"password", elsewhereData{base, ElsewherePage{Link: link}}},
		{"address", elsewhereData{base, ElsewherePage{Link: link, Verification: true}}},
	}
})

type elsewhereData struct {
	page
	ElsewherePage
}

// A VerifyPage lets somebody who is logged in confirm their e-mail address.
type VerifyPage struct {
	PostURL string
	Token   string // the field token
	Email   string
	Sent    bool // a mail is on its way, and nothing to confirm yet
	Done    bool // the address is confirmed
	Minutes int  // for which the link in the mail is good
	HomeURL string
}

// Verify shows the button, or what comes of it.
func (u *UI) Verify(w http.ResponseWriter, r *http.Request, status int, p VerifyPage) {
	title := "Is this your email address?"
	switch {
	case p.Done:
		title = "Your email address is confirmed"
	case p.Sent:
		title = "Check your email"
	}
	u.render(w, r, status, verifyView, newVerifyData(u.newPage(r, title), p))
}

var verifyView = declare("verify.html", func(base page) []sample {
	return []sample{
		{"button", newVerifyData(base, VerifyPage{PostURL: "/verify", Token: "t", Email: "jane@example.com", HomeURL: "/"})},
		{"sent", newVerifyData(base, VerifyPage{Email: "jane@example.com", Sent: true, Minutes: 30, HomeURL: "/"})},
		{"done", newVerifyData(base, VerifyPage{Email: "jane@example.com", Done: true, HomeURL: "/"})},
	}
})

type verifyData struct {
	page
	VerifyPage
}

func newVerifyData(base page, p VerifyPage) verifyData {
	tidy(&p.Email)
	return verifyData{base, p}
}
