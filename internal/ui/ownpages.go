package ui

import "net/http"

// What an OwnConfirmPage asks about.
const (
	ConfirmRemoveApp = "remove-app"
	ConfirmRemoveKey = "remove-key"
	ConfirmRecovery  = "recovery" // making new recovery codes
)

// An OwnConfirmPage asks somebody whether they want to change how they sign in.
type OwnConfirmPage struct {
	Kind      string // one of the constants above
	Account   string // whose account it is
	Name      string // what the security key or passkey is called
	Last      bool   // the user has no other factor
	CodesLeft int    // recovery codes, which the new ones replace
	PostURL   string
	Fields    []FormField
	BackURL   string
}

// OwnConfirm asks whether to change how somebody signs in.
func (u *UI) OwnConfirm(w http.ResponseWriter, r *http.Request, p OwnConfirmPage) {
	u.render(w, r, http.StatusOK, ownConfirmView, newOwnConfirmData(u.newPage(r, "Your account"), p))
}

var ownConfirmView = declare("own_confirm.html", func(base page) []sample {
	p := OwnConfirmPage{
		Kind: ConfirmRemoveKey, Account: "jane@example.com", Name: "Yellow key", PostURL: "/account/remove", BackURL: "/", Last: true,
		Fields: []FormField{{Name: "account", Value: "1"}},
	}
	app, codes, first := p, p, p
	app.Kind, app.Last, app.Name = ConfirmRemoveApp, false, ""
	codes.Kind, codes.CodesLeft = ConfirmRecovery, 3
	first.Kind = ConfirmRecovery
	return []sample{
		{"removing the last key", newOwnConfirmData(base, p)},
		{"removing an app", newOwnConfirmData(base, app)},
		{"new recovery codes", newOwnConfirmData(base, codes)},
		{"first recovery codes", newOwnConfirmData(base, first)},
	}
})

type ownConfirmData struct {
	page
	OwnConfirmPage
}

func newOwnConfirmData(base page, p OwnConfirmPage) ownConfirmData {
	tidy(&p.Account, &p.Name)
	return ownConfirmData{base, p}
}

// An OwnPasswordPage lets somebody change their password. Its fields are named current, new and again.
type OwnPasswordPage struct {
	Account string // whose password it is
	PostURL string
	Fields  []FormField
	BackURL string

	WrongCurrent bool   // the current password was wrong
	Message      string // what is wrong with the new one, or why nothing can be changed
}

// OwnPassword shows the form for another password.
func (u *UI) OwnPassword(w http.ResponseWriter, r *http.Request, status int, p OwnPasswordPage) {
	u.render(w, r, status, ownPasswordView, newOwnPasswordData(u.newPage(r, "Change password"), p))
}

var ownPasswordView = declare("own_password.html", func(base page) []sample {
	p := OwnPasswordPage{
		Account: "jane@example.com", PostURL: "/account/password", BackURL: "/", Fields: []FormField{{Name: "account", Value: "1"}},
	}
	wrong, other := p, p
	wrong.WrongCurrent = true
	other.Message = sampleMessage
	return []sample{
		{"form", newOwnPasswordData(base, p)}, {"wrong password", newOwnPasswordData(base, wrong)}, {"refused", newOwnPasswordData(base, other)},
	}
})

type ownPasswordData struct {
	page
	OwnPasswordPage
}

func newOwnPasswordData(base page, p OwnPasswordPage) ownPasswordData {
	tidy(&p.Account)
	p.Message = base.lang.Say(p.Message)
	return ownPasswordData{base, p}
}
