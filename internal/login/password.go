package login

import (
	"errors"
	"net/http"
	"strconv"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/ui"
)

// maxForm bounds the body of a form of ours, in bytes.
const maxForm = 64 << 10

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
		if negotiator, ok := source.Instance.(connector.Negotiator); ok {
			return f.negotiate(w, r, req, source, negotiator, page)
		}
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
		return deny(req, denied, err)
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
