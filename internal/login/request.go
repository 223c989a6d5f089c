package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"dex/internal/client"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/pkce"
)

// A request is an authorization request (RFC 6749, section 4.1.1) that has been checked whole. It travels sealed in the
// browser until the user has signed in.
type request struct {
	ID          string   `json:"id"`
	ClientID    string   `json:"client"`
	RedirectURI string   `json:"redirect"`
	State       string   `json:"state,omitempty"`
	Nonce       string   `json:"nonce,omitempty"`
	Scopes      []string `json:"scopes"`

	ResponseTypes []string `json:"responseTypes,omitempty"` // words in the order of responseWords
	Mode          string   `json:"mode,omitempty"`          // how the answer reaches the application

	Challenge pkce.Challenge `json:"challenge,omitzero"`
	// UserCode is set where the login is for a device; then there is no redirect URI.
	UserCode string `json:"userCode,omitempty"`
	DeviceID string `json:"deviceID,omitempty"`

	Prompt       []string       `json:"prompt,omitempty"`
	ForceConsent bool           `json:"forceConsent,omitempty"`
	MaxAge       *time.Duration `json:"maxAge,omitempty"`
	LoginHint    string         `json:"loginHint,omitempty"`
	Subject      string         `json:"subject,omitempty"` // whom the id_token_hint names
	ACRValues    string         `json:"acrValues,omitempty"`
	UILocales    string         `json:"uiLocales,omitempty"`

	ConnectorID   string    `json:"connector,omitempty"` // chosen by the application or by the user
	ConnectorData []byte    `json:"connectorData,omitempty"`
	AskedTwice    bool      `json:"askedTwice,omitempty"` // the source has been asked once more
	Code          string    `json:"code,omitempty"`       // that the application gets if the user agrees; as secret as the cookie
	Done          bool      `json:"done"`                 // the user has signed in; a page still comes. Always written, so that it never grows
	Expires       time.Time `json:"expires"`

	client *client.Client // while the request is being read
}

// parse reads and checks an authorization request from the query and, for POST, the body (OpenID Connect Core, 3.1.2.1).
// Until client and redirect URI are known to be right the error is a page; from then on the application is told, by an
// answer that is an error.
func (f *Flow) parse(r *http.Request) (*request, *client.Client, error) {
	if err := page.Parse(r, "The application's request can't be read."); err != nil {
		return nil, nil, err
	}
	c, err := f.requestingClient(r)
	if err != nil {
		return nil, nil, err
	}
	req := &request{
		ClientID: c.ID, RedirectURI: r.Form.Get("redirect_uri"), Expires: f.now().Add(f.cfg.RequestLifetime), client: c,
	}
	if len(r.Form["redirect_uri"]) != 1 || !c.AllowsRedirect(req.RedirectURI, f.cfg.Redirects) {
		f.log.ErrorContext(r.Context(), "unregistered redirect_uri", "redirect_uri", logged(req.RedirectURI), "client_id", c.ID)
		return nil, nil, page.Errorf(http.StatusBadRequest,
			"The application asked to be answered at an address that is not registered for it.").
			Hint("Its operator can add the redirect URI to the client's configuration.")
	}
	readObject(r.Form)
	req.State = r.Form.Get("state")
	if err := f.check(r, c, req); err != nil {
		var oe *oauth.Error
		if errors.As(err, &oe) {
			return nil, nil, &answerError{req: req, err: oe}
		}
		return nil, nil, err
	}
	return req, c, nil
}

// requestingClient finds the client of a request.
func (f *Flow) requestingClient(r *http.Request) (*client.Client, error) {
	ids := r.Form["client_id"]
	if len(ids) != 1 || ids[0] == "" {
		return nil, page.Errorf(http.StatusBadRequest, "The application's request does not say which application it is.").
			Hint("The parameter client_id must be given once.")
	}
	c, err := f.cfg.Clients.Find(r.Context(), ids[0])
	if exceeded, ok := errors.AsType[*limit.Exceeded](err); ok {
		return nil, page.TooMany(exceeded)
	}
	if errors.Is(err, client.ErrUnknown) {
		f.log.ErrorContext(r.Context(), "invalid client_id provided", "client_id", logged(ids[0]))
		return nil, page.Errorf(http.StatusBadRequest, "The application that sent you here is not registered.").
			Hint("Its operator can register the client id with this service.")
	}
	if err != nil {
		return nil, page.Errorf(http.StatusInternalServerError, "The application's registration can't be read.").Because(err)
	}
	return c, nil
}

// logged returns as much of what a stranger sent as a line of the log has room for.
func logged(value string) string {
	const longest = 512
	return value[:min(len(value), longest)]
}

// clientOf returns the client of a request that was checked before.
func (f *Flow) clientOf(ctx context.Context, req *request) (*client.Client, error) {
	c, err := f.cfg.Clients.Get(ctx, req.ClientID)
	if errors.Is(err, client.ErrUnknown) {
		return nil, page.Errorf(http.StatusBadRequest, "The application is no longer registered.").Because(err)
	}
	if err != nil {
		return nil, page.Errorf(http.StatusInternalServerError, "The application's registration can't be read.").Because(err)
	}
	return c, nil
}

// parameters that may be given once only (RFC 6749, section 3.1).
var single = []string{
	"response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "prompt", "max_age",
	"login_hint", "acr_values", "ui_locales", "approval_prompt", "connector_id", "id_token_hint", "response_mode",
}

// check reads the rest of a request, in the order in which errors are most telling.
func (f *Flow) check(r *http.Request, c *client.Client, req *request) error {
	var err error
	if req.Mode, err = f.readMode(r.Form); err != nil {
		return err
	}
	if err := oauth.CheckBounds(r.Form); err != nil {
		return err
	}
	if err := unsupported(r.Form); err != nil {
		return err
	}
	if req.Challenge, err = f.cfg.PKCE.Read(r.Form, c.Public); err != nil {
		return err
	}
	if err := f.checkResponseType(r.Form, req); err != nil {
		return err
	}
	if err := f.checkGrants(req); err != nil {
		return err
	}
	if err := f.checkNonce(r.Form, req); err != nil {
		return err
	}
	if req.Scopes, err = f.cfg.Policy.Scopes(r.Context(), c, req.grant(), strings.Fields(r.Form.Get("scope"))); err != nil {
		return err
	}
	if !req.wants(oauth.ResponseCode) { // OpenID Connect Core, section 11
		req.Scopes = slices.DeleteFunc(req.Scopes, func(scope string) bool { return scope == oauth.ScopeOfflineAccess })
	}
	if err := f.checkPrompt(r.Form, req); err != nil {
		return err
	}
	if err := f.checkHint(r.Context(), r.Form, req); err != nil {
		return err
	}
	req.LoginHint = r.Form.Get("login_hint")
	req.ACRValues = r.Form.Get("acr_values")
	req.UILocales = r.Form.Get("ui_locales")
	req.ConnectorID = r.Form.Get("connector_id")
	return nil
}

// unsupported refuses parameters that are given twice, and those that OpenID Connect Core (3.1.2.6) has an error code for.
func unsupported(form url.Values) error {
	for _, name := range single {
		if len(form[name]) > 1 {
			return oauth.Errorf(oauth.InvalidRequest, "The parameter %s is given more than once.", name)
		}
	}
	switch {
	case form.Get("request") != "":
		return oauth.Errorf(oauth.RequestNotSupported, "Request objects are not supported.")
	case form.Get("request_uri") != "":
		return oauth.Errorf(oauth.RequestURINotSupported, "Request objects are not supported.")
	case form.Get("registration") != "":
		return oauth.Errorf(oauth.RegistrationNotSupported, "Self-issued registration is not supported.")
	}
	return nil
}

// checkNonce demands a nonce where an ID token comes by the browser, which could otherwise be one from another login
// (OpenID Connect Core, 3.2.2.1 and 3.3.2.11).
func (f *Flow) checkNonce(form url.Values, req *request) error {
	req.Nonce = form.Get("nonce")
	optional := !req.wants(oauth.ResponseIDToken) || f.cfg.OptionalNonce && req.wants(oauth.ResponseCode)
	if !optional && req.Nonce == "" {
		return oauth.Errorf(oauth.InvalidRequest, "The parameter nonce is required with this response type.")
	}
	return nil
}

// checkPrompt reads how the application wants the user to be asked (OpenID Connect Core, 3.1.2.1). Without browser
// sessions nobody can be signed in without being asked.
func (f *Flow) checkPrompt(form url.Values, req *request) error {
	words := strings.Fields(form.Get("prompt"))
	for _, p := range []string{"none", "login", "consent", "select_account"} { // others are for other providers
		if slices.Contains(words, p) {
			req.Prompt = append(req.Prompt, p)
		}
	}
	if req.silent() && len(req.Prompt) > 1 {
		return oauth.Errorf(oauth.InvalidRequest, "prompt=none goes with no other value.")
	}
	if maxAge := form.Get("max_age"); maxAge != "" {
		seconds, err := strconv.ParseUint(maxAge, 10, 31)
		if err != nil && !f.cfg.AnyForm {
			return oauth.Errorf(oauth.InvalidRequest, "The parameter max_age must be a number of seconds.")
		}
		if age := time.Duration(seconds) * time.Second; err == nil {
			req.MaxAge = &age
		}
	}
	if req.silent() && !f.cfg.SilentLoginAsks {
		return oauth.Errorf(oauth.LoginRequired, "The user must be asked to sign in.")
	}
	req.ForceConsent = slices.Contains(req.Prompt, "consent") || form.Get("approval_prompt") == "force"
	return nil
}

// silent reports whether the user must not be asked anything.
func (req *request) silent() bool { return slices.Contains(req.Prompt, "none") }

// checkHint reads whom an ID token names that the application shows; it may have expired. One that can't be verified, as
// its key is long gone perhaps, says nothing about who may sign in, but nobody can be taken for its user without being asked.
func (f *Flow) checkHint(ctx context.Context, form url.Values, req *request) error {
	hint := form.Get("id_token_hint")
	if hint == "" {
		return nil
	}
	subject, err := f.cfg.Hints.VerifyHint(hint)
	switch {
	case err == nil:
		req.Subject = subject
	case req.silent():
		return oauth.Errorf(oauth.LoginRequired, "The id_token_hint is not a token of this provider.").Because(err)
	default:
		form.Del("id_token_hint") // and don't repeat it
		f.log.InfoContext(ctx, "id_token_hint ignored", "client_id", req.ClientID, "err", err)
	}
	return nil
}

// grant returns the grant that the request is the beginning of.
func (req *request) grant() string {
	if req.UserCode != "" {
		return oauth.GrantDeviceCode
	}
	if req.wants(oauth.ResponseToken) || req.wants(oauth.ResponseIDToken) {
		return oauth.GrantImplicit
	}
	return oauth.GrantAuthorizationCode
}

// restart returns the address that begins the request anew, with another connector perhaps; empty where the application
// accepts one user only.
func (f *Flow) restart(req *request) string {
	if req.Subject != "" {
		return ""
	}
	if req.UserCode != "" {
		return f.page.Path("/auth", url.Values{"req": {req.ID}})
	}
	return f.page.Path("/auth", req.parameters())
}

// parameters returns the request as it would be sent anew, for links that begin it again.
func (req *request) parameters() url.Values {
	v := url.Values{
		"client_id":     {req.ClientID},
		"redirect_uri":  {req.RedirectURI},
		"response_type": {strings.Join(req.ResponseTypes, " ")},
		"scope":         {strings.Join(req.Scopes, " ")},
	}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("state", req.State)
	set("nonce", req.Nonce)
	set("response_mode", req.Mode)
	set("code_challenge", req.Challenge.Value)
	set("code_challenge_method", req.Challenge.Method)
	set("prompt", strings.Join(req.Prompt, " "))
	set("login_hint", req.LoginHint)
	set("acr_values", req.ACRValues)
	set("ui_locales", req.UILocales)
	if req.ForceConsent && !slices.Contains(req.Prompt, "consent") {
		v.Set("approval_prompt", "force")
	}
	if req.MaxAge != nil {
		v.Set("max_age", strconv.Itoa(int(*req.MaxAge/time.Second)))
	}
	return v
}
