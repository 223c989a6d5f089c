package ui

import (
	"cmp"
	"strings"
	"time"

	"dex/internal/locale"
)

// An OwnAccount is what people see on the home page of what is theirs, and may end there. All of its forms go to pages below AccountPath,
// and repeat ID.
type OwnAccount struct {
	ID      string // of the session whose account it is
	Blocked bool   // the account is blocked: there is nothing else to see

	Sessions     []OwnSession // the one of this browser first
	MoreSessions bool         // there are more than are shown; likewise below
	Logins       []OwnLogin
	MoreLogins   bool
	Consents     []OwnConsent
	MoreConsents bool
	Ways         OwnWays
	Password     string // address of the page to change the password; empty where there is none
	FixedHere    bool   // the password is in the server's configuration

	Switches   []OwnSwitch // the other accounts of this browser
	AnotherURL string      // leads to the login with another account
}

// An OwnSession is a browser that is signed in.
type OwnSession struct {
	ID       string
	Here     bool // it is this browser
	Browser  string
	System   string // may be empty; Browser is then whatever the browser calls itself
	Address  string // may be empty
	Since    time.Time
	LastUsed time.Time
	Clients  []string // display names
	More     bool     // there are more clients
}

// An OwnLogin is an application, or a device, that stays signed in by a refresh token.
type OwnLogin struct {
	ID       string
	Client   string
	Since    time.Time
	LastUsed time.Time
}

// An OwnConsent is what the user has let an application have.
type OwnConsent struct {
	ClientID    string
	Client      string
	Scopes      []string          // by name; templates get Permissions
	ClientNames map[string]string // display names of the applications whose ids are in Scopes
	Since       time.Time
}

// An OwnSwitch is another account of the browser.
type OwnSwitch struct {
	Account
	ID string // of its session
}

// OwnWays are the ways to sign in besides the source's own.
type OwnWays struct {
	Apps      []OwnFactor // authenticator apps
	Keys      []OwnFactor // security keys and passkeys
	AddApps   []OwnAdd
	AddKeys   []OwnAdd
	Recovery  string // address of the page for recovery codes; empty where there are none
	CodesLeft int    // recovery codes
	LockedOut bool   // codes are refused until an administrator unlocks them
	FewLeft   bool   // only a few recovery codes are left
}

// An OwnFactor is an authenticator app, a security key or a passkey.
type OwnFactor struct {
	ID       string
	Name     string
	Added    time.Time
	LastUsed time.Time // zero for never
	Renames  bool      // its name can be changed
	For      string    // id of its authenticator; empty where there is only one
	Refused  bool      // it may have been copied, and is no longer accepted
	Remove   string    // address of the page to remove it
}

// An OwnAdd is an authenticator that can be set up.
type OwnAdd struct {
	Name string // empty where there is only one of its kind
	URL  string
}

// Any reports whether there is anything to show.
func (o *OwnWays) Any() bool {
	return len(o.Apps)+len(o.Keys)+len(o.AddApps)+len(o.AddKeys) > 0
}

// done are the notices of the home page, by the word in its address.
var done = map[string]string{
	"session-ended":     "The session has ended.",
	"sessions-ended":    "All other sessions have ended.",
	"login-ended":       "The application no longer stays logged in. It may take a moment to notice.",
	"consent-withdrawn": "The permission is withdrawn. The application will ask you again.",
	"app-added":         "The authenticator app is set up.",
	"key-added":         "The security key or passkey is added.",
	"factor-removed":    "It’s removed.",
	"key-renamed":       "The name is changed.",
	"password-changed":  "Your password is changed. All your other sessions have ended.",
	"gone":              "That had already ended.",
}

// A moment is a time for programs and for people; both are empty for none.
type moment struct{ ISO, Text string }

func momentOf(lang *locale.Language, t time.Time) moment {
	iso, text := timeTexts(lang, t)
	return moment{iso, text}
}

type ownData struct {
	OwnAccount
	Sessions []ownSession
	Logins   []ownLogin
	Consents []ownConsent
	Apps     []ownFactor
	Keys     []ownFactor
}

type ownSession struct {
	OwnSession
	Since, LastUsed moment
}

type ownLogin struct {
	OwnLogin
	Since, LastUsed moment
}

type ownConsent struct {
	OwnConsent
	Since       moment
	Permissions []Permission
}

type ownFactor struct {
	OwnFactor
	Added, LastUsed moment
}

func newOwnData(base page, o *OwnAccount) *ownData {
	if o == nil {
		return nil
	}
	lang := base.lang
	d := &ownData{OwnAccount: *o}
	for _, s := range o.Sessions {
		tidy(&s.Browser, &s.System)
		s.Clients = tidiedAll(s.Clients)
		d.Sessions = append(d.Sessions, ownSession{s, momentOf(lang, s.Since), momentOf(lang, s.LastUsed)})
	}
	for _, l := range o.Logins {
		tidy(&l.Client)
		d.Logins = append(d.Logins, ownLogin{l, momentOf(lang, l.Since), momentOf(lang, l.LastUsed)})
	}
	for _, c := range o.Consents {
		tidy(&c.Client)
		scopes := requested{lang, c.ClientID, c.ClientNames}
		d.Consents = append(d.Consents, ownConsent{c, momentOf(lang, c.Since), scopes.describe(c.Scopes)})
	}
	d.Apps, d.Keys = factors(lang, o.Ways.Apps), factors(lang, o.Ways.Keys)
	d.Switches = nil
	for _, s := range o.Switches {
		d.Switches = append(d.Switches, OwnSwitch{s.shown(), s.ID})
	}
	return d
}

func factors(lang *locale.Language, all []OwnFactor) []ownFactor {
	var shown []ownFactor
	for _, f := range all {
		tidy(&f.Name)
		shown = append(shown, ownFactor{f, momentOf(lang, f.Added), momentOf(lang, f.LastUsed)})
	}
	return shown
}

// ClientList returns the names of a session's applications as one text.
func (s ownSession) ClientList() string { return strings.Join(s.Clients, ", ") }

// Name returns what the browser is called in a list; empty where nothing is known of it.
func (s ownSession) Name() string { return cmp.Or(s.Browser, s.System) }

// sampleOwn is an account of samples with everything.
func sampleOwn(at time.Time) *OwnAccount {
	const remove = "/account/remove"
	return &OwnAccount{
		ID: "1", Password: "/account/password",
		Sessions: []OwnSession{
			{
				ID: "1", Here: true, Browser: "Firefox", System: "Linux", Address: "192.0.2.1", Since: at, LastUsed: at,
				Clients: []string{"Wiki", "Chat"},
			},
			{ID: "2", Browser: "Safari", System: "iPhone", Address: "2001:db8::17", Since: at, LastUsed: at.Add(time.Hour), Clients: []string{"Wiki"}, More: true},
			{ID: "3", Browser: "Sample/1.0", Since: at, LastUsed: at},
		},
		MoreSessions: true,
		Logins: []OwnLogin{
			{ID: "1", Client: "Mail", Since: at, LastUsed: at.Add(time.Hour)}, {ID: "2", Client: "Television", Since: at, LastUsed: at},
		},
		MoreLogins: true,
		Consents: []OwnConsent{
			{ClientID: "wiki", Client: "Wiki", Scopes: []string{"openid", "email", "groups"}, Since: at},
			{ClientID: "chat", Client: "Chat", Scopes: []string{"openid"}, Since: at},
		},
		MoreConsents: true,
		Ways: OwnWays{
			Apps: []OwnFactor{{ID: "totp", Name: "private", Added: at, LastUsed: at, Remove: remove}},
			Keys: []OwnFactor{
				{ID: "a2V5", Name: "Yellow key", Added: at, LastUsed: at, Renames: true, Remove: remove},
				{ID: "cGhvbmU", Name: "Phone", Added: at, Renames: true, For: "passkeys", Refused: true, Remove: remove},
			},
			AddApps: []OwnAdd{{Name: "work", URL: "/account/totp"}}, AddKeys: []OwnAdd{{URL: "/account/passkey"}},
			Recovery: "/account/recovery", CodesLeft: 2, FewLeft: true, LockedOut: true,
		},
		Switches:   []OwnSwitch{{Account{Name: "jane.doe", Email: "jane.doe@partner.example", Connector: "Partner"}, "4"}},
		AnotherURL: "/account/login",
	}
}
