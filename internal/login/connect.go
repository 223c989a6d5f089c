package login

import (
	"context"
	"net/http"
	"net/url"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/oauth"
	"dex/internal/token"
)

// begin starts the login of a connector: at the provider it stands for, or at our password form.
func (f *Flow) begin(w http.ResponseWriter, r *http.Request, req *request, d *federation.Definition) error {
	source, err := f.cfg.Connectors.Open(r.Context(), d.ID)
	if err != nil {
		return f.sourceFailed(req, oauth.TemporarilyUnavailable, "The identity source can't be reached.", err)
	}
	// Each try has an id, and so a state, of its own: two tabs with one login for a device must not answer for each other,
	// nor the answer of one source go to another (RFC 9700, section 4.4).
	req.ID, req.ConnectorID, req.ConnectorData = newID(f.now()), d.ID, nil
	to, err := f.departure(r.Context(), req, source)
	if err != nil {
		return err
	}
	req.ConnectorData = to.Data
	if err := f.keep(w, r, req); err != nil {
		return err
	}
	f.leave(w, r, d.Name, to)
	return nil
}

// departure returns the way to where a connector's login takes place.
func (f *Flow) departure(ctx context.Context, req *request, source *federation.Opened) (connector.Redirect, error) {
	switch instance := source.Instance.(type) {
	case connector.Callback:
		to, err := instance.Begin(ctx, f.loginRequest(req))
		if err != nil {
			return connector.Redirect{}, f.sourceFailed(req, oauth.ServerError, "The identity source can't be asked.", err)
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

// sourceFailed is the error for a source that fails: the application is told, or, as upstream has it, the user.
func (f *Flow) sourceFailed(req *request, code, description string, cause error) error {
	if f.cfg.ShowFailures {
		return pageErrorf(http.StatusInternalServerError, "The service that you log in with has failed.").
			hint("Go back to the application and log in again.").because(cause)
	}
	return refuse(req, code, description, cause)
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
