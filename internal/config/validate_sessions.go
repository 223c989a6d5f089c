package config

import (
	"cmp"
	"encoding/base64"
	"regexp"
	"slices"
	"time"
)

const sessionsFlag = "DEX_SESSIONS_ENABLED"

// cookieName is a token of RFC 9110, as RFC 6265 requires of a cookie's name.
var cookieName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

func (v *validator) sessions() {
	s := v.cfg.Sessions
	if s == nil {
		return
	}
	if !v.cfg.Flags.Sessions {
		v.Errorf("sessions", "needs the environment variable %s=true", sessionsFlag)
		return
	}
	if s.CookieName != "" && !cookieName.MatchString(s.CookieName) {
		v.Errorf("sessions.cookieName", "%q cannot be the name of a cookie; use letters, digits, - and _", s.CookieName)
	}
	v.positive("sessions.absoluteLifetime", s.AbsoluteLifetime)
	v.positive("sessions.validIfNotUsedFor", s.ValidIfNotUsedFor)
	lifetime := cmp.Or(s.AbsoluteLifetime, defaultSessionLifetime)
	idle := cmp.Or(s.ValidIfNotUsedFor, defaultSessionIdle)
	if lifetime > 0 && idle > lifetime {
		v.Errorf("sessions.validIfNotUsedFor", "%s must not be more than absoluteLifetime, which is %s", idle, lifetime)
	}
	if s.CookieEncryptionKey != "" && !isEncryptionKey(s.CookieEncryptionKey) {
		v.Errorf("sessions.cookieEncryptionKey", "must be 16, 24 or 32 bytes, as text or in standard base64")
	}
	v.OptionalOf("sessions.ssoSharedWithDefault", s.SSOSharedWithDefault, ssoSharing)
}

// isEncryptionKey reports whether text is an AES key, as it is or in base64. The plain form, once the only one, comes first.
func isEncryptionKey(text string) bool {
	sizes := []int{16, 24, 32}
	if slices.Contains(sizes, len(text)) {
		return true
	}
	key, err := base64.StdEncoding.DecodeString(text)
	return err == nil && slices.Contains(sizes, len(key))
}

func (v *validator) mfa() {
	m := v.cfg.MFA
	if m == nil || len(m.Authenticators) == 0 && len(m.DefaultMFAChain) == 0 {
		return
	}
	if !v.cfg.Flags.Sessions {
		v.Errorf("mfa", "needs the environment variable %s=true", sessionsFlag)
		return
	}
	seen := map[string]int{}
	for i, a := range m.Authenticators {
		key := Item("mfa.authenticators", i)
		v.authenticator(key, a)
		if !v.Required(key+".id", a.ID, "chains name the authenticator by it") {
			continue
		}
		if first, twice := seen[a.ID]; twice {
			v.Errorf(key+".id", "%q is the ID of mfa.authenticators[%d] already; IDs must be unique", a.ID, first)
			continue
		}
		seen[a.ID] = i
	}
	v.cfg.CheckMFAChain(v.Checker, "mfa.defaultMFAChain", m.DefaultMFAChain)
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

// totpSettings is the config of an authenticator of the type TOTP.
type totpSettings struct {
	Issuer string `key:"issuer"`
}

// webAuthnSettings is the config of an authenticator of the type WebAuthn.
type webAuthnSettings struct {
	RPDisplayName           string        `key:"rpDisplayName"`
	RPID                    string        `key:"rpID"`
	RPOrigins               []string      `key:"rpOrigins"`
	AttestationPreference   string        `key:"attestationPreference"`
	UserVerification        string        `key:"userVerification"`
	AuthenticatorAttachment string        `key:"authenticatorAttachment"`
	Timeout                 time.Duration `key:"timeout"`
}

func (v *validator) authenticator(key string, a Authenticator) {
	if v.Required(key+".type", a.Type, "one of "+Quoted(authenticatorTypes)) {
		v.OneOf(key+".type", a.Type, authenticatorTypes)
	}
	if a.Config.IsZero() {
		v.Errorf(key+".config", "is required; write {} where there is nothing to set")
		return
	}
	switch a.Type {
	case "TOTP":
		v.Decode(a.Config, &totpSettings{})
	case "WebAuthn":
		v.webAuthn(key+".config", a.Config)
	}
}

func (v *validator) webAuthn(key string, config Section) {
	var s webAuthnSettings
	v.Decode(config, &s)
	v.OptionalOf(key+".attestationPreference", s.AttestationPreference, []string{"none", "indirect", "direct"})
	v.OptionalOf(key+".userVerification", s.UserVerification, []string{"required", "preferred", "discouraged"})
	v.OptionalOf(key+".authenticatorAttachment", s.AuthenticatorAttachment, []string{"platform", "cross-platform"})
	v.positive(key+".timeout", s.Timeout)
}
