// Package account is where people see and end what is theirs: the browsers that are signed in, the applications that stay so, what they
// have allowed, and how they sign in. The session cookie says whose account it is.
package account

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/limit"
	"dex/internal/login"
	"dex/internal/page"
	"dex/internal/refresh"
	"dex/internal/seal"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/token"
	"dex/internal/ui"
)

// A SignOut ends sessions.
type SignOut interface {
	// End ends a session, queues what its applications must be told, and ends whatever lives only as long as it.
	End(ctx context.Context, e session.Entry, why event.SessionEnd) error
}

// Config is what an Account is made of.
type Config struct {
	IssuerURL  *url.URL
	Pages      *ui.UI
	Log        *slog.Logger
	Events     event.Sink
	Connectors *federation.Registry

	// Sessions is nil where sessions are off: then there is nothing to see.
	Sessions *session.Sessions
	// VerifyURL returns where the user of a session asks for a mail that verifies their address; empty if there is nothing to verify.
	VerifyURL func(e *session.Entry) string
	// Hidden leaves only the home page, which says who is signed in.
	Hidden bool

	Purpose     *Purpose
	Login       *login.Flow
	Identities  *identity.Identities
	SignOut     SignOut
	Families    *refresh.Families
	Revocations *token.Revocations
	Clients     *client.Registry
	Factors     *login.Factors // nil where there are none
	Limits      *limit.Set
	// FixedPassword reports whether the password of a user of our own database can't be changed here.
	FixedPassword func(email string) bool
	Ring          *seal.Ring
	Now           func() time.Time
}

// Account serves the home page, and the pages below /account.
type Account struct {
	cfg  Config
	page *page.Frame
}

// New returns the pages.
func New(cfg Config) *Account {
	return &Account{cfg: cfg, page: page.New(cfg.IssuerURL, cfg.Pages, cfg.Events)}
}

// Offered reports whether people can see what is theirs: otherwise only the home page is served.
func (a *Account) Offered() bool { return a.cfg.Sessions != nil && !a.cfg.Hidden }

// fieldAccount names the session whose account a page or a form is about; it counts only if it is one of the browser's.
const fieldAccount = "account"

// A visit is somebody's request about their own account.
type visit struct {
	w       http.ResponseWriter
	r       *http.Request
	browser *session.Browser
	session.Entry
	identity identity.Identity // what is known of the user
}

// userID and connectorID are whose account it is.
func (v *visit) userID() string      { return v.Value.Identity.UserID }
func (v *visit) connectorID() string { return v.Value.ConnectorID }

// errSignedOut says that the browser has no such account.
var errSignedOut = errors.New("the browser has no such account")

// visit returns whose account a request is about: the one that the form or the address names, or else the browser's first.
func (a *Account) visit(w http.ResponseWriter, r *http.Request) (*visit, error) {
	w.Header().Set("Cache-Control", "no-store")
	b, err := a.browser(r)
	if err != nil {
		return nil, err
	}
	accounts := b.Accounts()
	if named := r.Form.Get(fieldAccount); named != "" {
		accounts = slices.DeleteFunc(slices.Clone(accounts), func(e session.Entry) bool { return e.Key != named })
	}
	for _, e := range accounts {
		v := &visit{w: w, r: r, browser: b, Entry: e}
		there, err := a.isThere(v)
		if err != nil {
			return nil, err
		}
		if there {
			return v, nil
		}
	}
	return nil, errSignedOut
}

// browser reads which sessions the browser has.
func (a *Account) browser(r *http.Request) (*session.Browser, error) {
	b, err := a.cfg.Sessions.Browser(r)
	if err != nil {
		return nil, page.Errorf(http.StatusInternalServerError, "Your session can't be read.").
			Hint("Try again in a moment.").Because(err)
	}
	return b, nil
}

// isThere reports whether a session still counts, and reads what is known of its user. It doesn't if all that the user had was ended, or
// if the user was in our own database and is gone.
func (a *Account) isThere(v *visit) (bool, error) {
	ctx := v.r.Context()
	there, err := a.cfg.Login.StillThere(ctx, &v.Entry)
	if err != nil {
		return false, notRead(err)
	}
	if !there {
		v.browser.Forget(v.Key)
		return false, v.browser.Keep(v.w)
	}
	e, err := a.cfg.Identities.Get(store.Latest(ctx), v.userID(), v.connectorID())
	if err != nil {
		return false, notRead(err)
	}
	v.identity = e.Value
	if errors.Is(v.identity.Check(a.cfg.Now(), v.Value.Epoch), identity.ErrEnded) {
		v.browser.Forget(v.Key)
		return false, v.browser.Keep(v.w)
	}
	return true, nil
}

func (a *Account) isBlocked(v *visit) bool { return v.identity.IsBlocked(a.cfg.Now()) }

func notRead(cause error) error {
	return page.Errorf(http.StatusInternalServerError, "Your account can't be looked up.").
		Hint("Try again in a moment.").Because(cause)
}

// A change does what the user asks for by a form, and returns the word for what is done.
type change func(a *Account, v *visit) (done string, err error)

// serveChange serves a form of the home page. Each leads back there.
func (a *Account) serveChange(c change) http.Handler {
	return a.page.Serve(func(w http.ResponseWriter, r *http.Request) error {
		if err := a.page.ReadForm(r); err != nil {
			return err
		}
		v, err := a.visit(w, r)
		if errors.Is(err, errSignedOut) || err == nil && a.isBlocked(v) {
			a.home(w, r, "")
			return nil
		}
		if err != nil {
			return err
		}
		done, err := c(a, v)
		if err != nil {
			return err
		}
		a.home(w, r, done)
		return nil
	})
}

// home leads to the home page, which says what is done.
func (a *Account) home(w http.ResponseWriter, r *http.Request, done string) {
	http.Redirect(w, r, a.homePath(done), http.StatusSeeOther)
}

func (a *Account) homePath(done string) string { return homePath(a.page, done) }

// homePath returns the address of the home page, which says what is done.
func homePath(p *page.Frame, done string) string {
	path := p.HomePath()
	if done != "" {
		path += "?" + url.Values{paramDone: {done}}.Encode()
	}
	return path
}

// paramDone has the home page say what was done.
const paramDone = "done"

// notDone is the page for something that could not be done, and can be tried again.
func notDone(cause error) error {
	return page.Errorf(http.StatusInternalServerError, "This could not be done.").Hint("Try again in a moment.").Because(cause)
}

// Words for what is done; the texts are the page's.
const (
	doneSession  = "session-ended"
	doneSessions = "sessions-ended"
	doneLogin    = "login-ended"
	doneConsent  = "consent-withdrawn"
	doneApp      = "app-added"
	doneKey      = "key-added"
	doneRemoved  = "factor-removed"
	doneRenamed  = "key-renamed"
	donePassword = "password-changed"
	doneGone     = "gone"
)

// switchTo makes another account of the browser its first.
func (*Account) switchTo(v *visit) (string, error) {
	if err := v.browser.Use(v.r.Context(), v.Entry, "", false); err != nil {
		return "", notDone(err)
	}
	return "", v.browser.Keep(v.w)
}

// Begin begins the login with which people see what is theirs.
func (a *Account) Begin() http.Handler {
	return a.page.Serve(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "no-store")
		a.cfg.Login.Begin(w, r, a.cfg.Purpose, &request{purpose: a.cfg.Purpose, Another: r.URL.Query().Has(paramAnother)}, "")
		return nil
	})
}

// paramAnother has the user choose another account than those that the browser has.
const paramAnother = "another"
