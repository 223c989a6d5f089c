package account

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/federation"
	"dex/internal/login"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/ui"
)

// own stands for the account in logins. Nobody has registered it, and no application may have its id in tokens, as it gets none.
var own = &client.Client{ID: "dex-account", Name: "Your account"}

// Purpose is logins with which people see what is theirs.
type Purpose struct {
	page *page.Frame
}

// NewPurpose returns the purpose.
func NewPurpose(issuer *url.URL, pages *ui.UI, events event.Sink) *Purpose {
	return &Purpose{page: page.New(issuer, pages, events)}
}

// Name implements login.Purpose.
func (p *Purpose) Name() string { return "account" }

// Open implements login.Purpose.
func (p *Purpose) Open(document []byte) (login.Request, error) {
	req := &request{purpose: p}
	if err := json.Unmarshal(document, req); err != nil {
		return nil, err
	}
	return req, nil
}

// A request is somebody who wants to see what is theirs, or has to prove anew who they are.
type request struct {
	// Subject is the user who must sign in, and ConnectorID their source; empty for anybody.
	Subject     string `json:"subject,omitempty"`
	ConnectorID string `json:"connector,omitempty"`
	Another     bool   `json:"another,omitempty"` // an account that the browser doesn't have yet
	Target      target `json:"target,omitzero"`   // where the login leads

	purpose *Purpose
}

// Ask implements login.Request.
func (req *request) Ask() login.Ask {
	ask := login.Ask{
		ClientID: own.ID, Own: own, Grant: oauth.GrantAuthorizationCode, Scopes: []string{oauth.ScopeOpenID},
		Subject: req.Subject, ConnectorID: req.ConnectorID,
	}
	switch {
	case req.Subject != "":
		ask.Prompt, ask.MaxAge, ask.FreshFactor = []string{"login"}, new(time.Duration), true
	case req.Another:
		ask.Prompt = []string{"login", "select_account"}
	}
	return ask
}

// Repeat implements login.Request. No address says who must sign in.
func (req *request) Repeat() url.Values { return nil }

// Check implements login.Request.
func (req *request) Check(*client.Client) error { return nil }

// WayOn implements login.Request.
func (req *request) WayOn(context.Context) login.WayOn {
	return login.WayOn{StartURL: req.home(), StartText: "Your account"}
}

func (req *request) home() string { return homePath(req.purpose.page, "") }

// Granted leads to where the user wanted to go.
func (req *request) Granted(_ *http.Request, g login.Grant) (login.End, error) {
	return goTo(req.Target.path(req.purpose.page, g.Authorization.SessionID, true)), nil
}

// Refused says why nobody has signed in. Those who turned back at their source are led back.
func (req *request) Refused(_ *http.Request, no login.Refusal) (login.End, error) {
	if no.ByUser {
		return goTo(req.home()), nil
	}
	shown := page.Errorf(no.Err.Status(), "%s", no.Err.PublicDescription())
	switch {
	case no.Denied != nil:
		shown.Status, shown.Message, shown.Advice = http.StatusForbidden, no.Denied.Reason, no.Denied.Advice
	case no.Err.Code == oauth.LoginRequired:
		shown = page.Errorf(http.StatusForbidden, "To go on, you have to log in again with the same account.")
	}
	if failure, ok := errors.AsType[*federation.Failure](no.Err); ok && !failure.Outcome.RetryHelps() {
		shown.Advice = cmp.Or(shown.Advice, "Tell the people who run this service.")
	}
	_ = shown.Retry(req.home(), "Your account") // shown itself
	return login.End{Show: func(w http.ResponseWriter, r *http.Request) { req.purpose.page.Show(w, r, shown) }}, nil
}

func goTo(address string) login.End {
	return login.End{Address: address, Show: func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, address, http.StatusSeeOther)
	}}
}

// A target is a page of the account that a login leads back to.
type target struct {
	Page          string `json:"page,omitempty"` // one of pages; empty for the home page
	Authenticator string `json:"authenticator,omitempty"`
	Credential    string `json:"credential,omitempty"`
}

// The pages that need a login just before, by their path.
const (
	pageTOTP     = "/account/totp"
	pagePasskey  = "/account/passkey"
	pageRemove   = "/account/remove"
	pageRecovery = "/account/recovery"
	pagePassword = "/account/password"
)

const (
	fieldAuthenticator = "authenticator"
	fieldCredential    = "id"
	paramAgain         = "again" // set where a login has led back
)

// path returns the address of a page, for the account of a session.
func (t target) path(p *page.Frame, sessionID string, again bool) string {
	if t.Page == "" {
		return homePath(p, "")
	}
	params := url.Values{fieldAccount: {sessionID}}
	if t.Authenticator != "" {
		params.Set(fieldAuthenticator, t.Authenticator)
	}
	if t.Credential != "" {
		params.Set(fieldCredential, t.Credential)
	}
	if again {
		params.Set(paramAgain, "1")
	}
	return p.Path(t.Page, params)
}
