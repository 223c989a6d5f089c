package saml

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"dex/internal/connector"
	"dex/internal/saml"
)

// A source is an identity provider that users sign in at.
type source struct {
	config     Config
	env        connector.Env
	provider   *provider
	keys       keys
	acs        string // where responses are posted to (Assertion Consumer Service)
	entityID   string // our name: the audience of assertions
	nameFormat string // of the names that are asked for

	warnTransient sync.Once
}

var (
	_ connector.Callback  = (*source)(nil)
	_ connector.Refresher = (*source)(nil)
	_ connector.Logout    = (*source)(nil)
	_ connector.Metadata  = (*source)(nil)
	_ connector.Prober    = (*source)(nil)
)

// Begin implements connector.Callback. The state is the RelayState, the ID of the request, and so what the response must be
// in response to; it begins with a letter, as an ID must.
func (s *source) Begin(ctx context.Context, r connector.LoginRequest) (connector.Redirect, error) {
	known, err := s.provider.now(ctx)
	if err != nil {
		return connector.Redirect{}, err
	}
	var pair *keyPair
	if s.config.SignRequests {
		pair = s.keys.current()
	}
	now := time.Now()
	to, err := send(s.authnRequest(r, known.sso, now), known.sso, r.State, pair)
	if s.mustAuthenticate(r) {
		to.Data = []byte(now.UTC().Format(instantForm))
	}
	return to, err
}

// HandleCallback implements connector.Callback.
func (s *source) HandleCallback(ctx context.Context, r connector.Return) (connector.Identity, error) {
	if r.Request.Method != http.MethodPost || !r.Request.PostForm.Has(fieldResponse) {
		return connector.Identity{}, errors.New("the browser came back without a posted SAMLResponse")
	}
	response, err := saml.DecodePost(r.Request.PostForm.Get(fieldResponse))
	if err != nil {
		return connector.Identity{}, fmt.Errorf("SAMLResponse: %w", err)
	}
	assertion, err := s.read(ctx, response, r.State)
	if err != nil {
		return connector.Identity{}, refusal(err)
	}
	if err := s.useOnce(ctx, assertion); err != nil {
		return connector.Identity{}, err
	}
	if err := s.checkForced(r.Data, assertion); err != nil {
		return connector.Identity{}, err
	}
	return s.identity(ctx, r.Scopes, assertion)
}

// checkForced fails if the user had to authenticate again since an instant, empty if not, and has not. The request which says
// so goes by the browser of that very user, who can take it out.
func (s *source) checkForced(since []byte, a *saml.Assertion) error {
	if len(since) == 0 {
		return nil
	}
	asked, err := time.Parse(instantForm, string(since))
	if err != nil {
		return fmt.Errorf("when the request was made: %w", err)
	}
	if a.AuthnInstant.Before(asked.Add(-s.config.ClockSkew)) {
		return errors.New("the provider did not have the user authenticate again, though it was asked to (ForceAuthn)")
	}
	return nil
}

// read reads a response, and once more if there is newer metadata: the provider may have a new key.
func (s *source) read(ctx context.Context, response []byte, request string) (*saml.Assertion, error) {
	known, err := s.provider.now(ctx)
	if err != nil {
		return nil, err
	}
	assertion, err := s.reader(known).Read(ctx, response, request)
	var status *saml.StatusError
	if err != nil && !errors.As(err, &status) && s.provider.renew(ctx, known) {
		if known, err = s.provider.now(ctx); err != nil {
			return nil, err
		}
		assertion, err = s.reader(known).Read(ctx, response, request)
	}
	if err != nil {
		return nil, fmt.Errorf("SAML response: %w", err)
	}
	return assertion, nil
}

// reader returns what reads the messages of a provider.
func (s *source) reader(known known) *saml.Reader {
	return &saml.Reader{
		Certificates:          func() []*x509.Certificate { return known.certificates },
		Keys:                  s.keys.decrypters(),
		Issuer:                known.issuer,
		Audience:              s.entityID,
		ACS:                   s.acs,
		Skew:                  s.config.ClockSkew,
		AllowSHA1:             s.config.AllowSHA1,
		InsecureSkipSignature: s.config.InsecureSkipSignatureValidation,
		Strict:                s.config.Strict,
	}
}

// endlessAssertion is how long an assertion without an end is remembered: longer than a login may be under way, which bounds
// how long it could be used again.
const endlessAssertion = 7 * 24 * time.Hour

// useOnce fails if the assertion has been used before (saml-profiles-2.0 section 4.1.4.5).
func (s *source) useOnce(ctx context.Context, a *saml.Assertion) error {
	until := a.NotOnOrAfter
	if until.IsZero() {
		until = time.Now().Add(endlessAssertion)
	}
	first, err := s.env.Once(ctx, "assertion "+a.Issuer+" "+a.ID, until)
	if err != nil {
		return fmt.Errorf("nobody can tell whether the assertion is new: %w", err)
	}
	if !first {
		return errors.New("the assertion has been used before")
	}
	return nil
}

// Reasons of the provider that concern the user, by the second status code (saml-core-2.0 section 3.2.2.2).
var refusals = map[string]string{
	"AuthnFailed":      "The identity provider could not sign you in.",
	"RequestDenied":    "The identity provider did not let you in.",
	"UnknownPrincipal": "The identity provider does not know you.",
	"NoAuthnContext":   "The identity provider can't sign you in in the way that the application asks for.",
	"NoPassive":        "The identity provider could not sign you in without asking you.",
}

// refusal makes a *connector.Denied of a provider's answer that it did not sign the user in. Other answers are our fault, or
// the provider's.
func refusal(err error) error {
	var status *saml.StatusError
	if !errors.As(err, &status) {
		return err
	}
	reason := refusals[status.SubCode]
	if reason == "" {
		reason = refusals[status.Code] // some providers leave the first code out
	}
	if reason == "" {
		return err
	}
	return &connector.Denied{Reason: reason, Cause: err}
}

// Probe implements connector.Prober: it reads the metadata if it is time to, and looks whether a certificate of the provider
// is valid.
func (s *source) Probe(ctx context.Context) error { return s.provider.probe(ctx) }

// Close implements io.Closer.
func (s *source) Close() error {
	s.provider.close()
	return nil
}
