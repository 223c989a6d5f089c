// Package login finds out who somebody is, for a purpose: the choice of a connector, the password form or the trip to another
// provider, and the user's consent. Nothing is stored before somebody has proved who they are; until then the login travels
// sealed in a cookie.
package login

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/limit"
	"dex/internal/page"
	"dex/internal/policy"
	"dex/internal/seal"
	"dex/internal/store"
	"dex/internal/ui"
)

// Config is what a Flow is made of.
type Config struct {
	IssuerURL  *url.URL
	Clients    *client.Registry
	Connectors *federation.Registry
	Policy     policy.Decider
	Limits     *limit.Set
	Ring       *seal.Ring
	Store      store.Store
	Pages      *ui.UI
	Log        *slog.Logger
	Events     event.Sink
	Identities *identity.Identities

	RequestLifetime  time.Duration // how long a login may take
	SkipApproval     bool
	AlwaysShowChoice bool
	// Sessions is set where browsers' sessions are on.
	Sessions *Sessions
	// Factors is set where there are second factors.
	Factors *Factors
	// FormOnChoice shows the password form of the only connector that has one beside the other connectors.
	FormOnChoice bool
	// ResetURL returns where users of our own password database go who have forgotten their password, in the midst of a login for an
	// application; nil for nowhere.
	ResetURL func(loginID, clientID string) string
	// RememberConnector has browsers remember which connector was used last.
	RememberConnector bool

	// Switches of oauth2.compatibility. The zero value of each is the default.
	ShowFailures bool // the user, not the application, is told that a source failed
	KeepHints    bool // sources are not told how the application wants the user to be asked
	AnyBrowser   bool // logins are kept in the storage, and any browser can go on with them
}

// Flow serves the pages of a login.
type Flow struct {
	cfg      Config
	page     *page.Frame
	purposes map[string]Purpose
	logins   keeper
	known    *known
	pending  *store.Table[pending]
	log      *slog.Logger
}

// New returns the pages of a login, which may have one of the purposes.
func New(cfg Config, purposes ...Purpose) *Flow {
	f := &Flow{
		cfg:      cfg,
		page:     page.New(cfg.IssuerURL, cfg.Pages, cfg.Events),
		purposes: map[string]Purpose{},
		logins:   newKeeper(cfg),
		known:    newKnown(cfg.Ring, cfg.IssuerURL, cfg.Identities),
		pending:  store.In(cfg.Store, pendingKind),
		log:      cfg.Log,
	}
	for _, p := range purposes {
		f.purposes[p.Name()] = p
	}
	return f
}

// A login is one that is under way. It travels sealed in the browser until it ends.
type login struct {
	ID       string          `json:"id"`
	Purpose  string          `json:"purpose"`
	Document json.RawMessage `json:"request"` // the purpose's own

	Hint          string    `json:"hint,omitempty"`      // the e-mail address that the user has typed at the choice of connectors
	ConnectorID   string    `json:"connector,omitempty"` // through which the user signs in
	ConnectorData []byte    `json:"connectorData,omitempty"`
	AskedTwice    bool      `json:"askedTwice,omitempty"`  // the source has been asked once more
	AskedGroups   bool      `json:"askedGroups,omitempty"` // the browser was sent to the source for the user's groups too
	Secret        string    `json:"secret,omitempty"`      // see Grant; as secret as the cookie
	Done          bool      `json:"done"`                  // the user has signed in; a page still comes. Always written, so that it never grows
	Expires       time.Time `json:"expires"`
}

// Begin begins a login for a request: through a connector, or through one that the user chooses if the id is empty.
func (f *Flow) Begin(w http.ResponseWriter, r *http.Request, p Purpose, request Request, connectorID string) {
	f.serve(func(w http.ResponseWriter, r *http.Request) error {
		document, err := json.Marshal(request)
		if err != nil {
			return fmt.Errorf("encode request of a login: %w", err)
		}
		v := &visit{
			w: w, r: r, request: request, ask: request.Ask(), wanted: connectorID,
			login: &login{Purpose: p.Name(), Document: document, Expires: time.Now().Add(f.cfg.RequestLifetime)},
		}
		v.belongs()
		return f.advance(v)
	}).ServeHTTP(w, r)
}

// Resume lets the user choose again in a login whose request no address can repeat, and which the browser holds under an id.
func (f *Flow) Resume(w http.ResponseWriter, r *http.Request, id, connectorID string) {
	f.serve(func(w http.ResponseWriter, r *http.Request) error {
		v, err := f.load(w, r, id)
		if err != nil {
			return err
		}
		if v.request.Repeat() != nil {
			return errLost(errNoLogin)
		}
		v.wanted = connectorID
		v.ConnectorID, v.Done, v.Secret = "", false, "" // it may become somebody else, from another source
		return f.advance(v)
	}).ServeHTTP(w, r)
}

// load returns the login that the browser holds under an id.
func (f *Flow) load(w http.ResponseWriter, r *http.Request, id string) (*visit, error) {
	l, err := f.logins.load(r.Context(), r, id)
	if err != nil {
		return nil, f.lost(r, id, l, err)
	}
	request, err := f.open(l)
	if err != nil {
		return nil, errLost(err)
	}
	v := &visit{w: w, r: r, login: l, request: request, ask: request.Ask()}
	v.belongs()
	v.ask.LoginHint = cmp.Or(l.Hint, v.ask.LoginHint)
	ui.Wish(r.Context(), v.ask.UILocales)
	return v, nil
}

// open returns what a login is for.
func (f *Flow) open(l *login) (Request, error) {
	p := f.purposes[l.Purpose]
	if p == nil {
		return nil, errNoLogin
	}
	request, err := p.Open(l.Document)
	if err != nil {
		return nil, fmt.Errorf("decode request of a login: %w", err)
	}
	return request, nil
}

// clientOf returns the client that a login is for.
func (f *Flow) clientOf(ctx context.Context, v *visit) (*client.Client, error) {
	if v.ask.Own != nil {
		return v.ask.Own, nil
	}
	c, err := f.cfg.Clients.Get(ctx, v.ask.ClientID)
	if errors.Is(err, client.ErrUnknown) {
		return nil, page.Errorf(http.StatusBadRequest, "The application is no longer registered.").Because(err)
	}
	if err != nil {
		return nil, page.Errorf(http.StatusInternalServerError, "The application's registration can't be read.").Because(err)
	}
	return c, nil
}

// clientName returns what people know the application by that a login is for; empty for a page of this server.
func (v *visit) clientName(c *client.Client) string {
	if v.ask.Own != nil {
		return ""
	}
	return c.DisplayName()
}

// keep keeps the login in the browser.
func (f *Flow) keep(v *visit) error { return tooLong(v, f.logins.keep(v.w, v.r, v.login)) }

// keepable refuses a request whose login could not be kept later.
func (f *Flow) keepable(v *visit) error { return tooLong(v, f.logins.fits(v.login)) }

// anew returns the address that begins the request anew, with the choice of connectors if there is one; empty where the
// application accepts one user only.
func (f *Flow) anew(v *visit) string {
	if v.ask.Subject != "" {
		return ""
	}
	params := f.repeat(v)
	params.Set(paramChoose, "1")
	return f.page.Path("/auth", params)
}

// anotherAccount returns the address that begins the request anew, and has sources ask which account it shall be: they may remember
// the one that was used; empty where the application accepts one user only.
func (f *Flow) anotherAccount(v *visit) string {
	if v.ask.Subject != "" {
		return ""
	}
	params := f.repeat(v)
	if len(v.ask.Prompt) == 0 && !params.Has("req") {
		params.Set("prompt", "select_account")
	}
	params.Set(paramChoose, "1")
	return f.page.Path("/auth", params)
}

// repeat returns the parameters that begin the request anew.
func (f *Flow) repeat(v *visit) url.Values {
	if params := v.request.Repeat(); params != nil {
		return params
	}
	return url.Values{"req": {v.ID}}
}
