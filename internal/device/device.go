// Package device lets users sign in in a browser for a device that has none (RFC 8628): the device gets a code, its user
// types it here and signs in, and the device, which has kept asking, gets its tokens.
package device

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dex/internal/client"
	"dex/internal/event"
	"dex/internal/limit"
	"dex/internal/login"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/pkce"
	"dex/internal/policy"
	"dex/internal/ui"
)

// Config is what the endpoints are made of.
type Config struct {
	IssuerURL *url.URL
	Clients   *client.Registry
	Policy    policy.Decider
	Devices   *Codes
	Purpose   *Purpose
	Login     *login.Flow
	Token     http.Handler // the token endpoint
	Limits    *limit.Set
	Pages     *ui.UI
	Events    event.Sink

	Enabled          bool // whether devices may ask for codes
	PKCE             pkce.Rules
	SecretLater      bool // clients may show their secrets at the token endpoint instead
	SkipConfirmation bool // don't ask users about the device, as upstream does
}

// Endpoints are the pages and endpoints of the device flow.
type Endpoints struct {
	cfg  Config
	page *page.Frame
}

// New returns the endpoints of the device flow.
func New(cfg Config) *Endpoints {
	return &Endpoints{cfg: cfg, page: page.New(cfg.IssuerURL, cfg.Pages, cfg.Events).ForDevices()}
}

// Authorize is the device authorization endpoint (RFC 8628, section 3.1).
func (e *Endpoints) Authorize() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !oauth.PostOnly(w, r) {
			return
		}
		body, err := e.authorize(r)
		if err != nil {
			oauth.Refuse(w, r, e.cfg.Events, event.DeviceAuthorization, err)
			return
		}
		oauth.WriteJSON(w, http.StatusOK, body)
	})
}

func (e *Endpoints) authorize(r *http.Request) ([]byte, error) {
	f, err := oauth.ReadForm(r)
	if err != nil {
		return nil, err
	}
	if !e.cfg.Enabled {
		return nil, oauth.Errorf(oauth.UnsupportedGrantType, "The device grant is not served here.")
	}
	c, authenticated, err := e.client(r, f)
	if err != nil {
		return nil, err
	}
	// The code of a device passes through no browser, so that a public client may do without.
	challenge, err := e.cfg.PKCE.Read(f, false)
	if err != nil {
		return nil, err
	}
	requested := strings.Fields(f.Get("scope"))
	if len(requested) == 0 {
		requested = []string{oauth.ScopeOpenID}
	}
	decision, err := e.cfg.Policy.Decide(r.Context(), policy.Question{
		Stage: policy.Asked, Client: c, Grant: oauth.GrantDeviceCode, Login: true, Scopes: requested,
	})
	if err != nil {
		return nil, err
	}
	if c.Public || !authenticated { // anybody may be asking, and each request is a record in the storage
		if err := e.cfg.Limits.DeviceRequest(r.Context()); err != nil {
			return nil, limit.Refusal(err)
		}
	}
	codes, err := e.cfg.Devices.Begin(r.Context(), Request{
		ClientID: c.ID, Authenticated: authenticated, Scopes: decision.Scopes, Challenge: challenge,
	})
	if err != nil {
		return nil, err
	}
	return e.encode(codes)
}

// client finds the client that a device belongs to, and whether it has authenticated. Some libraries don't send the secret
// here, but only when they ask for the tokens.
func (e *Endpoints) client(r *http.Request, f oauth.Form) (c *client.Client, authenticated bool, err error) {
	if !e.cfg.SecretLater || f.Has("client_secret") || r.Header.Get("Authorization") != "" {
		c, err = e.cfg.Clients.Authenticate(r, e.cfg.Events)
		return c, err == nil, err
	}
	c, err = e.cfg.Clients.Find(r.Context(), f.Get("client_id"))
	if _, exceeded := errors.AsType[*limit.Exceeded](err); exceeded {
		return nil, false, limit.Refusal(err)
	}
	if errors.Is(err, client.ErrUnknown) {
		return nil, false, oauth.Errorf(oauth.InvalidClient, "Invalid client credentials.").Because(err)
	}
	return c, err == nil && c.Public && c.Secret == "", err
}

// encode writes the answer of RFC 8628 (3.2).
func (e *Endpoints) encode(codes Issued) ([]byte, error) {
	page := e.cfg.IssuerURL.JoinPath("device")
	complete := *page
	complete.RawQuery = url.Values{"user_code": {codes.UserCode}}.Encode()
	return json.Marshal(struct {
		DeviceCode      string `json:"device_code"`
		UserCode        string `json:"user_code"`
		VerificationURI string `json:"verification_uri"`
		Complete        string `json:"verification_uri_complete"`
		ExpiresIn       int64  `json:"expires_in"`
		Interval        int64  `json:"interval"`
	}{
		codes.DeviceCode, codes.UserCode, page.String(), complete.String(),
		int64(codes.Lifetime / time.Second), int64(codes.Interval / time.Second),
	})
}

// TokenAlias is the token endpoint under the path that old devices know, for the device grant only.
func (e *Endpoints) TokenAlias() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !oauth.PostOnly(w, r) {
			return
		}
		f, err := oauth.ReadForm(r)
		if err == nil && f.Get("grant_type") != oauth.GrantDeviceCode {
			err = oauth.Errorf(oauth.InvalidGrant, "This address is for the device grant only.")
		}
		if err != nil {
			oauth.Refuse(w, r, e.cfg.Events, event.Token, err)
			return
		}
		e.cfg.Token.ServeHTTP(w, r)
	})
}
