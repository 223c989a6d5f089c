package config

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// MFA is the settings of second factors.
type MFA struct {
	Authenticators  []Authenticator `key:"authenticators"`
	DefaultMFAChain []string        `key:"defaultMFAChain"`
	// RememberFor is how long a factor counts in a session in which it was passed; nil means as long as the session, and 0 for one
	// login, as upstream has it.
	RememberFor *time.Duration `key:"rememberFor"`
	// RecoveryCodes is how many codes users get for when they have lost their factors; 10 when absent, 0 for none.
	RecoveryCodes *int       `key:"recoveryCodes"`
	ACRValues     []ACRValue `key:"acrValues"` // the weakest first; a few usual ones when absent
}

// An ACRValue is what applications may ask for by acr_values.
type ACRValue struct {
	Value string   `key:"value"`
	Chain []string `key:"chain"` // the authenticators that it takes
}

// Types of authenticators.
const (
	TypeTOTP     = "TOTP"
	TypeWebAuthn = "WebAuthn"
	TypeAnyOf    = "AnyOf"
)

// An Authenticator is one kind of second factor.
type Authenticator struct {
	ID             string   `key:"id"`
	Type           string   `key:"type"`
	ConnectorTypes []string `key:"connectorTypes"` // checked by the room federation
	Config         Section  `key:"config"`

	// Config, decoded; by type.
	TOTP     TOTPAuthenticator     `key:"-"`
	WebAuthn WebAuthnAuthenticator `key:"-"`
	AnyOf    AnyOfAuthenticator    `key:"-"`
}

// TOTPAuthenticator is the config of an authenticator of the type TOTP.
type TOTPAuthenticator struct {
	Issuer string `key:"issuer"` // what apps call us; the name on the pages when empty
}

// WebAuthnAuthenticator is the config of an authenticator of the type WebAuthn.
type WebAuthnAuthenticator struct {
	RPDisplayName           string        `key:"rpDisplayName"`
	RPID                    string        `key:"rpID"`
	RPOrigins               []string      `key:"rpOrigins"`
	AttestationPreference   string        `key:"attestationPreference"`
	UserVerification        string        `key:"userVerification"`
	AuthenticatorAttachment string        `key:"authenticatorAttachment"`
	Timeout                 time.Duration `key:"timeout"`
	// Passwordless lets local users sign in with their passkeys alone.
	Passwordless bool `key:"passwordless"`
	// AllowedAAGUIDs are the models of authenticators that may be registered; empty means all.
	AllowedAAGUIDs []string `key:"allowedAAGUIDs"`
	// RequireAttestation refuses authenticators that don't prove which model they are, by a certificate of AttestationRoots.
	RequireAttestation bool   `key:"requireAttestation"`
	AttestationRoots   string `key:"attestationRoots"` // path of a PEM file
}

// AnyOfAuthenticator is the config of an authenticator of the type AnyOf.
type AnyOfAuthenticator struct {
	Authenticators []string `key:"authenticators"` // one of them is enough
}

// MaxRecoveryCodes bounds how many recovery codes a user gets.
const MaxRecoveryCodes = 50

const defaultRecoveryCodes = 10

// Recovery returns how many recovery codes users get.
func (m *MFA) Recovery() int {
	if m.RecoveryCodes == nil {
		return defaultRecoveryCodes
	}
	return *m.RecoveryCodes
}

func (v *validator) mfa() {
	m := v.cfg.MFA
	if m == nil || len(m.Authenticators) == 0 && len(m.DefaultMFAChain) == 0 && len(m.ACRValues) == 0 {
		return
	}
	if !v.cfg.SessionsOn() {
		v.Errorf("mfa", "needs browser sessions; add the section sessions, with {} where there is nothing to set")
		return
	}
	seen := map[string]int{}
	for i := range m.Authenticators {
		key, a := Item("mfa.authenticators", i), &m.Authenticators[i]
		v.authenticator(key, a)
		if !v.Required(key+".id", a.ID, "chains name the authenticator by it") {
			continue
		}
		if strings.HasPrefix(a.ID, "@") {
			v.Errorf(key+".id", "%q must not begin with @", a.ID)
		}
		if first, twice := seen[a.ID]; twice {
			v.Errorf(key+".id", "%q is the ID of mfa.authenticators[%d] already; IDs must be unique", a.ID, first)
			continue
		}
		seen[a.ID] = i
	}
	v.cfg.CheckMFAChain(v.Checker, "mfa.defaultMFAChain", m.DefaultMFAChain)
	v.acrValues(m)
	if m.RememberFor != nil {
		v.notNegative("mfa.rememberFor", *m.RememberFor)
	}
	if n := m.Recovery(); n < 0 || n > MaxRecoveryCodes {
		v.Errorf("mfa.recoveryCodes", "must be from 0 to %d, not %d", MaxRecoveryCodes, n)
	}
}

func (v *validator) acrValues(m *MFA) {
	seen := map[string]bool{}
	for i, level := range m.ACRValues {
		key := Item("mfa.acrValues", i)
		switch {
		case !v.Required(key+".value", level.Value, "applications ask for it by this name"):
		case strings.ContainsAny(level.Value, " \t\n"):
			v.Errorf(key+".value", "%q must have no space: applications list several values, with spaces between them", level.Value)
		case seen[level.Value]:
			v.Errorf(key+".value", "%q is in the list already", level.Value)
		}
		seen[level.Value] = true
		if len(level.Chain) == 0 {
			v.Errorf(key+".chain", "is required: the authenticators that it takes")
		}
		v.cfg.CheckMFAChain(v.Checker, key+".chain", level.Chain)
	}
}

// CheckMFAChain reports authenticators at a key that don't exist. This must be an error: without them users would get in with
// fewer factors.
func (c *Config) CheckMFAChain(on *Checker, key string, chain []string) {
	known := c.authenticatorIDs()
	for i, id := range chain {
		switch {
		case slices.Contains(known, id) || c.File.Checker().IsBroken("mfa.authenticators"):
		case len(known) == 0:
			on.Errorf(Item(key, i), "there is no authenticator %q; mfa.authenticators has none", id)
		default:
			on.Errorf(Item(key, i), "there is no authenticator %q; mfa.authenticators has %s", id, Quoted(known))
		}
	}
}

func (c *Config) authenticatorIDs() []string {
	if c.MFA == nil {
		return nil
	}
	var ids []string
	for _, a := range c.MFA.Authenticators {
		if a.ID != "" && !slices.Contains(ids, a.ID) {
			ids = append(ids, a.ID)
		}
	}
	return ids
}

func (v *validator) authenticator(key string, a *Authenticator) {
	if v.Required(key+".type", a.Type, "one of "+Quoted(authenticatorTypes)) {
		v.OneOf(key+".type", a.Type, authenticatorTypes)
	}
	if a.Config.IsZero() {
		v.Errorf(key+".config", "is required; write {} where there is nothing to set")
		return
	}
	switch a.Type {
	case TypeTOTP:
		v.Decode(a.Config, &a.TOTP)
	case TypeWebAuthn:
		v.Decode(a.Config, &a.WebAuthn)
		v.webAuthn(key+".config", &a.WebAuthn)
	case TypeAnyOf:
		v.Decode(a.Config, &a.AnyOf)
		v.anyOf(key+".config.authenticators", a.AnyOf.Authenticators)
	}
}

func (v *validator) anyOf(key string, members []string) {
	if len(members) == 0 {
		v.Errorf(key, "is required: the authenticators of which one is enough")
	}
	v.cfg.CheckMFAChain(v.Checker, key, members)
	for i, id := range members {
		for _, a := range v.cfg.MFA.Authenticators {
			if a.ID == id && a.Type == TypeAnyOf {
				v.Errorf(Item(key, i), "%q is of the type %s itself; name its authenticators", id, TypeAnyOf)
			}
		}
	}
}

func (v *validator) webAuthn(key string, s *WebAuthnAuthenticator) {
	v.OptionalOf(key+".attestationPreference", s.AttestationPreference, []string{"none", "indirect", "direct"})
	v.OptionalOf(key+".userVerification", s.UserVerification, []string{"required", "preferred", "discouraged"})
	v.OptionalOf(key+".authenticatorAttachment", s.AuthenticatorAttachment, []string{"platform", "cross-platform"})
	v.positive(key+".timeout", s.Timeout)
	for i, id := range s.AllowedAAGUIDs {
		if !aaguidPattern.MatchString(id) {
			v.Errorf(Item(key+".allowedAAGUIDs", i), "%q must be an AAGUID, as in cb69481e-8ff7-4039-93ec-0a2729a154a8", id)
		}
	}
	switch {
	case s.RequireAttestation && s.AttestationRoots == "":
		v.Errorf(key+".attestationRoots", "is required where requireAttestation is true: the authorities of the certificates")
	case !s.RequireAttestation && s.AttestationRoots != "":
		v.Warnf(key+".attestationRoots", "is not used, because requireAttestation is false")
	}
	if s.RequireAttestation && s.AttestationPreference != "" && s.AttestationPreference != "direct" {
		v.Errorf(key+".attestationPreference", "must be direct where requireAttestation is true, or left out")
	}
	if s.Passwordless && s.UserVerification == "discouraged" {
		v.Errorf(key+".userVerification", "must not be discouraged where passwordless is true: a passkey alone must prove who uses it")
	}
	v.relyingParty(key, s)
}

// relyingParty checks that browsers let the origins use the ID (WebAuthn, section 5.1.2): it is their host, or a domain above it.
func (v *validator) relyingParty(key string, s *WebAuthnAuthenticator) {
	id, at := s.RPID, key+".rpID"
	origins := s.RPOrigins
	if issuer, err := url.Parse(v.cfg.Issuer); err == nil && issuer.Host != "" {
		if id == "" {
			id, at = issuer.Hostname(), key
		}
		if len(origins) == 0 {
			origins = []string{issuer.Scheme + "://" + issuer.Host}
		}
	}
	if id == "" || !v.relyingPartyID(at, id) {
		return
	}
	for i, origin := range origins {
		at := Item(key+".rpOrigins", i)
		if len(s.RPOrigins) == 0 {
			at = key + ".rpID"
		}
		v.relyingPartyOrigin(at, id, origin)
	}
}

// relyingPartyID reports whether something is the ID of a relying party.
func (v *validator) relyingPartyID(at, id string) bool {
	if _, err := netip.ParseAddr(id); err == nil {
		v.Errorf(at, "the relying party would be %s, and browsers use security keys and passkeys only with names of hosts, such as localhost", id)
		return false
	}
	if !hostPattern.MatchString(id) || strings.HasPrefix(id, "*.") {
		v.Errorf(at, "%q must be the name of a host or a domain, without scheme or port", id)
		return false
	}
	return true
}

func (v *validator) relyingPartyOrigin(at, id, origin string) {
	if strings.HasPrefix(origin, "android:") { // apps have such origins
		return
	}
	o, err := url.Parse(origin)
	if err != nil || o.Host == "" || o.Scheme != "https" && o.Scheme != "http" || strings.Trim(o.Path, "/") != "" || o.RawQuery != "" {
		v.Errorf(at, "%q must be an origin, as in https://dex.example.com", origin)
		return
	}
	if host := strings.ToLower(o.Hostname()); host != strings.ToLower(id) && !strings.HasSuffix(host, "."+strings.ToLower(id)) {
		v.Errorf(at, "browsers refuse the relying party %q at %s: it must be the origin's host, or a domain above it", id, origin)
	}
}

var aaguidPattern = regexp.MustCompile(`(?i)^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
