package login

import (
	"errors"
	"net/http"

	"dex/internal/connector"
	"dex/internal/federation"
	"dex/internal/page"
	"dex/internal/ui"
)

// negotiate signs in a browser that has a ticket (RFC 4559). If a password will do too, the form is the body of the challenge,
// and browsers without a ticket show it.
func (f *Flow) negotiate(
	v *visit, source *federation.Opened, negotiator connector.Negotiator, form ui.PasswordPage,
) error {
	w, r := v.w, v.r
	asking, asked := f.cfg.Connectors.Asking(r.Context(), source.ID, federation.PasswordForm)
	n := negotiator.Negotiate(asking, f.sourceScopes(v, source.Definition), r)
	if n.Challenge != "" {
		w.Header().Set("WWW-Authenticate", n.Challenge)
	}
	if n.Err != nil {
		return f.ticketFailed(v, asked, form, n)
	}
	if n.Identity == nil {
		asked.Drop()
	}
	switch {
	case n.Identity != nil:
		asked.Count(r.Context(), connector.Succeeded)
		return f.signedIn(v, source.Definition, *n.Identity)
	case n.Challenge == "":
		f.page.Password(w, r, http.StatusOK, form)
	case n.Form:
		f.page.Password(w, r, http.StatusUnauthorized, form)
	default:
		return page.Errorf(http.StatusUnauthorized, "Your browser didn't send a valid Kerberos ticket.").
			Hint("Log in to your organization's network on this computer, then try again.")
	}
	return nil
}

// ticketFailed answers a good ticket that did not sign in its holder.
func (f *Flow) ticketFailed(v *visit, asked *federation.Asking, form ui.PasswordPage, n connector.Negotiation) error {
	err := f.ended(v, asked, n.Err)
	if n.Form {
		return f.showFailure(v, form, err, formFailure{
			passing: "Your account can't be looked up at the moment. Please log in with your password.",
			lasting: "Your account can't be looked up. Trying again won't help. Tell the people who run this service.",
		})
	}
	failure, ok := errors.AsType[*federation.Failure](err)
	switch {
	case ok && failure.Outcome == connector.Unavailable:
		return page.Errorf(http.StatusServiceUnavailable, "Your account can't be looked up at the moment.").Because(failure)
	case ok && failure.Outcome == connector.Broken:
		return page.Errorf(http.StatusInternalServerError, "Your account can't be looked up.").
			Hint("Trying again won't help. Tell the people who run this service.").Because(failure)
	}
	return err
}
