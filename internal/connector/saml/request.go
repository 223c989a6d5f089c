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

// authnRequest returns the message that asks the provider to sign a user in (saml-core-2.0 section 3.4.1). It has no prefixes,
// as upstream's.
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

// mustAskAgain reports whether the user must authenticate although the provider knows them already. SAML has no word for an
// age: whoever asks for one would be refused after the provider's session has got older.
func (s *source) mustAskAgain(r connector.LoginRequest) bool {
	return s.mustAuthenticate(r) || r.MaxAge != nil
}

// mustAuthenticate reports whether the user must authenticate anew, however short ago they did.
func (s *source) mustAuthenticate(r connector.LoginRequest) bool {
	return s.config.ForceAuthn || slices.Contains(r.Prompt, "login")
}

// requestIssuer returns our name in requests for a login. Upstream has none unless it is configured; but one who signs must
// say who that is.
func (s *source) requestIssuer() string {
	if s.config.EntityIssuer == "" && s.config.SignRequests {
		return s.entityID
	}
	return s.config.EntityIssuer
}

// wantedContexts returns the classes of authentication of which the provider has to use one: those that the application asks
// for, or else those of the settings. Where the settings' are demanded, an application can only choose among them.
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

// message returns a request without content.
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

// send returns the way by which a browser brings a request to the provider. It is signed if there is a key.
func send(request *etree.Element, to endpoint, relayState string, pair *keyPair) (connector.Redirect, error) {
	switch to.binding {
	case bindingPost:
		form, err := postForm(request, relayState, pair)
		return connector.Redirect{URL: to.address, Form: form}, err
	case bindingRedirect:
		address, err := redirectURL(request, to.address, relayState, pair)
		return connector.Redirect{URL: address}, err
	}
	return connector.Redirect{}, fmt.Errorf("unknown binding %q", to.binding)
}
