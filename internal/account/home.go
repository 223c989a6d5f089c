package account

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"dex/internal/federation"
	"dex/internal/session"
	"dex/internal/ui"
)

// most is how many of a kind the home page shows.
const most = 100

// Home is the page at the issuer's address.
func (a *Account) Home() http.Handler { return a.page.Serve(a.showHome) }

func (a *Account) showHome(w http.ResponseWriter, r *http.Request) error {
	shown := ui.HomePage{DiscoveryURL: a.cfg.IssuerURL.JoinPath(".well-known", "openid-configuration").String()}
	if a.cfg.Sessions == nil {
		a.page.Home(w, r, shown)
		return nil
	}
	w.Header().Set("Cache-Control", "no-store")
	if a.cfg.Hidden {
		b, err := a.browser(r)
		if err != nil {
			return err
		}
		a.describe(r, &shown, b.Accounts())
		a.page.Home(w, r, shown)
		return nil
	}
	shown.Done = r.URL.Query().Get(paramDone)
	v, err := a.first(w, r)
	if err != nil {
		return err
	}
	if v == nil {
		shown.LoginURL = a.page.Path("/account/login", nil)
		a.page.Home(w, r, shown)
		return nil
	}
	accounts := v.browser.Accounts()
	accounts = slices.DeleteFunc(slices.Clone(accounts), func(e session.Entry) bool { return e.Key == v.Key })
	a.describe(r, &shown, append([]session.Entry{v.Entry}, accounts...))
	if shown.Own, err = a.own(v, accounts); err != nil {
		return err
	}
	a.page.Home(w, r, shown)
	return nil
}

// first returns the browser's first account whose user is still there; nil if there is none.
func (a *Account) first(w http.ResponseWriter, r *http.Request) (*visit, error) {
	b, err := a.browser(r)
	if err != nil {
		return nil, err
	}
	for _, e := range slices.Clone(b.Accounts()) {
		v := &visit{w: w, r: r, browser: b, Entry: e}
		there, err := a.isThere(v)
		if err != nil {
			return nil, err
		}
		if there {
			return v, nil
		}
	}
	return nil, nil
}

// own returns what is the user's.
func (a *Account) own(v *visit, others []session.Entry) (*ui.OwnAccount, error) {
	shown := &ui.OwnAccount{ID: v.Key, AnotherURL: a.page.Path("/account/login", url.Values{paramAnother: {"1"}})}
	for _, e := range others {
		shown.Switches = append(shown.Switches, ui.OwnSwitch{Account: a.accountOf(v.r, e), ID: e.Key})
	}
	if a.isBlocked(v) {
		shown.Blocked = true
		return shown, nil
	}
	known := a.namesOf(v.r.Context())
	for _, add := range []func(*visit, *ui.OwnAccount, names) error{a.addSessions, a.addLogins, a.addConsents, a.addWays} {
		if err := add(v, shown, known); err != nil {
			return nil, notRead(err)
		}
	}
	return shown, nil
}

// describe puts the accounts that are signed in onto the home page.
func (a *Account) describe(r *http.Request, shown *ui.HomePage, accounts []session.Entry) {
	for i, e := range accounts {
		s := &e.Value
		who := &s.Identity
		if i > 0 {
			shown.Others = append(shown.Others, a.accountOf(r, e))
			continue
		}
		shown.LoggedIn, shown.LogoutURL = true, a.cfg.IssuerURL.JoinPath("logout").String()
		shown.Username, shown.Email, shown.EmailVerified, shown.Groups = cmp.Or(who.PreferredUsername, who.Username), who.Email, who.EmailVerified, who.Groups
		if a.cfg.VerifyURL != nil {
			shown.VerifyURL, shown.VerifyID = a.cfg.VerifyURL(&e), e.Key
		}
		shown.ConnectorName = a.connectorName(r, s.ConnectorID)
		shown.SignedIn, shown.SessionExpires = s.AuthTime, s.End()
		shown.SessionExpiryIsIdle = s.Idle.Before(s.Ends)
		shown.IPAddress, shown.UserAgent = s.Address, s.UserAgent
	}
}

func (a *Account) accountOf(r *http.Request, e session.Entry) ui.Account {
	who := &e.Value.Identity
	return ui.Account{Name: who.Username, Email: who.Email, Connector: a.connectorName(r, e.Value.ConnectorID)}
}

// connectorName returns the name of a connector in the language of whoever asks; empty if there is none of that id.
func (a *Account) connectorName(r *http.Request, id string) string {
	all, err := a.cfg.Connectors.List(r.Context())
	if err != nil {
		return ""
	}
	for _, d := range all {
		if d.ID == id && id != federation.LocalID {
			return d.NameIn(a.page.LanguageOf(r).Tag)
		}
	}
	return ""
}
