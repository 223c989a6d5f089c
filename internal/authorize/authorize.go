// Package authorize is the authorization endpoint: it reads an application's request, lets a login find out who the user is,
// and answers the application with a code, with tokens, or with an error.
package authorize

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"

	"dex/internal/client"
	"dex/internal/code"
	"dex/internal/event"
	"dex/internal/login"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/pkce"
	"dex/internal/policy"
	"dex/internal/token"
	"dex/internal/ui"
)

// Hints verifies tokens that applications show as a hint of who the user is.
type Hints interface {
	// VerifyHint returns whom a token of ours names, even if it has expired.
	VerifyHint(token string) (subject string, err error)
}

// Config is what a Purpose is made of.
type Config struct {
	Issuer    string // as configured
	IssuerURL *url.URL
	Clients   *client.Registry
	Policy    policy.Decider
	Codes     *code.Codes
	Minter    *token.Minter
	Hints     Hints
	Pages     *ui.UI
	Log       *slog.Logger
	Events    event.Sink

	ResponseTypes []string // as configured: words, and combinations of words
	PKCE          pkce.Rules
	// Sessions says that browsers' sessions are on, so that prompt=none can succeed.
	Sessions bool
	// DeviceRedirect returns the page for a request whose redirect URI belongs to upstream's device flow; false for others.
	DeviceRedirect func(redirectURI, state string) (target string, ok bool)

	// Switches of oauth2.compatibility. The zero value of each is the default.
	Redirects       client.RedirectRules
	AnyForm         bool     // ignore a response_mode or max_age that makes no sense instead of refusing it
	OptionalNonce   bool     // a nonce may be missing where a code comes too
	SilentLoginAsks bool     // prompt=none does what no prompt does
	NoIssuer        bool     // answers don't name the issuer
	OnlyGrants      []string // the grants that the authorization endpoint serves; nil for all
}

// Purpose is logins for authorization requests.
type Purpose struct {
	cfg  Config
	page *page.Frame
}

// New returns the purpose.
func New(cfg Config) *Purpose {
	return &Purpose{cfg: cfg, page: page.New(cfg.IssuerURL, cfg.Pages, cfg.Events)}
}

// Name implements login.Purpose.
func (p *Purpose) Name() string { return "authorize" }

// Open implements login.Purpose.
func (p *Purpose) Open(document []byte) (login.Request, error) {
	req := &Request{purpose: p}
	if err := json.Unmarshal(document, req); err != nil {
		return nil, err
	}
	return req, nil
}

// Ask implements login.Request.
func (req *Request) Ask() login.Ask {
	grant, also := req.grants()
	return login.Ask{
		ClientID:    req.ClientID,
		Grant:       grant,
		Also:        also,
		Scopes:      req.Scopes,
		RedirectURI: req.RedirectURI,
		ConnectorID: req.ConnectorID,
		Subject:     req.Subject,
		Silent:      req.silent(),
		Consent:     req.ForceConsent,
		Prompt:      req.Prompt,
		MaxAge:      req.MaxAge,
		LoginHint:   req.LoginHint,
		ACRValues:   req.ACRValues,
		UILocales:   req.UILocales,
	}
}

// Endpoint is the authorization endpoint.
type Endpoint struct {
	*Purpose
	login *login.Flow
}

// NewEndpoint returns the authorization endpoint, which begins logins.
func NewEndpoint(p *Purpose, l *login.Flow) *Endpoint { return &Endpoint{Purpose: p, login: l} }

// Authorize serves the endpoint: it begins a login, at once where there is nothing to choose, or through the connector that
// the path names.
func (e *Endpoint) Authorize() http.Handler { return e.page.Serve(e.authorize) }

func (e *Endpoint) authorize(w http.ResponseWriter, r *http.Request) error {
	if err := page.Parse(r, "The application's request can't be read."); err != nil {
		return err
	}
	ui.Wish(r.Context(), r.Form.Get("ui_locales"))
	if target, ok := e.cfg.DeviceRedirect(r.Form.Get("redirect_uri"), r.Form.Get("state")); ok {
		http.Redirect(w, r, target, http.StatusFound)
		return nil
	}
	connectorID := r.PathValue("connector")
	if id := r.URL.Query().Get("req"); id != "" {
		e.login.Resume(w, r, id, connectorID)
		return nil
	}
	req, err := e.Parse(r.Context(), r.Form)
	if refused, ok := errors.AsType[*oauth.Error](err); ok && req != nil {
		return e.refuse(w, r, req, refused)
	}
	if err != nil {
		return err
	}
	if connectorID != "" && req.ConnectorID != "" && req.ConnectorID != connectorID {
		return page.Errorf(http.StatusBadRequest, "The application's request names two different ways to log in.")
	}
	e.login.Begin(w, r, e.Purpose, req, connectorID)
	return nil
}

// refuse tells the application that its request is refused.
func (e *Endpoint) refuse(w http.ResponseWriter, r *http.Request, req *Request, refused *oauth.Error) error {
	e.page.Report(r, event.LoginFailed{ClientID: req.ClientID, Status: refused.Status(), Code: refused.Code, Err: refused})
	end, err := req.Refused(r, login.Refusal{Err: refused})
	if err != nil {
		return err
	}
	end.Show(w, r)
	return nil
}
