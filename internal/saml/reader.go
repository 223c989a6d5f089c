// Package saml reads the SAML 2.0 responses of one identity provider: it verifies the signature, decrypts what is
// encrypted, and returns what the one assertion says.
//
// A response comes from the user's browser, so every byte of it may be an attacker's. Identity is therefore read only from
// the bytes that a valid signature covers, parsed anew, and never from the document that arrived.
package saml

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// How far clocks may differ: by default, and at most.
const (
	DefaultSkew = 30 * time.Second
	MaxSkew     = 5 * time.Minute
)

// A Reader reads the responses of one identity provider. It keeps nothing between calls and may be used by many
// goroutines at once; its fields are not changed while it is in use.
type Reader struct {
	// Certificates returns the provider's current signing certificates. Any of them may have signed.
	Certificates func() []*x509.Certificate
	// Keys are our keys that assertions may be encrypted for. Without any, encrypted assertions are refused.
	Keys []*rsa.PrivateKey
	// Issuer is the provider's entity ID. If it is empty, any will do: then the certificate alone says who the provider is.
	Issuer string
	// Audience is this service's name, which the conditions of an assertion must have.
	Audience string
	// ACS is the address that responses are posted to: the Destination of a response and the Recipient of an assertion.
	ACS string
	// Skew is how far the provider's clock may differ from ours: DefaultSkew if zero, at most MaxSkew.
	Skew time.Duration
	// AllowSHA1 accepts signatures and digests made with SHA-1.
	AllowSHA1 bool
	// InsecureSkipSignature accepts responses from anybody.
	InsecureSkipSignature bool
	// Strict requires what the web browser profile does (saml-profiles-2.0 section 4.1.4.2): a Recipient and a
	// NotOnOrAfter in the subject's confirmation, and conditions that restrict the audience.
	Strict bool
	// Accept is what to accept although it should be refused.
	Accept Tolerance
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Tolerance is what a Reader accepts although the standard, or caution, says to refuse it. Each field says what it gives up.
type Tolerance struct {
	// ExpiredCertificates accepts certificates outside their validity period: a key that the provider has retired, perhaps
	// because it leaked, still counts. (In the SAML V2.0 Metadata Interoperability Profile, section 2.5.1, dates don't matter.)
	ExpiredCertificates bool
	// ResponseIssuer accepts any Issuer in a response that is not signed itself, if the signed assertion's is right.
	ResponseIssuer bool
	// UnknownConditions accepts assertions with conditions that are not known here, such as Delegation, and may not hold.
	UnknownConditions bool
	// EndedSessions accepts assertions although the provider's session has ended (SessionNotOnOrAfter).
	EndedSessions bool
	// SignatureObjects accepts signatures with an Object in them that nothing refers to.
	SignatureObjects bool
	// SignatureIDs accepts signatures that share an Id with another one.
	SignatureIDs bool
}

// An Assertion is what a provider says about a user.
type Assertion struct {
	ID     string
	Issuer string
	NameID NameID
	// Attributes in the order of the document. A name may occur more than once.
	Attributes []Attribute
	// SessionIndex names the session at the provider, for single logout. Empty if the provider keeps none.
	SessionIndex string
	// AuthnInstant is when the user was authenticated. Zero if not given.
	AuthnInstant time.Time
	// SessionNotOnOrAfter is when the provider's session ends. Zero if not given.
	SessionNotOnOrAfter time.Time
	// AuthnContext is the class of the authentication, such as
	// urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport. Empty if not given.
	AuthnContext string
	// NotOnOrAfter is until when Read would accept this assertion again, clock skew included. Its ID must be remembered
	// until then. Zero means that the assertion has no end.
	NotOnOrAfter time.Time
	// Warnings are faults to be fixed at the provider. They were tolerated.
	Warnings []string
	// ResponseID is the ID of the response that brought the assertion. It is not signed if only the assertion is.
	ResponseID string
}

// A NameID names the user at the provider.
type NameID struct {
	Value           string
	Format          string
	NameQualifier   string
	SPNameQualifier string
}

// An Attribute is one attribute of the user.
type Attribute struct {
	Name         string
	FriendlyName string
	Values       []string
}

// A StatusError is the provider's answer that the login failed.
type StatusError struct {
	// Code and SubCode are the last components of the status codes, such as Responder and AuthnFailed. SubCode may be
	// empty.
	Code    string
	SubCode string
	// Message is the provider's own, at most 200 characters, or empty.
	Message string
	// Verified reports whether a signature covers the status. Otherwise anybody may have written the message.
	Verified bool
}

// Error returns the codes and the message.
func (e *StatusError) Error() string {
	text := "the provider answered " + e.Code
	if e.SubCode != "" {
		text += " (" + e.SubCode + ")"
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Read checks a response, as DecodePost returns it, and returns what its one assertion says. The response must answer the
// request whose ID is inResponseTo. The error is a *StatusError if the provider answered that the login failed; any other
// error names the rule that the response breaks.
func (r *Reader) Read(ctx context.Context, response []byte, inResponseTo string) (*Assertion, error) {
	if inResponseTo == "" {
		return nil, errors.New("there is no request that the response could answer")
	}
	root, err := parseTolerant(response, r.Accept)
	if err != nil {
		return nil, err
	}
	if !is(root, nsProtocol, "Response") {
		return nil, fmt.Errorf("the document is not a SAML 2.0 Response but %s", quote(root.Tag))
	}
	if err := checkPlaces(root); err != nil {
		return nil, err
	}
	reading := &reading{Reader: r, clock: r.clock(), request: inResponseTo, keys: decrypter{keys: r.Keys, left: maxUnwraps}}
	return reading.response(ctx, root)
}

func (r *Reader) clock() clock {
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	skew := r.Skew
	if skew == 0 {
		skew = DefaultSkew
	}
	return clock{now: now(), skew: min(max(skew, 0), MaxSkew)}
}

// A reading is one call of Read.
type reading struct {
	*Reader
	clock   clock
	request string // its ID
	keys    decrypter
	// warnings are for the people who run the provider.
	warnings []string
}

// warn notes something that was accepted although it is wrong.
func (r *reading) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}
