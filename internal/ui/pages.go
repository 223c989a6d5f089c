package ui

import (
	"cmp"
	"html/template"
	"net/http"
	"strings"
	"time"

	"dex/internal/locale"
)

// An OOBPage shows an authorization code to copy.
type OOBPage struct {
	Code     string
	Lifetime time.Duration // of the code
}

// OOB shows the code to users whose application can't receive it.
func (u *UI) OOB(w http.ResponseWriter, r *http.Request, p OOBPage) {
	u.render(w, r, http.StatusOK, oobView, newOOBData(u.newPage(r, "Copy your code"), p))
}

var oobView = declare("oob.html", func(base page) []sample {
	return []sample{{"code", newOOBData(base, OOBPage{Code: "r4kz7m2vqhx5yt6wbn3cjd8pg", Lifetime: 10 * time.Minute})}}
})

type oobData struct {
	page
	OOBPage
	Minutes int
}

func newOOBData(base page, p OOBPage) oobData { return oobData{base, p, int(p.Lifetime / time.Minute)} }

// A HomePage is the page at the issuer URL. Without a session only DiscoveryURL is shown.
type HomePage struct {
	LoggedIn            bool
	Username            string
	Email               string
	EmailVerified       bool
	VerifyURL           string // where they ask for a mail that verifies it, by a post; empty if they can't
	VerifyID            string // whose address it is, for the field account
	Groups              []string
	ConnectorName       string
	SignedIn            time.Time // start of this session; zero leaves it out
	SessionExpires      time.Time // zero leaves it out
	SessionExpiryIsIdle bool      // SessionExpires is when an unused session ends
	IPAddress           string
	UserAgent           string
	LogoutURL           string
	DiscoveryURL        string

	Others []Account // that are logged in too

	LoginURL string      // leads to the login with which people see what is theirs; empty where that isn't offered
	Own      *OwnAccount // what is theirs; nil where it isn't shown
	Done     string      // what they have just done, as a word in the page's address
}

// Home shows the signed-in user, or says what this server is.
func (u *UI) Home(w http.ResponseWriter, r *http.Request, p HomePage) {
	u.render(w, r, http.StatusOK, homeView, newHomeData(u.newPage(r, ""), p))
}

var homeView = declare("home.html", func(base page) []sample {
	signedIn := time.Date(2026, time.January, 2, 15, 4, 0, 0, time.UTC)
	return []sample{
		{"logged in", newHomeData(base, HomePage{
			LoggedIn: true, Username: "jane", Email: "jane@example.com", EmailVerified: true,
			Groups: []string{"staff", "editors"}, ConnectorName: "Company directory", SignedIn: signedIn,
			SessionExpires: signedIn.Add(time.Hour), SessionExpiryIsIdle: true, IPAddress: "192.0.2.1",
			UserAgent: "Sample/1.0", LogoutURL: "/logout", DiscoveryURL: "/.well-known/openid-configuration",
		})},
		{"several accounts", newHomeData(base, HomePage{
			LoggedIn: true, Username: "jane", ConnectorName: "Company directory", SignedIn: signedIn, SessionExpires: signedIn.Add(time.Hour),
			LogoutURL: "/logout", Others: sampleAccounts("")[1:],
		})},
		{"logged out", newHomeData(base, HomePage{Groups: []string{"staff"}, DiscoveryURL: "/.well-known/openid-configuration"})},
		{"own account", newHomeData(base, HomePage{
			LoggedIn: true, Username: "jane", Email: "jane@example.com", EmailVerified: true, ConnectorName: "Email",
			Groups: []string{"staff", "editors"}, SignedIn: signedIn, SessionExpires: signedIn.Add(time.Hour), LogoutURL: "/logout",
			Own: sampleOwn(signedIn), Done: "session-ended",
		})},
		{"own account just begun", newHomeData(base, HomePage{
			LoggedIn: true, Username: "jane", SignedIn: signedIn, SessionExpires: signedIn.Add(time.Hour), LogoutURL: "/logout",
			Own: &OwnAccount{ID: "1", Sessions: sampleOwn(signedIn).Sessions[:1], AnotherURL: "/account/login"},
		})},
		{"address to verify", newHomeData(base, HomePage{
			LoggedIn: true, Username: "jane", Email: "jane@example.com", VerifyURL: "/verify/send", VerifyID: "1", LogoutURL: "/logout",
		})},
		{"blocked", newHomeData(base, HomePage{LoggedIn: true, Username: "jane", LogoutURL: "/logout", Own: &OwnAccount{ID: "1", Blocked: true}})},
		{"with a way to log in", newHomeData(base, HomePage{LoginURL: "/account/login"})},
	}
})

type homeData struct {
	page
	HomePage
	SignedInISO, SignedInText             string
	SessionExpiresISO, SessionExpiresText string
	Own                                   *ownData
	Notice                                string // a sentence about what they have just done
	AccountPath                           string // that the pages of the account are below
}

func newHomeData(base page, p HomePage) homeData {
	tidy(&p.Username, &p.Email, &p.ConnectorName, &p.UserAgent)
	p.Groups, p.Others = tidiedAll(p.Groups), shownAccounts(p.Others)
	d := homeData{page: base, HomePage: p}
	d.Own, d.AccountPath = newOwnData(base, p.Own), base.ui.cfg.IssuerPath+"/account"
	d.Notice = base.lang.Say(done[p.Done])
	d.SignedInISO, d.SignedInText = timeTexts(base.lang, p.SignedIn)
	d.SessionExpiresISO, d.SessionExpiresText = timeTexts(base.lang, p.SessionExpires)
	return d
}

// timeTexts returns a time for programs and for people, both in UTC; the zero time gives empty texts.
func timeTexts(lang *locale.Language, t time.Time) (iso, text string) {
	if t.IsZero() {
		return "", ""
	}
	return t.UTC().Format(time.RFC3339), lang.Time(t)
}

// A FormPostPage carries an answer to an application in a form (OAuth 2.0 Form Post Response Mode). With JavaScript the
// form submits itself.
type FormPostPage struct {
	URL     string // of the application, or of a source, checked
	Fields  []FormField
	Heading string // "Back to the application" when empty
	Source  string // display name of the source, if the form leads to one; replaces Heading
}

// A FormField is a hidden field.
type FormField struct{ Name, Value string }

// FormPost sends the browser to the application with a form.
func (u *UI) FormPost(w http.ResponseWriter, r *http.Request, p FormPostPage) {
	u.render(w, r, http.StatusOK, formPostView, newFormPostData(u.newPage(r, ""), p))
}

var formPostView = declare("form_post.html", func(base page) []sample {
	fields := []FormField{{Name: "code", Value: "1"}}
	return []sample{
		{"to the application", newFormPostData(base, FormPostPage{URL: base.ReqPath, Fields: fields})},
		{"to a source", newFormPostData(base, FormPostPage{URL: base.ReqPath, Fields: fields, Source: "Company directory"})},
	}
})

type formPostData struct {
	page
	FormPostPage
	Action template.URL // unfiltered: html/template doesn't know the schemes of native applications
}

func newFormPostData(base page, p FormPostPage) formPostData {
	heading := base.lang.Say(cmp.Or(p.Heading, "Back to the application"))
	if p.Source != "" {
		heading = base.lang.Text("Continue to {source}", tidied(p.Source))
	}
	p.Heading, base.Title = heading, heading
	return formPostData{page: base, FormPostPage: p, Action: p.action()}
}

// action returns where the form leads; empty if that is a script.
func (p *FormPostPage) action() template.URL {
	if isScript(p.URL) {
		return ""
	}
	return template.URL(p.URL) //nolint:gosec // G203: registered for the client, or configured, and no script
}

// isScript reports whether a browser would run a URL, or show its content, instead of going there. Browsers ignore
// control characters in schemes.
func isScript(link string) bool {
	printable := strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return -1
		}
		return r
	}, link)
	scheme, _, _ := strings.Cut(strings.ToLower(printable), ":")
	return scheme == "javascript" || scheme == "data" || scheme == "vbscript" || scheme == "blob"
}
