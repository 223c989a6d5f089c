package login

import (
	"errors"
	"net/http"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/policy"
	"dex/internal/token"
	"dex/internal/ui"
)

// begin starts the login of a connector: at the provider it stands for, or at our password form.
func (f *Flow) begin(v *visit, d *federation.Definition) error {
	v.ConnectorID = d.ID
	c, err := f.clientOf(v.r.Context(), v)
	if err != nil {
		return err
	}
	v.needsGroups = f.cfg.Policy.NeedsGroups(c, d)
	source, err := f.cfg.Connectors.Open(v.r.Context(), d.ID)
	if err != nil {
		return f.notOpened(v, err)
	}
	v.AskedTwice = false
	return f.depart(v, source, "")
}

// askAgain sends the browser to a source once more, if the source has asked for that, or may agree the second time to what
// it refused the first.
func (f *Flow) askAgain(v *visit, source *federation.Opened, again *connector.Again) error {
	f.log.InfoContext(v.r.Context(), "identity source is asked once more",
		"connector_id", source.ID, "hint", again.Hint, "err", again)
	f.logins.forget(v.w, v.r, v.ID)
	v.AskedTwice = true
	return f.depart(v, source, again.Hint)
}

// depart sends the browser to where a connector's login takes place.
func (f *Flow) depart(v *visit, source *federation.Opened, hint string) error {
	// Each try has an id, and so a state, of its own: two tabs with one login for a device must not answer for each other, and
	// the answer of one source must not go to another (RFC 9700, section 4.4).
	v.ID, v.ConnectorID, v.ConnectorData = newID(), source.ID, nil
	to, err := f.departure(v, source, hint)
	if err != nil {
		return err
	}
	v.ConnectorData, v.AskedGroups = to.Data, f.sourceScopes(v, source.Definition).Groups
	if err := f.keep(v); err != nil {
		return err
	}
	f.leave(v, f.nameOf(v, source.Definition), to)
	return nil
}

// departure returns the way to where a connector's login takes place.
func (f *Flow) departure(v *visit, source *federation.Opened, hint string) (connector.Redirect, error) {
	switch instance := source.Instance.(type) {
	case connector.Callback:
		told := f.loginRequest(v, source.Definition)
		told.Again = hint
		asking, asked := f.cfg.Connectors.Asking(v.r.Context(), v.ConnectorID, federation.Login)
		to, err := instance.Begin(asking, told)
		if err != nil {
			return connector.Redirect{}, f.ended(v, asked, err)
		}
		asked.Drop() // the answer will be counted
		return to, nil
	case connector.Password:
		return connector.Redirect{URL: f.passwordPath(source.ID, v.ID)}, nil
	}
	return connector.Redirect{}, v.refuse(oauth.ServerError, "The connector can't sign anybody in.", nil)
}

// leave sends the browser to a source.
func (f *Flow) leave(v *visit, name string, to connector.Redirect) {
	shown := ui.FormPostPage{Source: name, URL: to.URL}
	if to.Form != nil {
		shown.Fields = page.Fields(to.Form)
	}
	f.page.Go(v.w, v.r, http.StatusFound, shown)
}

// loginRequest is what a source is told of a login.
func (f *Flow) loginRequest(v *visit, d *federation.Definition) connector.LoginRequest {
	told := connector.LoginRequest{
		Scopes:      f.sourceScopes(v, d),
		CallbackURL: f.cfg.Connectors.CallbackURL(""),
		State:       v.ID,
	}
	if f.cfg.KeepHints {
		return told
	}
	ask := v.ask
	told.LoginHint, told.ACRValues, told.UILocales, told.MaxAge = ask.LoginHint, ask.ACRValues, ask.UILocales, ask.MaxAge
	if !ask.Silent {
		told.Prompt = ask.Prompt
	}
	userID, connectorID, err := token.ReadSubject(ask.Subject)
	if err == nil && connectorID == v.ConnectorID {
		told.UserID = userID
	}
	return told
}

// notOpened is the error for a connector that could not be opened.
func (f *Flow) notOpened(v *visit, err error) error {
	if errors.Is(err, federation.ErrDown) {
		return f.refusedBy(v, f.cfg.Connectors.NotAsked(v.r.Context(), v.ConnectorID, federation.Login, err))
	}
	return v.refuse(oauth.ServerError, "The connector can't be read. Try again in a moment.", err)
}

// underWay returns the login that the browser holds under an id, and its connector, which must be the one in the path if there
// is one.
func (f *Flow) underWay(w http.ResponseWriter, r *http.Request, id string) (*visit, *federation.Opened, error) {
	v, err := f.load(w, r, id)
	if err != nil {
		return nil, nil, err
	}
	if named := r.PathValue("connector"); named != "" && named != v.ConnectorID {
		return nil, nil, page.Errorf(http.StatusBadRequest, "You started this login another way.").
			Hint("Go back to the application and log in again.")
	}
	source, err := f.cfg.Connectors.Open(r.Context(), v.ConnectorID)
	if err != nil {
		return nil, nil, f.notOpened(v, err)
	}
	return v, source, f.mayAsk(v, source.Definition)
}

// mayAsk returns why a source may not be asked who the user is any more: the client may have changed since the login began.
func (f *Flow) mayAsk(v *visit, d *federation.Definition) error {
	c, err := f.clientOf(v.r.Context(), v)
	if err != nil {
		return err
	}
	v.needsGroups = f.cfg.Policy.NeedsGroups(c, d)
	_, err = f.cfg.Policy.Decide(v.r.Context(), v.question(policy.BeforeSource, c, d))
	return v.connectorRefused(err)
}
