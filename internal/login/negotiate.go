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
	if n.Err != nil {
		return f.ticketFailed(w, r, req, page, n)
	}
	switch {
	case n.Identity != nil:
		f.cfg.Connectors.Count(source.ID, federation.PasswordForm, connector.Succeeded)
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

// ticketFailed answers for a good ticket that did not sign in its holder.
func (f *Flow) ticketFailed(
	w http.ResponseWriter, r *http.Request, req *request, page ui.PasswordPage, n connector.Negotiation,
) error {
	err := f.ended(r.Context(), req, federation.PasswordForm, n.Err)
	if n.Form {
		return f.showFailure(w, r, page, err, formFailure{
			passing: "Your account can't be looked up at the moment. Please try with your password.",
			lasting: "Your account can't be looked up. Trying again does not help: tell the people who run this login.",
		})
	}
	failure, ok := errors.AsType[*federation.Failure](err)
	switch {
	case ok && failure.Outcome == connector.Unavailable:
		return pageErrorf(http.StatusServiceUnavailable, "Your account can't be looked up at the moment.").because(failure)
	case ok && failure.Outcome == connector.Broken:
		return pageErrorf(http.StatusInternalServerError, "Your account can't be looked up.").
			hint("Trying again does not help. Tell the people who run this login.").because(failure)
	}
	return err
}
