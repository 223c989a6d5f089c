package saml

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"

	"dex/internal/connector"
)

const (
	// instantForm is how we write xs:dateTime, in UTC.
	instantForm = "2006-01-02T15:04:05Z"
	// maxContexts bounds how many classes of authentication are passed on.
	maxContexts = 10
)

// authnRequest returns the message that asks the provider to sign a user in (saml-core-2.0 section 3.4.1). Like upstream's, it
// uses no namespace prefixes.
func (s *source) authnRequest(r connector.LoginRequest, to endpoint, now time.Time) *etree.Element {
	request := message("AuthnRequest", r.State, to.address, now)
	if s.mustAskAgain(r) {
		request.CreateAttr("ForceAuthn", "true")
	}
	request.CreateAttr("ProtocolBinding", urnPost)
	request.CreateAttr("AssertionConsumerServiceURL", s.acs)
	if issuer := s.requestIssuer(); issuer != "" {
		addIssuer(request, issuer)
	}
	if s.nameFormat != "" {
		policy := child(request, nsProtocol, "NameIDPolicy")
		policy.CreateAttr("AllowCreate", "true")
		policy.CreateAttr("Format", s.nameFormat)
	}
	if classes := s.wantedContexts(r); len(classes) > 0 {
		wanted := child(request, nsProtocol, "RequestedAuthnContext")
		wanted.CreateAttr("Comparison", "exact")
		for _, class := range classes {
			child(wanted, nsAssertion, "AuthnContextClassRef").SetText(class)
		}
	}
	return request
}

// mustAskAgain reports whether the user must authenticate even with a session at the provider. SAML can't ask for a maximum
// age, and an application that does would refuse the login once the provider's session is older.
func (s *source) mustAskAgain(r connector.LoginRequest) bool {
	return s.mustAuthenticate(r) || r.MaxAge != nil
}

// mustAuthenticate reports whether the user must authenticate again, however recently they did.
func (s *source) mustAuthenticate(r connector.LoginRequest) bool {
	return s.config.ForceAuthn || slices.Contains(r.Prompt, "login")
}

// requestIssuer returns our name in requests for a login. Upstream sends none unless it is configured, but a signed request
// must name its signer.
func (s *source) requestIssuer() string {
	if s.config.EntityIssuer == "" && s.config.SignRequests {
		return s.entityID
	}
	return s.config.EntityIssuer
}

// wantedContexts returns the classes of authentication, one of which the provider must use: those that the application asks
// for, or else those in the settings. With verifyAuthnContext, an application can only choose among the latter.
func (s *source) wantedContexts(r connector.LoginRequest) []string {
	classes := contextClasses(r.ACRValues)
	if s.config.VerifyContext {
		classes = slices.DeleteFunc(classes, func(class string) bool { return !slices.Contains(s.config.RequestedContexts, class) })
	}
	if len(classes) == 0 {
		return s.config.RequestedContexts
	}
	return classes
}

// contextClasses returns the values of an application's acr_values that are URIs, as classes of authentication are.
func contextClasses(values string) []string {
	var classes []string
	for _, value := range strings.Fields(values) {
		u, err := url.Parse(value)
		if err == nil && u.Scheme != "" && (u.Opaque != "" || u.Host != "") && len(classes) < maxContexts {
			classes = append(classes, value)
		}
	}
	return classes
}

// message returns an empty request or response.
func message(name, id, destination string, now time.Time) *etree.Element {
	el := etree.NewElement(name)
	el.CreateAttr("xmlns", nsProtocol)
	el.CreateAttr("ID", id)
	el.CreateAttr("Version", "2.0")
	el.CreateAttr("IssueInstant", now.UTC().Format(instantForm))
	el.CreateAttr("Destination", destination)
	return el
}

// child adds an element that declares its namespace itself.
func child(parent *etree.Element, namespace, name string) *etree.Element {
	el := parent.CreateElement(name)
	el.CreateAttr("xmlns", namespace)
	return el
}

func addIssuer(el *etree.Element, issuer string) { child(el, nsAssertion, "Issuer").SetText(issuer) }

// send returns the redirect that has a browser carry a message to the provider. It is signed if there is a key.
func send(message *etree.Element, to endpoint, relayState string, pair *keyPair) (connector.Redirect, error) {
	switch to.binding {
	case bindingPost:
		form, err := postForm(message, relayState, pair)
		return connector.Redirect{URL: to.address, Form: form}, err
	case bindingRedirect:
		address, err := redirectURL(message, to.address, relayState, pair)
		return connector.Redirect{URL: address}, err
	}
	return connector.Redirect{}, fmt.Errorf("unknown binding %q", to.binding)
}
