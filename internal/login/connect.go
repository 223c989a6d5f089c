package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/token"
	"dex/internal/ui"
)

// maxForm bounds the body of a form of ours, in bytes.
const maxForm = 64 << 10

// begin starts the login of a connector: at the provider it stands for, or at our password form.
func (f *Flow) begin(w http.ResponseWriter, r *http.Request, req *request, d *federation.Definition) error {
	source, err := f.cfg.Connectors.Open(r.Context(), d.ID)
	if err != nil {
		return f.sourceFailed(req, oauth.TemporarilyUnavailable, "The identity source can't be reached.", err)
	}
	// Each try has an id, and so a state, of its own: two tabs with one login for a device must not answer for each other,
	// nor the answer of one source go to another (RFC 9700, section 4.4).
	req.ID, req.ConnectorID, req.ConnectorData = newID(f.now()), d.ID, nil
	target, err := f.target(r.Context(), req, source)
	if err != nil {
		return err
	}
	if err := f.keep(w, r, req); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, target, http.StatusFound) //nolint:gosec // G710: the connector's address, not the request's
	return nil
}

// target returns where a connector's login takes place.
func (f *Flow) target(ctx context.Context, req *request, source *federation.Opened) (string, error) {
	switch instance := source.Instance.(type) {
	case connector.Callback:
		to, err := instance.Begin(ctx, f.loginRequest(req))
		if err != nil {
			return "", f.sourceFailed(req, oauth.ServerError, "The identity source can't be asked.", err)
		}
		req.ConnectorData = to.Data
		return to.URL, nil
	case connector.Password:
		return f.connectorPath(source.ID) + "/login?" + url.Values{"state": {req.ID}}.Encode(), nil
	}
	return "", refuse(req, oauth.ServerError, "The connector can't sign anybody in.", nil)
}

// loginRequest is what a source is told of a request.
func (f *Flow) loginRequest(req *request) connector.LoginRequest {
	told := connector.LoginRequest{
		Scopes:      req.connectorScopes(),
		CallbackURL: f.cfg.IssuerURL.JoinPath("callback").String(),
		State:       req.ID,
	}
	if f.cfg.KeepHints {
		return told
	}
	told.LoginHint, told.ACRValues, told.UILocales, told.MaxAge = req.LoginHint, req.ACRValues, req.UILocales, req.MaxAge
	if !req.silent() {
		told.Prompt = req.Prompt
	}
	userID, connectorID, err := token.ReadSubject(req.Subject)
	if err == nil && connectorID == req.ConnectorID {
		told.UserID = userID
	}
	return told
}

func (req *request) connectorScopes() connector.Scopes {
	var s connector.Scopes
	for _, scope := range req.Scopes {
		switch scope {
		case oauth.ScopeOfflineAccess:
			s.OfflineAccess = true
		case oauth.ScopeGroups:
			s.Groups = true
		}
	}
	return s
}

// Password is the password form of a connector.
func (f *Flow) Password() http.Handler { return f.serve(f.password) }

func (f *Flow) password(w http.ResponseWriter, r *http.Request) error {
	req, source, err := f.underWay(r, r.URL.Query().Get("state"))
	if err != nil {
		return err
	}
	checker, ok := source.Instance.(connector.Password)
	if !ok {
		return pageErrorf(http.StatusBadRequest, "This way to log in takes no password.")
	}
	page, err := f.passwordPage(r, req, source, checker)
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		f.cfg.Pages.Password(w, r, http.StatusOK, page)
		return nil
	case http.MethodPost:
		return f.checkPassword(w, r, req, source, checker, page)
	}
	w.Header().Set("Allow", "GET, HEAD, POST")
	return pageErrorf(http.StatusMethodNotAllowed, "This page takes GET and POST requests only.")
}

func (f *Flow) checkPassword(
	w http.ResponseWriter, r *http.Request, req *request, source *federation.Opened, checker connector.Password,
	page ui.PasswordPage,
) error {
	if err := f.readForm(w, r); err != nil {
		return err
	}
	page.Username = r.PostForm.Get("login")
	identity, ok, err := f.cfg.Limits.CheckPassword(r.Context(), source.ID, checker, req.connectorScopes(),
		page.Username, r.PostForm.Get("password"))
	var denied *connector.Denied
	var exceeded *limit.Exceeded
	switch {
	case errors.As(err, &exceeded):
		f.logFailure(r, http.StatusTooManyRequests, err)
		w.Header().Set("Retry-After", strconv.Itoa(exceeded.Seconds()))
		page.Message = exceeded.Message()
		f.cfg.Pages.Password(w, r, http.StatusTooManyRequests, page)
		return nil
	case errors.As(err, &denied):
		return refuse(req, oauth.AccessDenied, denied.Reason, err)
	case err != nil:
		// The user can try again, the application could only give up.
		f.logFailure(r, http.StatusServiceUnavailable, err)
		page.Message = "Your password can't be checked at the moment. Please try again."
		f.cfg.Pages.Password(w, r, http.StatusServiceUnavailable, page)
		return nil
	case !ok:
		f.log.ErrorContext(r.Context(), "failed login attempt: Invalid credentials.",
			"connector_id", source.ID, "user", page.Username)
		page.Invalid = true
		f.cfg.Pages.Password(w, r, http.StatusUnauthorized, page)
		return nil
	}
	if identity.Methods == nil {
		identity.Methods = []string{oauth.MethodPassword}
	}
	return f.finish(w, r, req, source.Definition, identity)
}

// localType is the type of our own password database.
const localType = "local"

func (f *Flow) passwordPage(
	r *http.Request, req *request, source *federation.Opened, checker connector.Password,
) (ui.PasswordPage, error) {
	c, err := f.clientOf(r.Context(), req)
	if err != nil {
		return ui.PasswordPage{}, err
	}
	choice, err := f.choice(r.Context(), req, c)
	if err != nil {
		return ui.PasswordPage{}, err
	}
	page := ui.PasswordPage{
		PostURL:        r.URL.RequestURI(),
		Username:       req.LoginHint,
		UsernamePrompt: checker.Prompt(),
		Client:         c.DisplayName(),
	}
	if source.Type != localType { // whose users have no other account that could be meant
		page.Connector = source.Name
	}
	if len(choice) > 1 {
		page.BackLink = f.restart(req)
	}
	return page, nil
}

// Callback is where providers send the browser back, with or without the connector in the path.
func (f *Flow) Callback() http.Handler { return f.serve(f.callback) }

func (f *Flow) callback(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return pageErrorf(http.StatusMethodNotAllowed, "The provider that you came from must send you here by a redirect.")
	}
	req, source, err := f.underWay(r, r.URL.Query().Get("state"))
	if err != nil {
		return err
	}
	provider, ok := source.Instance.(connector.Callback)
	if !ok {
		return pageErrorf(http.StatusBadRequest, "This way to log in does not lead over another provider.")
	}
	if req.Done {
		return f.goOn(w, r, req)
	}
	if r.PathValue("connector") == "" {
		stripProxyHeaders(r)
	}
	identity, err := provider.HandleCallback(r.Context(), connector.Return{
		Scopes: req.connectorScopes(), State: req.ID, Data: req.ConnectorData, Request: r,
	})
	var denied *connector.Denied
	switch {
	case errors.As(err, &denied):
		return refuse(req, oauth.AccessDenied, denied.Reason, err)
	case err != nil:
		return f.sourceFailed(req, oauth.ServerError, "The identity source did not sign the user in.", err)
	}
	return f.finish(w, r, req, source.Definition, identity)
}

// sourceFailed is the error for a source that fails: the application is told, or, as upstream has it, the user.
func (f *Flow) sourceFailed(req *request, code, description string, cause error) error {
	if f.cfg.ShowFailures {
		return pageErrorf(http.StatusInternalServerError, "The service that you log in with has failed.").
			hint("Go back to the application and log in again.").because(cause)
	}
	return refuse(req, code, description, cause)
}

// stripProxyHeaders removes what only a proxy in front of /callback/{connector} may say.
func stripProxyHeaders(r *http.Request) {
	for name := range r.Header {
		if strings.HasPrefix(strings.ToLower(name), "x-remote-") {
			delete(r.Header, name)
		}
	}
}

// underWay returns the request that the browser holds under an id, and its connector, which must be the one in the path
// if there is one.
func (f *Flow) underWay(r *http.Request, id string) (*request, *federation.Opened, error) {
	req, err := f.requests.load(r.Context(), r, id)
	if err != nil {
		return nil, nil, errLostRequest(err)
	}
	if named := r.PathValue("connector"); named != "" && named != req.ConnectorID {
		return nil, nil, pageErrorf(http.StatusBadRequest, "This login was begun in another way.").
			hint("Go back to the application and log in again.")
	}
	source, err := f.cfg.Connectors.Open(r.Context(), req.ConnectorID)
	if err != nil {
		return nil, nil, f.sourceFailed(req, oauth.TemporarilyUnavailable, "The identity source can't be reached.", err)
	}
	return req, source, nil
}

// readForm reads the body of one of our forms, which no other site may send (CSRF).
func (f *Flow) readForm(w http.ResponseWriter, r *http.Request) error {
	if err := f.crossing.Check(r); err != nil {
		return pageErrorf(http.StatusForbidden, "The form was sent from another site.").because(err)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return errUnreadable("The form can't be read.", err)
	}
	return nil
}
