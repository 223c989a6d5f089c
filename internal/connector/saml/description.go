package saml

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"dex/internal/saml"
)

// Names in SAML.
const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"

	urnPost     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	urnRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
)

// A description is what metadata says about a provider.
type description struct {
	entityID     string
	sso, slo     []endpoint // only those with a binding that we support
	sloAnswers   []endpoint // where answers to the provider's requests for a logout go
	certificates certificates
	wantsSigned  bool // requests
	validUntil   time.Time
	cacheFor     time.Duration // 0 if not given

	madeOf [sha256.Size]byte // the document
}

func (d *description) isOver(now time.Time) bool {
	return !d.validUntil.IsZero() && !now.Before(d.validUntil)
}

// wait returns how long until the document should be read again.
func (d *description) wait(now time.Time, interval time.Duration) time.Duration {
	if d.cacheFor > 0 {
		interval = min(interval, max(d.cacheFor, leastInterval))
	}
	if !d.validUntil.IsZero() {
		interval = min(interval, max(d.validUntil.Sub(now)/2, leastInterval))
	}
	return interval
}

// descriptor is an EntityDescriptor or an EntitiesDescriptor (saml-metadata-2.0 section 2.3).
type descriptor struct {
	XMLName xml.Name
	lifetime
	EntityID  string       `xml:"entityID,attr"`
	Providers []idpRole    `xml:"urn:oasis:names:tc:SAML:2.0:metadata IDPSSODescriptor"`
	Entities  []descriptor `xml:"urn:oasis:names:tc:SAML:2.0:metadata EntityDescriptor"`
	Groups    []descriptor `xml:"urn:oasis:names:tc:SAML:2.0:metadata EntitiesDescriptor"`
}

type lifetime struct {
	ValidUntil    string `xml:"validUntil,attr"`
	CacheDuration string `xml:"cacheDuration,attr"`
}

// idpRole is the role of an identity provider (section 2.4.3).
type idpRole struct {
	lifetime
	Protocols   string        `xml:"protocolSupportEnumeration,attr"`
	WantsSigned string        `xml:"WantAuthnRequestsSigned,attr"`
	Keys        []keyXML      `xml:"urn:oasis:names:tc:SAML:2.0:metadata KeyDescriptor"`
	SSO         []endpointXML `xml:"urn:oasis:names:tc:SAML:2.0:metadata SingleSignOnService"`
	SLO         []endpointXML `xml:"urn:oasis:names:tc:SAML:2.0:metadata SingleLogoutService"`
}

type keyXML struct {
	Use  string `xml:"use,attr"`
	Data []struct {
		Certificates []string `xml:"http://www.w3.org/2000/09/xmldsig# X509Certificate"`
	} `xml:"http://www.w3.org/2000/09/xmldsig# KeyInfo>X509Data"`
}

type endpointXML struct {
	Binding  string `xml:"Binding,attr"`
	Location string `xml:"Location,attr"`
	Response string `xml:"ResponseLocation,attr"`
}

// parseDescription reads what a document says about a provider: the one named, or, if the name is empty, the only one. The
// document has been checked by saml.Check or saml.Reader.
func parseDescription(document []byte, entityID string, now time.Time) (*description, error) {
	var root descriptor
	if err := unmarshal(document, &root); err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	if root.XMLName.Space != nsMetadata || !strings.HasSuffix(root.XMLName.Local, "Descriptor") {
		return nil, fmt.Errorf("it is not SAML metadata, but %q", root.XMLName.Local)
	}
	entity, times, err := root.find(entityID)
	if err != nil {
		return nil, err
	}
	if entity.EntityID == "" {
		return nil, errors.New("it has no entityID of the identity provider")
	}
	d := &description{entityID: entity.EntityID}
	for i := range entity.Providers {
		if role := &entity.Providers[i]; role.speaksSAML2() {
			d.add(role)
			times = append(times, role.lifetime)
		}
	}
	for _, t := range times {
		if err := d.limit(t); err != nil {
			return nil, err
		}
	}
	if d.isOver(now) {
		return nil, fmt.Errorf("its validUntil, %s, has passed", d.validUntil.UTC().Format(time.RFC3339))
	}
	return d, nil
}

func (r *idpRole) speaksSAML2() bool { return slices.Contains(strings.Fields(r.Protocols), nsProtocol) }

// find returns the provider with an ID, or the only one, and the lifetimes of everything that it is nested in.
func (d *descriptor) find(entityID string) (*descriptor, []lifetime, error) {
	var found *descriptor
	var times []lifetime
	several := false
	d.each(nil, func(entity *descriptor, around []lifetime) {
		if entityID != "" && entity.EntityID != entityID || !slices.ContainsFunc(entity.Providers, func(r idpRole) bool { return r.speaksSAML2() }) {
			return
		}
		several = several || found != nil
		found, times = entity, around
	})
	switch {
	case found == nil && entityID != "":
		return nil, nil, fmt.Errorf("it is not about the identity provider %s, the ssoIssuer", entityID)
	case found == nil:
		return nil, nil, errors.New("it is about no identity provider of SAML 2.0")
	case several:
		return nil, nil, errors.New("it is about several identity providers: set ssoIssuer to the entityID of the right one")
	}
	return found, times, nil
}

// each visits all entities, with their lifetimes and those of everything that they are nested in.
func (d *descriptor) each(around []lifetime, visit func(*descriptor, []lifetime)) {
	around = append(slices.Clip(around), d.lifetime)
	if d.XMLName.Local == "EntityDescriptor" {
		visit(d, around)
	}
	for i := range d.Entities {
		d.Entities[i].each(around, visit)
	}
	for i := range d.Groups {
		d.Groups[i].each(around, visit)
	}
}

func (d *description) add(role *idpRole) {
	d.sso = append(d.sso, endpoints(role.SSO)...)
	d.slo = append(d.slo, endpoints(role.SLO)...)
	d.sloAnswers = append(d.sloAnswers, endpoints(forAnswers(role.SLO))...)
	d.wantsSigned = d.wantsSigned || role.WantsSigned == "true" || role.WantsSigned == "1"
	for _, key := range role.Keys {
		if key.Use == "encryption" {
			continue
		}
		for _, data := range key.Data {
			d.certificates = append(d.certificates, endEntities(data.Certificates)...)
		}
	}
}

// endEntities returns the provider's own certificates in an X509Data, which may be in any order. The others belong to the
// authorities that issued them (XML Signature 1.1 section 4.5.4), which must not sign for the provider.
func endEntities(texts []string) certificates {
	var all, own certificates
	for _, text := range texts {
		if certificate, err := saml.ParseCertificate(text); err == nil {
			all = append(all, certificate)
		}
	}
	for _, certificate := range all {
		if !slices.ContainsFunc(all, func(other *x509.Certificate) bool { return isIssuedBy(other, certificate) }) {
			own = append(own, certificate)
		}
	}
	// If a link of the chain is missing, the rest of it is authorities.
	if slices.ContainsFunc(own, func(c *x509.Certificate) bool { return !c.IsCA && !isSelfIssued(c) }) {
		own = slices.DeleteFunc(own, func(c *x509.Certificate) bool { return c.IsCA })
	}
	return own
}

// isIssuedBy compares names. A self-issued certificate has no other issuer, although its successor has the same name.
func isIssuedBy(certificate, issuer *x509.Certificate) bool {
	return bytes.Equal(certificate.RawIssuer, issuer.RawSubject) && !isSelfIssued(certificate)
}

func isSelfIssued(certificate *x509.Certificate) bool {
	return bytes.Equal(certificate.RawIssuer, certificate.RawSubject)
}

// forAnswers returns the endpoints with the addresses that answers go to (saml-metadata-2.0 section 2.2.2).
func forAnswers(all []endpointXML) []endpointXML {
	answers := slices.Clone(all)
	for i := range answers {
		answers[i].Location = cmp.Or(strings.TrimSpace(answers[i].Response), answers[i].Location)
	}
	return answers
}

// endpoints returns those that have a binding that we support and an address that a browser can be sent to.
func endpoints(all []endpointXML) []endpoint {
	bindings := map[string]string{urnPost: bindingPost, urnRedirect: bindingRedirect}
	var usable []endpoint
	for _, e := range all {
		binding, location := bindings[e.Binding], strings.TrimSpace(e.Location)
		u, err := url.Parse(location)
		if binding != "" && err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
			usable = append(usable, endpoint{location, binding})
		}
	}
	return usable
}

// limit applies a lifetime if it is shorter than those before.
func (d *description) limit(t lifetime) error {
	if t.ValidUntil != "" {
		until, err := saml.ParseInstant(t.ValidUntil)
		if err != nil {
			return fmt.Errorf("validUntil: %w", err)
		}
		if d.validUntil.IsZero() || until.Before(d.validUntil) {
			d.validUntil = until
		}
	}
	// It is only a hint: if it can't be read or doesn't fit, the usual interval stays.
	if duration, err := parseDuration(t.CacheDuration); err == nil && (d.cacheFor == 0 || duration < d.cacheFor) {
		d.cacheFor = duration
	}
	return nil
}

// durationForm allows only as many digits as fit into a [time.Duration], all parts together.
var durationForm = regexp.MustCompile(
	`^P(?:(\d{1,2})Y)?(?:(\d{1,3})M)?(?:(\d{1,4})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,7})M)?(?:(\d{1,9})(?:\.\d*)?S)?)?$`)

// parseDuration reads an xs:duration. A year counts as 365 days and a month as 30.
func parseDuration(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	parts := durationForm.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return 0, fmt.Errorf("%q is not a duration, such as PT6H", text)
	}
	var sum time.Duration
	for i, unit := range []time.Duration{365 * day, 30 * day, day, time.Hour, time.Minute, time.Second} {
		if parts[i+1] == "" {
			continue
		}
		n, err := strconv.Atoi(parts[i+1])
		if err != nil {
			return 0, fmt.Errorf("%q: %w", text, err)
		}
		sum += time.Duration(n) * unit
	}
	return max(sum, time.Second), nil
}
