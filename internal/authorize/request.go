package authorize

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/pkce"
	"dex/internal/policy"
)

// A Request is an authorization request (RFC 6749, section 4.1.1) that has been checked whole.
type Request struct {
	ClientID    string   `json:"client"`
	RedirectURI string   `json:"redirect"`
	State       string   `json:"state,omitempty"`
	Nonce       string   `json:"nonce,omitempty"`
	Scopes      []string `json:"scopes"`

	ResponseTypes []string `json:"responseTypes,omitempty"` // words in the order of responseWords
	Mode          string   `json:"mode,omitempty"`          // how the answer reaches the application

	Challenge pkce.Challenge `json:"challenge,omitzero"`

	Prompt       []string       `json:"prompt,omitempty"`
	ForceConsent bool           `json:"forceConsent,omitempty"`
	MaxAge       *time.Duration `json:"maxAge,omitempty"`
	LoginHint    string         `json:"loginHint,omitempty"`
	Subject      string         `json:"subject,omitempty"` // whom the id_token_hint names
	ACRValues    string         `json:"acrValues,omitempty"`
	UILocales    string         `json:"uiLocales,omitempty"`
	ConnectorID  string         `json:"connector,omitempty"` // that the application has chosen

	purpose *Purpose
	form    url.Values // as the application sent it; nil once the request has been kept
}

// Parse reads and checks an authorization request. Until client and redirect URI are known to be right it returns no request,
// and an error for the user. From then on it returns the request, and an *oauth.Error is for the application.
func (p *Purpose) Parse(ctx context.Context, params url.Values) (*Request, error) {
	c, err := p.requestingClient(ctx, params)
	if err != nil {
		return nil, err
	}
	req := &Request{ClientID: c.ID, RedirectURI: params.Get("redirect_uri"), purpose: p, form: maps.Clone(params)}
	if len(params["redirect_uri"]) != 1 || !c.AllowsRedirect(req.RedirectURI, p.cfg.Redirects) {
		p.cfg.Events.Emit(ctx, event.UnregisteredRedirect{ClientID: c.ID, RedirectURI: logged(req.RedirectURI)})
		return nil, page.Errorf(http.StatusBadRequest,
			"The application wants you sent back to an address that is not registered for it.").
			Hint("The people who run the application can have its redirect URI registered here.").
			Detail("client_id", c.ID).Detail("redirect_uri", strings.Join(params["redirect_uri"], " "))
	}
	readObject(req.form)
	req.State = req.form.Get("state")
	return req, req.read(ctx, c)
}

// requestingClient finds the client of a request.
func (p *Purpose) requestingClient(ctx context.Context, params url.Values) (*client.Client, error) {
	ids := params["client_id"]
	if len(ids) != 1 || ids[0] == "" {
		return nil, page.Errorf(http.StatusBadRequest, "The request doesn't say which application sent you here.").
			Hint("The parameter client_id must be given once.").
			Detail("client_id", strings.Join(ids, " ")).Detail("redirect_uri", params.Get("redirect_uri"))
	}
	c, err := p.cfg.Clients.Find(ctx, ids[0])
	if exceeded, ok := errors.AsType[*limit.Exceeded](err); ok {
		return nil, page.TooMany(exceeded)
	}
	if errors.Is(err, client.ErrUnknown) {
		p.cfg.Events.Emit(ctx, event.UnknownClient{ClientID: logged(ids[0])})
		return nil, page.Errorf(http.StatusBadRequest, "The application that sent you here is not registered with this service.").
			Hint("The people who run the application can have its client ID registered here.").
			Detail("client_id", ids[0]).Detail("redirect_uri", params.Get("redirect_uri"))
	}
	if err != nil {
		return nil, page.Errorf(http.StatusInternalServerError, "The application's registration can't be read.").Because(err)
	}
	return c, nil
}

// logged cuts what a stranger sent to a length that suits a line of the log.
func logged(value string) string {
	const longest = 512
	return value[:min(len(value), longest)]
}

// single are the parameters that may be given only once (RFC 6749, section 3.1).
var single = []string{
	"response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "prompt", "max_age",
	"login_hint", "acr_values", "ui_locales", "approval_prompt", "connector_id", "id_token_hint", "response_mode",
}

// read reads the rest of a request, in the order in which errors are most telling.
func (req *Request) read(ctx context.Context, c *client.Client) error {
	p, form := req.purpose, req.form
	var err error
	if req.Mode, err = p.readMode(form); err != nil {
		return err
	}
	if err := oauth.CheckBounds(form); err != nil {
		return err
	}
	if err := unsupported(form); err != nil {
		return err
	}
	if req.Challenge, err = p.cfg.PKCE.Read(form, c.Public); err != nil {
		return err
	}
	if err := req.readResponseType(); err != nil {
		return err
	}
	grant, also := req.grants()
	decision, err := p.cfg.Policy.Decide(ctx, policy.Question{
		Stage: policy.Asked, Client: c, Grant: grant, Also: also, Login: true, Scopes: strings.Fields(form.Get("scope")),
	})
	if err != nil {
		return err
	}
	req.Scopes = decision.Scopes
	if err := req.checkServed(); err != nil {
		return err
	}
	if err := req.readNonce(); err != nil {
		return err
	}
	if err := req.readPrompt(); err != nil {
		return err
	}
	if err := req.readHint(ctx); err != nil {
		return err
	}
	req.LoginHint = form.Get("login_hint")
	req.ACRValues = form.Get("acr_values")
	req.UILocales = form.Get("ui_locales")
	req.ConnectorID = form.Get("connector_id")
	return nil
}

// grants returns the grant that the policy is asked about, and the one that comes with it: a code beside tokens.
func (req *Request) grants() (grant string, also []string) {
	tokens := req.wants(oauth.ResponseToken) || req.wants(oauth.ResponseIDToken)
	switch {
	case tokens && req.wants(oauth.ResponseCode):
		return oauth.GrantImplicit, []string{oauth.GrantAuthorizationCode}
	case tokens:
		return oauth.GrantImplicit, nil
	}
	return oauth.GrantAuthorizationCode, nil
}
