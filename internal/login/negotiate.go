package login

import (
	"errors"
	"net/http"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/ui"
)

// negotiate signs in a browser that has a ticket (RFC 4559). Where a password will do too, the form is the body of the
// challenge: browsers without a ticket show it.
func (f *Flow) negotiate(
	w http.ResponseWriter, r *http.Request, req *request, source *federation.Opened, negotiator connector.Negotiator,
	page ui.PasswordPage,
) error {
	n := negotiator.Negotiate(r.Context(), req.connectorScopes(), r)
	if n.Challenge != "" {
		w.Header().Set("WWW-Authenticate", n.Challenge)
	}
	var denied *connector.Denied
	switch {
	case errors.As(n.Err, &denied):
		return deny(req, denied, n.Err)
	case n.Err != nil && n.Form:
		f.logFailure(r, http.StatusServiceUnavailable, n.Err)
		page.Message = "Your account can't be looked up at the moment. Please try with your password."
		f.cfg.Pages.Password(w, r, http.StatusServiceUnavailable, page)
	case n.Err != nil:
		return pageErrorf(http.StatusServiceUnavailable, "Your account can't be looked up at the moment.").because(n.Err)
	case n.Identity != nil:
		return f.finish(w, r, req, source.Definition, *n.Identity)
	case n.Challenge == "":
		f.cfg.Pages.Password(w, r, http.StatusOK, page)
	case n.Form:
		f.cfg.Pages.Password(w, r, http.StatusUnauthorized, page)
	default:
		return pageErrorf(http.StatusUnauthorized, "Your browser showed no Kerberos ticket that is good here.").
			hint("Sign in to your organization's network on this computer, then try again.")
	}
	return nil
}
