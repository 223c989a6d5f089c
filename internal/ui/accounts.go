package ui

import (
	"cmp"
	"net/http"
)

// An Account is one with which somebody is logged in.
type Account struct {
	Name      string // the username; may be empty if Email isn't
	Email     string // may be empty
	Connector string // display name of what they logged in with; may be empty
	URL       string // where choosing it leads; empty where it can't be chosen
	LastUsed  bool   // for this application
}

// shown returns an account as it can be shown: tidy, with a name, and without the same text twice.
func (a Account) shown() Account {
	tidy(&a.Name, &a.Email, &a.Connector)
	a.Name = cmp.Or(a.Name, a.Email)
	if a.Email == a.Name {
		a.Email = ""
	}
	return a
}

// Initial is the letter or digit that stands for the account; empty if its name has none.
func (a Account) Initial() string { return initial(a.Name) }

func shownAccounts(accounts []Account) []Account {
	var shown []Account
	for _, a := range accounts {
		shown = append(shown, a.shown())
	}
	return shown
}

// An AccountsPage lets somebody who is logged in choose the account with which to go on.
type AccountsPage struct {
	Client     string // display name of the application; may be empty
	Accounts   []Account
	AnotherURL string // leads to the login with another account
}

// Accounts shows the choice of accounts.
func (u *UI) Accounts(w http.ResponseWriter, r *http.Request, p AccountsPage) {
	u.render(w, r, http.StatusOK, accountsView, newAccountsData(u.newPage(r, "Choose an account"), p))
}

// sampleAccounts are the accounts of samples.
func sampleAccounts(link string) []Account {
	return []Account{
		{Name: "jane", Email: "jane@example.com", Connector: "Company directory", URL: link, LastUsed: true},
		{Name: "jane.doe", Email: "jane.doe@partner.example", Connector: "Partner", URL: link},
		{Email: "admin@example.com", URL: link},
	}
}

var accountsView = declare("accounts.html", func(base page) []sample {
	accounts := sampleAccounts(base.ReqPath + "?account=1")
	return []sample{
		{"three accounts", newAccountsData(base, AccountsPage{Client: "Wiki", Accounts: accounts, AnotherURL: base.ReqPath})},
		{"one account", newAccountsData(base, AccountsPage{Accounts: accounts[1:2], AnotherURL: base.ReqPath})},
	}
})

type accountsData struct {
	page
	AccountsPage
}

func newAccountsData(base page, p AccountsPage) accountsData {
	tidy(&p.Client)
	p.Accounts = shownAccounts(p.Accounts)
	return accountsData{base, p}
}
