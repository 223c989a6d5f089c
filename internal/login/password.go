package login

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/limit"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/ui"
)

// Password is the password form of a connector.
func (f *Flow) Password() http.Handler { return f.serve(f.password) }

func (f *Flow) password(w http.ResponseWriter, r *http.Request) error {
	v, source, err := f.underWay(w, r, r.URL.Query().Get("state"))
	if err != nil {
		return err
	}
	checker, ok := source.Instance.(connector.Password)
	if !ok {
		return page.Errorf(http.StatusBadRequest, "This way to log in takes no password.")
	}
	form, err := f.passwordPage(v, source, checker)
	if err != nil {
		return err
	}
	if r.Method == http.MethodPost {
		return f.checkPassword(v, source, checker, form)
	}
	if negotiator, ok := source.Instance.(connector.Negotiator); ok {
		return f.negotiate(v, source, negotiator, form)
	}
	f.page.Password(w, r, http.StatusOK, form)
	return nil
}

func (f *Flow) checkPassword(
	v *visit, source *federation.Opened, checker connector.Password, form ui.PasswordPage,
) error {
	w, r := v.w, v.r
	if err := f.readPassword(r); err != nil {
		return err
	}
	form.Username = r.PostForm.Get("login")
	if f.cfg.Sessions != nil {
		remember := r.PostForm.Has("remember_me")
		v.remember, form.RememberMeChecked = &remember, remember
	}
	ctx, err := f.known.from(r.Context(), r, source.ID, knownByPassword, form.Username)
	if err != nil {
		return err
	}
	identity, ok, err := f.cfg.Connectors.CheckPassword(ctx, f.cfg.Limits, checker, federation.Attempt{
		Operation: federation.PasswordForm, ClientID: v.ask.ClientID, ConnectorID: source.ID, Scopes: f.sourceScopes(v, source.Definition),
		Username: form.Username, Password: r.PostForm.Get("password"),
	})
	if exceeded, tooMany := errors.AsType[*limit.Exceeded](err); tooMany {
		f.failed(v, http.StatusTooManyRequests, "", err)
		page.RetryAfter(w, exceeded)
		form.Message = exceeded.Message()
		f.page.Password(w, r, http.StatusTooManyRequests, form)
		return nil
	}
	if err == nil && !ok {
		form.Invalid = true
		f.page.Password(w, r, http.StatusUnauthorized, form)
		return nil
	}
	if err := f.refusedBy(v, err); err != nil {
		return f.showFailure(v, form, err, formFailure{
			passing: "Your password can't be checked at the moment. Please try again.",
			lasting: "Your password can't be checked. Trying again won't help. Tell the people who run this service.",
		})
	}
	v.typed = form.Username
	return f.signedIn(v, source.Definition, identity)
}

// A formFailure is what the password form says of a source that failed.
type formFailure struct {
	passing string // where trying again can help
	lasting string // where it can't
}

// showFailure shows the form again if a source has failed: the user can try again, or choose another way to log in, while the
// application could only give up. Any other error is returned.
func (f *Flow) showFailure(v *visit, form ui.PasswordPage, err error, says formFailure) error {
	failure, ok := errors.AsType[*federation.Failure](err)
	if !ok {
		return err
	}
	var status int
	switch failure.Outcome {
	case connector.Unavailable:
		status, form.Message = http.StatusServiceUnavailable, says.passing
	case connector.Broken, connector.TokenRefused:
		status, form.Message = http.StatusInternalServerError, says.lasting
	default:
		return err
	}
	f.failed(v, status, "", failure)
	f.page.Password(v.w, v.r, status, form)
	return nil
}

func (f *Flow) passwordPage(v *visit, source *federation.Opened, checker connector.Password) (ui.PasswordPage, error) {
	c, err := f.clientOf(v.r.Context(), v)
	if err != nil {
		return ui.PasswordPage{}, err
	}
	choice, err := f.choice(v.r.Context(), v, c)
	if err != nil {
		return ui.PasswordPage{}, err
	}
	form := f.passwordForm(v, source, checker, c)
	form.PostURL = v.r.URL.RequestURI()
	another := func(d *federation.Definition) bool { return d.ID != source.ID && !d.Hidden }
	if slices.ContainsFunc(choice, another) || f.asksEmail(choice) {
		form.BackLink = f.anew(v)
	}
	return form, nil
}

// passwordForm returns the form that is sent to a connector.
func (f *Flow) passwordForm(v *visit, source *federation.Opened, checker connector.Password, c *client.Client) ui.PasswordPage {
	form := ui.PasswordPage{
		PostURL:        f.passwordPath(source.ID, v.ID),
		Username:       v.ask.LoginHint,
		UsernamePrompt: checker.Prompt(),
		Client:         v.clientName(c),
		Failing:        f.cfg.Connectors.Failing(source.ID),
	}
	if f.cfg.Sessions != nil {
		form.ShowRememberMe, form.RememberMeChecked = true, f.cfg.Sessions.Sessions.RememberByDefault()
	}
	form.Passkey = f.passkeyForm(v, source.Definition)
	if source.Type == federation.LocalID && f.cfg.ResetURL != nil {
		form.ResetURL = f.cfg.ResetURL(v.ID, v.ask.ClientID)
	}
	if source.Type != federation.LocalID { // whose users have no other account that could be meant
		form.Connector = f.nameOf(v, source.Definition)
	}
	return form
}

// passwordPath returns the address of the password form of a connector.
func (f *Flow) passwordPath(connectorID, loginID string) string {
	return f.page.Path(connectorPath(connectorID)+"/login", url.Values{"state": {loginID}})
}

// readPassword reads the password form.
func (f *Flow) readPassword(r *http.Request) error {
	if err := f.page.ReadForm(r); err != nil {
		return err
	}
	if oauth.TooLong("username", r.PostForm.Get("login")) || oauth.TooLong("password", r.PostForm.Get("password")) {
		return page.Errorf(http.StatusBadRequest, "The username or the password is too long.")
	}
	return nil
}
