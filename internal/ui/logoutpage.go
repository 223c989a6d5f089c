package ui

import (
	"html/template"
	"net/http"
)

// A LogoutPage asks whether to log out, or says that it is done. Without ShowConfirmation and LoggedOut it says that nobody was
// logged in.
type LogoutPage struct {
	ShowConfirmation bool
	LoggedOut        bool   // a session has ended
	BackURL          string // of the application, checked; may be empty
	App              string // display name of the application that BackURL belongs to; may be empty

	// The question.

	PostURL string      // where the form leads
	Fields  []FormField // repeated with the answer. The button for all accounts adds the field all=1.
	User    Account     // the one that is asked about; zero if unknown
	// Others are the other accounts in this browser. With the question they can be logged out too; after it they are those that are
	// still logged in.
	Others []Account

	// What is still open afterwards.

	StillOpen  []string // display names of applications that can't be told of the logout
	SourceName string   // display name of the identity source that still has a session; empty if none has
}

// Logout shows the page at which a session ends.
func (u *UI) Logout(w http.ResponseWriter, r *http.Request, p LogoutPage) {
	u.render(w, r, http.StatusOK, logoutView, newLogoutData(u.newPage(r, "Log out"), p))
}

var logoutView = declare("logout.html", func(base page) []sample {
	accounts := sampleAccounts("")
	const back = "https://wiki.example.com/"
	return []sample{
		{"question", newLogoutData(base, LogoutPage{
			PostURL: "/logout", ShowConfirmation: true, User: accounts[0], Fields: []FormField{{Name: "state", Value: "1"}},
		})},
		{"question with several accounts", newLogoutData(base, LogoutPage{
			PostURL: "/logout", ShowConfirmation: true, User: accounts[0], Others: accounts[1:],
		})},
		{"logged out", newLogoutData(base, LogoutPage{LoggedOut: true, BackURL: back, App: "Wiki"})},
		{"still open", newLogoutData(base, LogoutPage{
			LoggedOut: true, BackURL: back, StillOpen: []string{"Files", "Chat"}, SourceName: "Company directory", Others: accounts[1:],
		})},
		{"no session", newLogoutData(base, LogoutPage{})},
	}
})

type logoutData struct {
	page
	LogoutPage
	BackAction template.URL // BackURL; empty if that is a script
}

func newLogoutData(base page, p LogoutPage) logoutData {
	if !p.ShowConfirmation {
		base.back = "" // shown again, it would say that nobody was logged in
	}
	p.User, p.Others, p.StillOpen = p.User.shown(), shownAccounts(p.Others), tidiedAll(p.StillOpen)
	tidy(&p.App, &p.SourceName)
	return logoutData{base, p, (&FormPostPage{URL: p.BackURL}).action()}
}
