// Package device lets users sign in in a browser for a device that has none (RFC 8628): the device gets a code, its user
// types it here and signs in, and the device, which has kept asking, gets its tokens.
package device

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"dex/internal/client"
	"dex/internal/limit"
	"dex/internal/login"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/server"
	"dex/internal/token"
	"dex/internal/ui"
)

// A Login begins the login of a user for a device.
type Login interface {
	BeginDevice(w http.ResponseWriter, r *http.Request, d login.DeviceLogin)
}

// Config is what the endpoints are made of.
type Config struct {
	IssuerURL *url.URL
	Clients   *client.Registry
	Policy    *policy.Policy
	Devices   *token.Devices
	Login     Login
	Token     http.Handler // the token endpoint
	Limits    *limit.Set
	Pages     *ui.UI
	Log       *slog.Logger

	Enabled          bool // whether devices may ask for codes
	EnforcePKCE      bool
	ChallengeMethods []string
	AnyForm          bool // take code challenges of any form, and ignore a method without one
	SecretLater      bool // clients may show their secrets at the token endpoint instead
	SkipConfirmation bool // don't ask users about the device, as upstream does
}

// Endpoints are the pages and endpoints of the device flow.
type Endpoints struct {
	cfg   Config
	base  string // the issuer's path, "" for the root
	forms *server.FormGuard
}

// New returns the endpoints of the device flow.
func New(cfg Config) *Endpoints {
	base := path.Clean("/" + cfg.IssuerURL.EscapedPath())
	if base == "/" {
		base = ""
	}
	return &Endpoints{cfg: cfg, base: base, forms: server.NewFormGuard(cfg.IssuerURL)}
}

// Redirect returns the page for an authorization request whose redirect URI is the way back into upstream's own device
// flow, in either of its forms: its user code is in the state.
func (e *Endpoints) Redirect(redirectURI, state string) (target string, ok bool) {
	if !e.cfg.Enabled || redirectURI != oauth.DeviceCallback && redirectURI != e.base+oauth.DeviceCallback {
		return "", false
	}
	return e.base + "/device?" + url.Values{"user_code": {shown(state)}}.Encode(), true
}

// Authorize is the device authorization endpoint (RFC 8628, section 3.1).
func (e *Endpoints) Authorize() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !oauth.PostOnly(w, r) {
			return
		}
		body, err := e.authorize(r)
		if err != nil {
			oauth.Refuse(w, r, e.cfg.Log, "device authorization request refused", err)
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
	if err := e.cfg.Policy.Grant(c, oauth.GrantDeviceCode); err != nil {
		return nil, err
	}
	challenge, err := e.challenge(f)
	if err != nil {
		return nil, err
	}
	requested := strings.Fields(f.Get("scope"))
	if len(requested) == 0 {
		requested = []string{oauth.ScopeOpenID}
	}
	scopes, err := e.cfg.Policy.Scopes(r.Context(), c, oauth.GrantDeviceCode, requested)
	if err != nil {
		return nil, err
	}
	if c.Public || !authenticated { // so that anybody may be asking, and each request is a record in the storage
		if err := e.cfg.Limits.DeviceRequest(r.Context()); err != nil {
			return nil, limit.Refusal(err)
		}
	}
	codes, err := e.cfg.Devices.Begin(r.Context(), token.DeviceRequest{
		ClientID: c.ID, Authenticated: authenticated, Scopes: scopes, Challenge: challenge,
	})
	if err != nil {
		return nil, err
	}
	return e.encode(codes)
}

// client finds out which client a device is of, and whether it has shown that it is. Some libraries don't send the secret
// here, but only when they ask for the tokens.
func (e *Endpoints) client(r *http.Request, f oauth.Form) (c *client.Client, authenticated bool, err error) {
	if !e.cfg.SecretLater || f.Has("client_secret") || r.Header.Get("Authorization") != "" {
		c, err = e.cfg.Clients.Authenticate(r, e.cfg.Log)
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

// challenge reads the proof key, which the device shows at the token endpoint.
func (e *Endpoints) challenge(f oauth.Form) (token.Challenge, error) {
	value, method := f.Get("code_challenge"), f.Get("code_challenge_method")
	switch {
	case value == "" && e.cfg.EnforcePKCE:
		return token.Challenge{}, oauth.Errorf(oauth.InvalidRequest, "The parameter code_challenge is required.")
	case value == "" && method != "" && !e.cfg.AnyForm:
		return token.Challenge{}, oauth.Errorf(oauth.InvalidRequest, "There is a code_challenge_method without a code_challenge.")
	case value == "":
		return token.Challenge{}, nil
	case method == "":
		method = oauth.ChallengePlain
	}
	if !slices.Contains(e.cfg.ChallengeMethods, method) {
		return token.Challenge{}, oauth.Errorf(oauth.InvalidRequest, "The code_challenge_method must be one of: %s.",
			strings.Join(e.cfg.ChallengeMethods, ", "))
	}
	c := token.Challenge{Value: value, Method: method, AnyForm: e.cfg.AnyForm}
	if !c.Valid() {
		return token.Challenge{}, oauth.Errorf(oauth.InvalidRequest, "The code_challenge is malformed.")
	}
	return c, nil
}

// encode writes the answer of RFC 8628 (3.2).
func (e *Endpoints) encode(codes token.DeviceCodes) ([]byte, error) {
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
			oauth.Refuse(w, r, e.cfg.Log, "token request refused", err)
			return
		}
		e.cfg.Token.ServeHTTP(w, r)
	})
}
