package saml

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/beevik/etree"

	"dex/internal/connector"
	"dex/internal/saml"
)

const (
	// maxSessionIndex bounds a SessionIndex that is kept, and maxRelayState a RelayState that is given back, in bytes. The standard
	// allows 80 for the latter (saml-bindings-2.0 section 3.4.3), to which few keep.
	maxSessionIndex = 1 << 10
	maxRelayState   = 4 << 10
	// lateness is how far apart the clocks of the provider and ours may be where a logout is compared with the beginning of a
	// session. A session that a late message ends wrongly is begun again; one that goes on is not noticed.
	lateness = time.Minute
)

// sessionOf returns the session that an assertion is from.
func (s *source) sessionOf(a *saml.Assertion, user session) (connector.SourceSession, error) {
	kept := connector.SourceSession{Subject: s.subject(a.NameID, a.Issuer)}
	if len(a.SessionIndex) <= maxSessionIndex {
		kept.ID = a.SessionIndex
	}
	encoded, err := json.Marshal(user)
	if err != nil {
		return connector.SourceSession{}, fmt.Errorf("encode session: %w", err)
	}
	if len(encoded) <= connector.MaxSessionData {
		kept.Data = encoded
	}
	return kept, nil
}

// subject writes a name so that equal ones are equal byte by byte (saml-core-2.0 sections 2.2.2, 3.3.4 and 8.3.7): a format that
// is left out is unspecified, and qualifiers that are left out are the provider's name and ours.
func (s *source) subject(name saml.NameID, issuer string) string {
	canonical := url.Values{"name": {name.Value}}
	if !s.config.Strict { // some providers name the user in one format at logins, and in another at logouts
		return canonical.Encode()
	}
	for key, part := range map[string]struct{ value, usual string }{
		"format":      {name.Format, nameIDFormats["unspecified"]},
		"qualifier":   {name.NameQualifier, issuer},
		"spQualifier": {name.SPNameQualifier, s.entityID},
	} {
		if part.value != "" && part.value != part.usual {
			canonical.Set(key, part.value)
		}
	}
	return canonical.Encode()
}

// A logoutMessage is what came to our logout address.
type logoutMessage struct {
	encoded    string       // a LogoutRequest
	query      *signedQuery // nil for a form
	relayState string
	returns    bool // it is a LogoutResponse
}

// ReceiveLogout implements connector.LogoutReceiver (single logout, saml-profiles-2.0 section 4.4): by a redirect or a form.
func (s *source) ReceiveLogout(ctx context.Context, r *http.Request) (connector.SourceLogout, error) {
	m, err := readMessage(r)
	if err != nil {
		return connector.SourceLogout{}, refused(err)
	}
	if m.returns {
		return connector.SourceLogout{Returns: true}, nil
	}
	request, known, err := s.readLogout(ctx, m)
	if err != nil {
		return connector.SourceLogout{}, err
	}
	first, err := s.env.Once(ctx, "logout request "+s.env.ID+" "+request.Issuer+" "+request.ID, request.Expires)
	if err != nil {
		return connector.SourceLogout{}, &connector.Temporary{Cause: fmt.Errorf("can't tell whether the logout request is new: %w", err)}
	}
	if !first {
		return connector.SourceLogout{}, refused(errors.New("it has been used before"))
	}
	ended := connector.SourceLogout{
		Subject: s.subject(request.NameID, request.Issuer), Sessions: request.SessionIndexes,
		Before: request.Issued.Add(max(lateness, s.config.ClockSkew)), Browser: true, Unsigned: s.config.InsecureSkipSignatureValidation,
	}
	if to := known.sloAnswers; to.address != "" {
		ended.Answer = func(_ context.Context, ended connector.Ended) (connector.Redirect, error) {
			return send(s.logoutAnswer(request.ID, to, ended, time.Now()), to, m.relayState, s.keys.current())
		}
	}
	return ended, nil
}

// refused says that a message ends nothing.
func refused(cause error) error {
	return &connector.BadToken{Reason: "the provider's logout request is refused", Cause: cause}
}

// readMessage finds the message in a query or a form.
func readMessage(r *http.Request) (logoutMessage, error) {
	var m logoutMessage
	var form url.Values
	if r.Method == http.MethodPost {
		form = r.PostForm
		for _, name := range []string{fieldRequest, fieldResponse, fieldRelayState} {
			if len(form[name]) > 1 {
				return m, errors.New("the form has a field twice")
			}
		}
		m = logoutMessage{encoded: form.Get(fieldRequest), relayState: form.Get(fieldRelayState), returns: form.Has(fieldResponse)}
	} else {
		signed, err := parseQuery(r.URL.RawQuery)
		if err != nil {
			return m, err
		}
		m = logoutMessage{encoded: signed.request, query: &signed, relayState: signed.relayState, returns: signed.response != ""}
	}
	switch {
	case m.returns && m.encoded != "":
		return m, errors.New("the form has both a request and a response")
	case !m.returns && m.encoded == "":
		return m, errors.New("there is no SAMLRequest; messages come by HTTP-Redirect or HTTP-POST")
	case len(m.relayState) > maxRelayState:
		return m, fmt.Errorf("the RelayState is longer than %d bytes", maxRelayState)
	}
	return m, nil
}

// readLogout reads a request. If the signature is refused and the provider has a new key, it tries once more.
func (s *source) readLogout(ctx context.Context, m logoutMessage) (*saml.LogoutRequest, known, error) {
	known, err := s.provider.now(ctx)
	if err != nil {
		return nil, known, err
	}
	request, err := s.tryLogout(ctx, known, m)
	if _, ok := errors.AsType[*saml.SignatureError](err); ok && s.provider.renew(ctx, known) {
		if known, err = s.provider.now(ctx); err != nil {
			return nil, known, err
		}
		request, err = s.tryLogout(ctx, known, m)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, known, err
	case err != nil:
		return nil, known, refused(err)
	}
	return request, known, nil
}

func (s *source) tryLogout(ctx context.Context, known known, m logoutMessage) (*saml.LogoutRequest, error) {
	reader := s.reader(known)
	if m.query == nil {
		document, err := saml.DecodePost(m.encoded)
		if err != nil {
			return nil, err
		}
		return reader.ReadLogout(ctx, document, s.env.OwnLogoutURL, false)
	}
	verified := m.query.signature != "" && !reader.InsecureSkipSignature
	if verified {
		err := m.query.verify(reader.Certificates(), reader.AllowSHA1, reader.Accept.ExpiredCertificates, time.Now())
		if err != nil {
			return nil, &saml.SignatureError{Element: "query", Cause: err}
		}
	}
	document, err := saml.DecodeRedirect(m.encoded)
	if err != nil {
		return nil, err
	}
	return reader.ReadLogout(ctx, document, s.env.OwnLogoutURL, verified)
}

// logoutAnswer returns the answer to a request (saml-core-2.0 section 3.7.2).
func (s *source) logoutAnswer(request string, to endpoint, ended connector.Ended, now time.Time) *etree.Element {
	answer := message("LogoutResponse", newID(), to.address, now)
	answer.CreateAttr("InResponseTo", request)
	addIssuer(answer, s.entityID)
	code := child(answer, nsProtocol, "Status").CreateElement("StatusCode")
	const status = "urn:oasis:names:tc:SAML:2.0:status:"
	switch ended {
	case connector.EndedEverywhere:
		code.CreateAttr("Value", status+"Success")
	case connector.EndedHere:
		code.CreateAttr("Value", status+"Success")
		code.CreateElement("StatusCode").CreateAttr("Value", status+"PartialLogout")
	case connector.EndedNothing:
		code.CreateAttr("Value", status+"Responder")
	}
	return answer
}
