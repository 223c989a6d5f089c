package saml

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"

	"dex/internal/connector"
	"dex/internal/saml"
)

// logoutTime is how long a request for a logout is valid.
const logoutTime = 5 * time.Minute

// LogoutURL implements connector.Logout (single logout, saml-profiles-2.0 section 4.4). It returns nothing if the provider has
// no address for it, or if the provider's name for the user is not known.
func (s *source) LogoutURL(ctx context.Context, r connector.LogoutRequest) (connector.Redirect, error) {
	known, err := s.provider.now(ctx)
	if err != nil {
		return connector.Redirect{}, err
	}
	if known.slo.address == "" {
		return connector.Redirect{}, nil
	}
	user, err := readSession(r)
	if err != nil {
		return connector.Redirect{}, err
	}
	id := newID()
	request := s.logoutRequest(id, user, known.slo, time.Now())
	to, err := send(request, known.slo, r.State, s.keys.current())
	to.Data = []byte(id)
	return to, err
}

// readSession returns the user who signs out, as a session here was kept with them or, without one, a login.
func readSession(r connector.LogoutRequest) (session, error) {
	if len(r.Session.Data) > 0 {
		var user session
		if err := json.Unmarshal(r.Session.Data, &user); err != nil {
			return session{}, fmt.Errorf("read the session: %w", err)
		}
		return user, nil
	}
	user, err := readData(r.Identity.Data)
	if err != nil {
		return session{}, err
	}
	user.NameID = cmp.Or(user.NameID, user.UserID) // upstream stored only the latter, which was the NameID
	return user.session, nil
}

// newID returns an ID for a message: 128 random bits (saml-core-2.0 section 1.3.4), after a character that an ID may begin
// with.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return "_" + hex.EncodeToString(b[:])
}

func (s *source) logoutRequest(id string, user session, to endpoint, now time.Time) *etree.Element {
	request := message("LogoutRequest", id, to.address, now)
	request.CreateAttr("NotOnOrAfter", now.Add(logoutTime).UTC().Format(instantForm))
	addIssuer(request, s.entityID)
	name := child(request, nsAssertion, "NameID")
	for key, value := range map[string]string{
		"Format": user.NameIDFormat, "NameQualifier": user.NameQualifier, "SPNameQualifier": user.SPNameQualifier,
	} {
		if value != "" {
			name.CreateAttr(key, value)
		}
	}
	name.SetText(user.NameID)
	if user.SessionIndex != "" {
		child(request, nsProtocol, "SessionIndex").SetText(user.SessionIndex)
	}
	return request
}

// logoutResponse is a provider's answer to a request for a logout (saml-core-2.0 section 3.7.2).
type logoutResponse struct {
	XMLName      xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:protocol LogoutResponse"`
	InResponseTo string   `xml:"InResponseTo,attr"`
	Destination  string   `xml:"Destination,attr"`
	Issuer       string   `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
	Code         struct {
		Value string `xml:"Value,attr"`
		Sub   struct {
			Value string `xml:"Value,attr"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:protocol StatusCode"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:protocol Status>StatusCode"`
}

// HandleLogout implements connector.Logout. An answer need not be signed, as it grants nothing, but if it has a signature,
// that must be valid.
func (s *source) HandleLogout(ctx context.Context, r connector.Return) error {
	known, err := s.provider.now(ctx)
	if err != nil {
		return err
	}
	reader := s.reader(known)
	var document []byte
	if r.Request.Method == http.MethodPost {
		document, err = postedResponse(ctx, reader, r.Request.PostForm)
	} else {
		document, err = redirectedResponse(reader, r.Request.URL.RawQuery)
	}
	if err != nil {
		return fmt.Errorf("logout response: %w", err)
	}
	var response logoutResponse
	if err := unmarshal(document, &response); err != nil {
		return fmt.Errorf("logout response: %w", err)
	}
	if err := s.checkLogout(response, reader.Issuer, string(r.Data)); err != nil {
		return fmt.Errorf("logout response: %w", err)
	}
	return nil
}

func (s *source) checkLogout(r logoutResponse, issuer, request string) error {
	const success = "urn:oasis:names:tc:SAML:2.0:status:Success"
	switch got := strings.TrimSpace(r.Issuer); {
	case request == "" || r.InResponseTo != request:
		return fmt.Errorf("it answers another request, %q", r.InResponseTo)
	case r.Destination != "" && r.Destination != s.env.LogoutURL && r.Destination != s.env.OwnLogoutURL: // providers may know one only
		return fmt.Errorf("it is meant for another address, %q", r.Destination)
	case issuer != "" && got != "" && got != issuer:
		return fmt.Errorf("it comes from another issuer, %q", got)
	case r.Code.Value != success:
		return fmt.Errorf("the provider did not end its session: %q %q", r.Code.Value, r.Code.Sub.Value)
	}
	return nil
}

// postedResponse returns a response from a form; if it is signed, only the signed part.
func postedResponse(ctx context.Context, reader *saml.Reader, form url.Values) ([]byte, error) {
	document, err := saml.DecodePost(form.Get(fieldResponse))
	if err != nil {
		return nil, err
	}
	if reader.InsecureSkipSignature {
		return document, saml.Check(document)
	}
	signed, err := reader.Signed(ctx, document)
	if err != nil {
		return nil, err
	}
	if signed != nil {
		return signed, nil
	}
	return document, nil
}

// redirectedResponse returns a response from a query (saml-bindings-2.0 section 3.4.4.1).
func redirectedResponse(reader *saml.Reader, query string) ([]byte, error) {
	signed, err := parseQuery(query)
	if err != nil {
		return nil, err
	}
	if signed.signature != "" && !reader.InsecureSkipSignature {
		if err := signed.verify(reader.Certificates(), reader.AllowSHA1, reader.Accept.ExpiredCertificates, time.Now()); err != nil {
			return nil, err
		}
	}
	if signed.response == "" {
		return nil, errors.New("there is none")
	}
	document, err := saml.DecodeRedirect(signed.response)
	if err != nil {
		return nil, err
	}
	return document, saml.Check(document)
}
