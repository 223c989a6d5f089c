package factor

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
)

const defaultTimeout = 5 * time.Minute

// WebAuthnSettings are those of an authenticator of type WebAuthn.
type WebAuthnSettings struct {
	RPDisplayName           string   // the RP id if empty
	RPID                    string   // the host of the issuer URL if empty
	RPOrigins               []string // the origin of the issuer URL if empty
	AttestationPreference   string   // none, indirect (if empty), direct
	UserVerification        string   // required, preferred (if empty), discouraged
	AuthenticatorAttachment string   // platform, cross-platform; any if empty
	Timeout                 time.Duration
	Passwordless            bool // passkeys sign in without a password; makes user verification required

	AllowedAAGUIDs []string // the models that may be registered; all if empty
	// RequireAttestation lets only credentials be registered whose model is proved by a certificate from AttestationRoots.
	RequireAttestation bool
	AttestationRoots   *x509.CertPool
}

// A party is a relying party, as WebAuthn calls it: what the settings of an authenticator make of us.
type party struct {
	id       string
	settings WebAuthnSettings
	aaguids  []uuid.UUID
	web      *webauthn.WebAuthn
}

// algorithms are offered in this order. Windows Hello may know RS256 only.
var algorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES384},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES512},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgPS256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

func newParty(id string, s WebAuthnSettings, issuer *url.URL) (*party, error) {
	s.RPID = cmp.Or(s.RPID, issuer.Hostname())
	s.RPDisplayName = cmp.Or(s.RPDisplayName, s.RPID)
	if len(s.RPOrigins) == 0 {
		s.RPOrigins = []string{issuer.Scheme + "://" + issuer.Host}
	}
	s.Timeout = cmp.Or(s.Timeout, defaultTimeout)
	s.UserVerification = cmp.Or(s.UserVerification, string(protocol.VerificationPreferred))
	s.AttestationPreference = cmp.Or(s.AttestationPreference, string(protocol.PreferIndirectAttestation))
	if s.Passwordless {
		s.UserVerification = string(protocol.VerificationRequired)
	}
	if s.RequireAttestation {
		if s.AttestationRoots == nil {
			return nil, errors.New("attestation proves nothing without roots that are trusted for it")
		}
		s.AttestationPreference = string(protocol.PreferDirectAttestation)
	}
	p := &party{id: id, settings: s}
	for _, text := range s.AllowedAAGUIDs {
		aaguid, err := uuid.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not an AAGUID: %w", text, err)
		}
		p.aaguids = append(p.aaguids, aaguid)
	}
	timeout := webauthn.TimeoutConfig{Timeout: s.Timeout, TimeoutUVD: s.Timeout} // enforced by the challenge
	var err error
	p.web, err = webauthn.New(&webauthn.Config{
		RPID: s.RPID, RPDisplayName: s.RPDisplayName, RPOrigins: s.RPOrigins,
		AttestationPreference:  protocol.ConveyancePreference(s.AttestationPreference),
		AuthenticatorSelection: p.selection(),
		Timeouts:               webauthn.TimeoutsConfig{Login: timeout, Registration: timeout},
		// Some password managers tell more than they were asked for.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	return p, err
}

// selection says which authenticators may be registered. A passkey that signs in without a name must be found by the authenticator itself.
// A second factor needn't: for that Chrome would have people set a PIN on their security key first, and keys have room for few of them.
func (p *party) selection() protocol.AuthenticatorSelection {
	s := protocol.AuthenticatorSelection{
		AuthenticatorAttachment: protocol.AuthenticatorAttachment(p.settings.AuthenticatorAttachment),
		ResidentKey:             protocol.ResidentKeyRequirementDiscouraged,
		RequireResidentKey:      protocol.ResidentKeyNotRequired(),
		UserVerification:        protocol.UserVerificationRequirement(p.settings.UserVerification),
	}
	if p.settings.Passwordless {
		s.ResidentKey, s.RequireResidentKey = protocol.ResidentKeyRequirementRequired, protocol.ResidentKeyRequired()
	}
	return s
}

// checkModel refuses models of authenticators that the settings don't allow.
func (p *party) checkModel(answer *protocol.ParsedCredentialCreationData, now time.Time) error {
	object := &answer.Response.AttestationObject
	if len(p.aaguids) > 0 {
		aaguid, err := uuid.FromBytes(object.AuthData.AttData.AAGUID)
		if err != nil || !slices.Contains(p.aaguids, aaguid) {
			return fmt.Errorf("model %s is not one of allowedAAGUIDs", aaguid)
		}
	}
	if !p.settings.RequireAttestation {
		return nil
	}
	chain, err := certificates(object.AttStatement)
	if err != nil {
		return fmt.Errorf("attestation %q: %w", object.Format, err)
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{
		Roots: p.settings.AttestationRoots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("attestation %q: %w", object.Format, err)
	}
	return nil
}

var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// certificates returns those of an attestation whose signature has been verified by the first one.
func certificates(statement map[string]any) ([]*x509.Certificate, error) {
	encoded, _ := statement["x5c"].([]any)
	if len(encoded) == 0 || len(encoded) > 10 {
		return nil, errors.New("there is no chain of certificates")
	}
	var chain []*x509.Certificate
	for _, e := range encoded {
		der, _ := e.([]byte)
		c, err := x509.ParseCertificate(bytes.Clone(der))
		if err != nil {
			return nil, err
		}
		// Certificates of TPMs name their device here, which x509 doesn't read and so would refuse.
		c.UnhandledCriticalExtensions = slices.DeleteFunc(c.UnhandledCriticalExtensions, subjectAltName.Equal)
		chain = append(chain, c)
	}
	return chain, nil
}
