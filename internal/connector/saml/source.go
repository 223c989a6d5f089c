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
	nameFormat string // of the names to ask for; empty leaves it to the provider
	tolerance  saml.Tolerance

	warnTransient sync.Once
	warnings      warnings
}

var (
	_ connector.Callback       = (*source)(nil)
	_ connector.Refresher      = (*source)(nil)
	_ connector.Logout         = (*source)(nil)
	_ connector.LogoutReceiver = (*source)(nil)
	_ connector.Metadata       = (*source)(nil)
	_ connector.Prober         = (*source)(nil)
)

// Begin implements connector.Callback. The state is the RelayState and the ID of the request, so the response must name it in
// InResponseTo. It begins with a letter, as an ID must.
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
	if err != nil {
		return connector.Redirect{}, err
	}
	to.Data, err = s.asked(r, now).encode()
	return to, err
}

// HandleCallback implements connector.Callback.
func (s *source) HandleCallback(ctx context.Context, r connector.Return) (connector.Identity, error) {
	if err := checkBinding(r.Request); err != nil {
		return connector.Identity{}, err
	}
	response, err := saml.DecodePost(r.Request.PostForm.Get(fieldResponse))
	if err != nil {
		return connector.Identity{}, fmt.Errorf("SAMLResponse: %w", err)
	}
	asked, err := readAsked(r.Data)
	if err != nil {
		return connector.Identity{}, err
	}
	assertion, err := s.read(ctx, response, r.State)
	if err != nil {
		return connector.Identity{}, refusal(err)
	}
	if err := s.useOnce(ctx, assertion); err != nil {
		return connector.Identity{}, err
	}
	if err := asked.check(assertion, s.config.ClockSkew); err != nil {
		return connector.Identity{}, err
	}
	s.warn(ctx, assertion)
	return s.identity(ctx, r.Scopes, assertion)
}

// checkBinding says what is wrong with an answer that is not a form with a response.
func checkBinding(r *http.Request) error {
	form := r.URL.Query()
	if r.Method == http.MethodPost {
		form = r.PostForm
	}
	switch {
	case r.Method == http.MethodPost && form.Has(fieldResponse):
		return nil
	case form.Has("SAMLart"):
		return errors.New("the provider answered by an artifact (HTTP-Artifact), which is not supported: have it answer by HTTP-POST")
	case form.Has(fieldRequest):
		return errors.New("the provider sent a request of its own: have it send those for a logout to the connector's own logout address")
	case form.Has(fieldResponse):
		return errors.New("the provider answered by a redirect (HTTP-Redirect), which is not allowed for logins: have it answer by HTTP-POST")
	}
	return errors.New("the browser came back without a posted SAMLResponse")
}

// warn logs, once each, faults that should be fixed at the provider.
func (s *source) warn(ctx context.Context, a *saml.Assertion) {
	for _, warning := range a.Warnings {
		if s.warnings.isNew(warning) {
			s.env.Log.WarnContext(ctx, "the provider's response has a fault; have the provider fixed", "fault", warning)
		}
	}
}

// warnings are the ones that were logged. It is safe for concurrent use.
type warnings struct {
	mu  sync.Mutex
	had map[string]bool
}

// maxWarnings bounds how many are logged and remembered: some quote text that no signature covers.
const maxWarnings = 100

func (w *warnings) isNew(warning string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.had[warning] || len(w.had) >= maxWarnings {
		return false
	}
	if w.had == nil {
		w.had = map[string]bool{}
	}
	w.had[warning] = true
	return true
}

// read reads a response. If the signature is refused and the provider has a new key, it tries once more.
func (s *source) read(ctx context.Context, response []byte, request string) (*saml.Assertion, error) {
	known, err := s.provider.now(ctx)
	if err != nil {
		return nil, err
	}
	assertion, err := s.reader(known).Read(ctx, response, request)
	if _, ok := errors.AsType[*saml.SignatureError](err); ok && s.provider.renew(ctx, known) {
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

// reader returns a reader for a provider's responses.
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
		Accept:                s.tolerance,
		Strict:                s.config.Strict,
	}
}

// endlessAssertion is how long an assertion without an end is remembered. It can be used only while its login is under way,
// and no login lasts that long.
const endlessAssertion = 7 * 24 * time.Hour

// useOnce fails if the assertion has been used before (saml-profiles-2.0 section 4.1.4.5).
func (s *source) useOnce(ctx context.Context, a *saml.Assertion) error {
	until := a.NotOnOrAfter
	if until.IsZero() {
		until = time.Now().Add(endlessAssertion)
	}
	first, err := s.env.Once(ctx, "assertion "+a.Issuer+" "+a.ID, until)
	if err != nil {
		return &connector.Temporary{Cause: fmt.Errorf("can't tell whether the assertion is new: %w", err)}
	}
	if !first {
		return &connector.Denied{
			Reason: "This answer from the identity provider has already been used. Log in again.",
			Cause:  errors.New("the assertion has been used before"),
		}
	}
	return nil
}

// The provider's refusals that concern the user, by the second status code (saml-core-2.0 section 3.2.2.2).
var refusals = map[string]string{
	"AuthnFailed":      "The identity provider couldn't log you in.",
	"RequestDenied":    "The identity provider didn't let you in.",
	"UnknownPrincipal": "The identity provider doesn't know you.",
	"NoAuthnContext":   "The identity provider can't log you in the way that the application asks for.",
	"NoPassive":        "The identity provider couldn't log you in without asking you something.",
}

// refusal turns the provider's answer that it did not sign the user in into a *connector.Denied. Other errors are our fault or
// the provider's.
func refusal(err error) error {
	status, ok := errors.AsType[*saml.StatusError](err)
	if !ok {
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

// Probe implements connector.Prober. It reads the metadata if that is due, and checks that a certificate of the provider is
// valid.
func (s *source) Probe(ctx context.Context) error { return s.provider.probe(ctx) }

// Close implements io.Closer.
func (s *source) Close() error {
	s.provider.close()
	return nil
}
