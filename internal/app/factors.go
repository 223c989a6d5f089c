package app

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"

	"dex/internal/config"
	"dex/internal/factor"
	"dex/internal/login"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/server"
)

// What applications may ask for by acr_values where the configuration doesn't say.
const (
	acrMultiFactor = "http://schemas.openid.net/pape/policies/2007/06/multi-factor" // OpenID PAPE 1.0
	acrNoPhishing  = "phr"                                                          // OpenID EAP ACR Values 1.0: no phishing
	acrHardware    = "phrh"                                                         // likewise, by a key that can't leave its device
)

// shareFactors makes what rooms need for second factors. Where sessions are on, those that users have can be administered, even if none is
// asked for any more.
func (e *Edition) shareFactors(with *shared) error {
	if with.sessions == nil {
		return nil
	}
	m := e.cfg.MFA
	if m == nil {
		m = &config.MFA{}
	}
	all, err := authenticators(m, e.cfg.Frontend.Issuer)
	if err != nil {
		return err
	}
	with.enrolled, err = factor.New(factor.Config{
		Store: e.core.store, Ring: e.core.ring, IssuerURL: e.cfg.Issuer, Identities: with.identities, Authenticators: all,
		RecoveryCodes: m.Recovery(), Events: e.core.events, Log: e.core.log,
	})
	if err != nil || len(all) == 0 {
		return err
	}
	with.factors = &login.Factors{
		Factors: with.enrolled, Authenticators: all, RememberFor: m.RememberFor, RecoveryCodes: m.Recovery() > 0,
	}
	return nil
}

// authenticators returns the authenticators of the configuration. The name is what apps and browsers show, unless it says otherwise.
func authenticators(m *config.MFA, name string) ([]factor.Authenticator, error) {
	all := make([]factor.Authenticator, 0, len(m.Authenticators))
	for i, a := range m.Authenticators {
		w := a.WebAuthn
		roots, err := attestationRoots(w.AttestationRoots)
		if err != nil {
			return nil, fmt.Errorf("mfa.authenticators[%d].config.attestationRoots: %w", i, err)
		}
		all = append(all, factor.Authenticator{
			ID: a.ID, Type: a.Type, ConnectorTypes: a.ConnectorTypes, Members: a.AnyOf.Authenticators,
			TOTP: factor.TOTPSettings{Issuer: cmp.Or(a.TOTP.Issuer, name)},
			WebAuthn: factor.WebAuthnSettings{
				RPDisplayName: cmp.Or(w.RPDisplayName, name), RPID: w.RPID, RPOrigins: w.RPOrigins, AttestationPreference: w.AttestationPreference,
				UserVerification: w.UserVerification, AuthenticatorAttachment: w.AuthenticatorAttachment, Timeout: w.Timeout,
				Passwordless: w.Passwordless, AllowedAAGUIDs: w.AllowedAAGUIDs, RequireAttestation: w.RequireAttestation,
				AttestationRoots: roots,
			},
		})
	}
	return all, nil
}

// attestationRoots reads the authorities of certificates of authenticators; nil if there is no file.
func attestationRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path) //nolint:gosec // G304: the operator's file
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s", path)
	}
	return roots, nil
}

// checkAttestationRoots reads the files of all authenticators.
func (p *Plan) checkAttestationRoots() config.Problems {
	if p.Config.MFA == nil {
		return nil
	}
	var found config.Problems
	for i, a := range p.Config.MFA.Authenticators {
		if _, err := attestationRoots(a.WebAuthn.AttestationRoots); err != nil {
			found = append(found, p.fileProblem(config.Item("mfa.authenticators", i)+".config.attestationRoots", "", err))
		}
	}
	return found
}

// policyFactors returns what the policy knows of second factors.
func policyFactors(m *config.MFA) policy.Factors {
	if m == nil {
		return policy.Factors{}
	}
	f := policy.Factors{Default: m.DefaultMFAChain}
	var all, keys []string
	for _, a := range m.Authenticators {
		f.Authenticators = append(f.Authenticators, policy.Factor{
			ID: a.ID, ConnectorTypes: a.ConnectorTypes, Members: a.AnyOf.Authenticators,
		})
		switch a.Type {
		case config.TypeTOTP:
			all = append(all, a.ID)
		case config.TypeWebAuthn:
			all, keys = append(all, a.ID), append(keys, a.ID)
		}
	}
	for _, v := range m.ACRValues {
		f.Levels = append(f.Levels, policy.Level{ACR: v.Value, Chain: v.Chain})
	}
	if len(m.ACRValues) == 0 && len(all) > 0 {
		f.Levels = append(f.Levels, policy.Level{ACR: acrMultiFactor, AnyOf: all, Methods: []string{oauth.MethodMultiple}})
	}
	if len(m.ACRValues) == 0 && len(keys) > 0 {
		f.Levels = append(f.Levels,
			policy.Level{ACR: acrNoPhishing, AnyOf: keys, Methods: []string{oauth.MethodHardware, oauth.MethodSoftware}},
			policy.Level{ACR: acrHardware, AnyOf: keys, Methods: []string{oauth.MethodHardware}})
	}
	return f
}

// acrValues returns what applications may ask for by acr_values.
func acrValues(m *config.MFA) []string {
	var values []string
	for _, level := range policyFactors(m).Levels {
		values = append(values, level.ACR)
	}
	return values
}

// factorRoutes returns the paths of second factors, where there are any.
func (e *Edition) factorRoutes(in rooms) []server.Route {
	if !in.factors {
		return nil
	}
	read, post, both := []string{http.MethodGet}, []string{http.MethodPost}, []string{http.MethodGet, http.MethodPost}
	script := func(pattern string, h http.Handler) server.Route {
		return server.Route{Pattern: pattern, Handler: h, Methods: post, MaxBody: login.MaxCredential, Error: login.ScriptError}
	}
	return []server.Route{
		{Pattern: "/mfa", Handler: in.login.NextFactor(), Methods: read},
		{Pattern: "/mfa/choose", Handler: in.login.ChooseFactor(), Methods: read},
		{Pattern: "/mfa/totp", Handler: in.login.TOTP(), Methods: both},
		{Pattern: "/mfa/recovery", Handler: in.login.Recovery(), Methods: both},
		{Pattern: "/mfa/codes", Handler: in.login.RecoveryCodes(), Methods: both},
		{Pattern: "/mfa/webauthn", Handler: in.login.WebAuthn(), Methods: read},
		script("/mfa/webauthn/register/begin", in.login.BeginRegistration()),
		script("/mfa/webauthn/register/finish", in.login.FinishRegistration()),
		script("/mfa/webauthn/login/begin", in.login.BeginAssertion()),
		script("/mfa/webauthn/login/finish", in.login.FinishAssertion()),
		{Pattern: "/auth/{connector}/passkey", Handler: in.login.Passkey(), Methods: post, MaxBody: 2 * login.MaxCredential},
	}
}
