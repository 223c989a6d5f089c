package login

import (
	"fmt"
	"net/http"
	"net/url"

	"dex/internal/page"
	"dex/internal/saml"
)

// Names of the form of a SAML response (saml-bindings-2.0 section 3.5.4).
const (
	samlResponse = "SAMLResponse"
	relayState   = "RelayState"
)

// samlState returns the id of the login that a SAML response answers. The provider says it twice: as the state, which some lose
// or change, and as the request that it responds to. The id only says which login the browser must hold; the connector checks
// that the response belongs to it.
func samlState(form url.Values) string {
	if request, _ := saml.InResponseTo(form.Get(samlResponse)); idForm.MatchString(request) {
		return request
	}
	return form.Get(relayState)
}

// errLostSAML is the page for a SAML response to a login that the browser does not hold. It names the cause.
func errLostSAML(form url.Values, cause error) error {
	request, readable := saml.InResponseTo(form.Get(samlResponse))
	state := fmt.Sprintf("its RelayState is %.100q", form.Get(relayState))
	switch {
	case !readable:
		return page.Errorf(http.StatusBadRequest, "The identity provider's answer can't be read.").
			Hint("Go back to the application and log in again.").Because(fmt.Errorf("the SAMLResponse is no response; %s: %w", state, cause))
	case request == "":
		return page.Errorf(http.StatusBadRequest, "The identity provider sent you here without being asked to.").
			Hint("Go to the application and log in from there.").
			Because(fmt.Errorf("the SAML response is to no request (IdP-initiated), which is not supported; %s: %w", state, cause))
	case !idForm.MatchString(request):
		return errLost(fmt.Errorf("the SAML response is to a request that is none of ours, %.100q; %s: %w", request, state, cause))
	}
	return errLost(fmt.Errorf("the SAML response is to the login %s; %s: %w", request, state, cause))
}
