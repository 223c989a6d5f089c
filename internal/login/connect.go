package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/page"
	"dex/internal/token"
)

// begin starts the login of a connector: at the provider it stands for, or at our password form.
func (f *Flow) begin(w http.ResponseWriter, r *http.Request, req *request, d *federation.Definition) error {
	source, err := f.cfg.Connectors.Open(r.Context(), d.ID)
	if err != nil {
		req.ConnectorID = d.ID
		return f.notOpened(r.Context(), req, err)
	}
	req.AskedTwice = false
	return f.depart(w, r, req, source, "")
}

// askAgain sends the browser to a source once more, which has asked for that, or may give in the second time what it did
// not the first.
func (f *Flow) askAgain(
	w http.ResponseWriter, r *http.Request, req *request, source *federation.Opened, again *connector.Again,
) error {
	f.log.InfoContext(r.Context(), "identity source is asked once more",
		"connector_id", source.ID, "hint", again.Hint, "err", again)
	f.requests.forget(w, r, req.ID)
	req.AskedTwice = true
	return f.depart(w, r, req, source, again.Hint)
}

// depart sends the browser to where a connector's login takes place.
func (f *Flow) depart(
	w http.ResponseWriter, r *http.Request, req *request, source *federation.Opened, hint string,
) error {
	// Each try has an id, and so a state, of its own: two tabs with one login for a device must not answer for each other,
	// nor the answer of one source go to another (RFC 9700, section 4.4).
	req.ID, req.ConnectorID, req.ConnectorData = newID(f.now()), source.ID, nil
	to, err := f.departure(r.Context(), req, source, hint)
	if err != nil {
		return err
	}
	req.ConnectorData = to.Data
	if err := f.keep(w, r, req); err != nil {
		return err
	}
	f.leave(w, r, source.Name, to)
	return nil
}

// departure returns the way to where a connector's login takes place.
func (f *Flow) departure(
	ctx context.Context, req *request, source *federation.Opened, hint string,
) (connector.Redirect, error) {
	switch instance := source.Instance.(type) {
	case connector.Callback:
		told := f.loginRequest(req)
		told.Again = hint
		to, err := instance.Begin(ctx, told)
		if err != nil {
			return connector.Redirect{}, f.ended(ctx, req, federation.Login, err)
		}
		return to, nil
	case connector.Password:
		form := f.connectorPath(source.ID) + "/login?" + url.Values{"state": {req.ID}}.Encode()
		return connector.Redirect{URL: form}, nil
	}
	return connector.Redirect{}, refuse(req, oauth.ServerError, "The connector can't sign anybody in.", nil)
}

// loginRequest is what a source is told of a request.
func (f *Flow) loginRequest(req *request) connector.LoginRequest {
	told := connector.LoginRequest{
		Scopes:      req.connectorScopes(),
		CallbackURL: f.cfg.Connectors.CallbackURL(""),
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

// notOpened is the error for a connector that could not be opened.
func (f *Flow) notOpened(ctx context.Context, req *request, err error) error {
	if errors.Is(err, federation.ErrDown) {
		return f.ended(ctx, req, federation.Login, err)
	}
	return refuse(req, oauth.ServerError, "The connector can't be read. Try again in a moment.", err)
}

// underWay returns the request that the browser holds under an id, and its connector, which must be the one in the path
// if there is one.
func (f *Flow) underWay(r *http.Request, id string) (*request, *federation.Opened, error) {
	req, err := f.requests.load(r.Context(), r, id)
	if err != nil {
		return nil, nil, errLostRequest(err)
	}
	if named := r.PathValue("connector"); named != "" && named != req.ConnectorID {
		return nil, nil, page.Errorf(http.StatusBadRequest, "This login was begun in another way.").
			Hint("Go back to the application and log in again.")
	}
	source, err := f.cfg.Connectors.Open(r.Context(), req.ConnectorID)
	if err != nil {
		return nil, nil, f.notOpened(r.Context(), req, err)
	}
	return req, source, nil
}
