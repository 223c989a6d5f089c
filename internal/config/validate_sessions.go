package config

import (
	"cmp"
	"encoding/base64"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"time"
)

const sessionsFlag = "DEX_SESSIONS_ENABLED"

// cookieName is a token of RFC 9110, as RFC 6265 requires of a cookie's name.
var cookieName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// cookiePrefix begins names that browsers hold cookies to more for (RFC 6265bis, section 4.1.3), whatever their case.
var cookiePrefix = regexp.MustCompile(`(?i)^__(host|secure|http)-`)

// hostPattern is the name of a host, or of all hosts below a domain.
var hostPattern = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*\.?$`)

func (v *validator) sessions() {
	s := v.cfg.Sessions
	if s == nil {
		if v.section.mentions("sessions") && !v.cfg.Flags.Sessions && !v.IsBroken("sessions") {
			v.Warnf("sessions", "has no settings and switches nothing on; write {} to have sessions as they are by default")
		}
		return
	}
	if word, _ := v.env.lookup(sessionsFlag); word != "" && !v.cfg.Flags.Sessions {
		v.Warnf("sessions", "switches sessions on, although the environment variable %s is %q; leave one of them out", sessionsFlag, word)
	}
	v.sessionCookie(s)
	v.sessionLifetimes(s)
	v.OptionalOf("sessions.ssoSharedWithDefault", s.SSOSharedWithDefault, ssoSharing)
	if v.section.fills("sessions.maxAccounts") && (s.MaxAccounts < 1 || s.MaxAccounts > MaxAccounts) {
		v.Errorf("sessions.maxAccounts", "must be 1 to %d", MaxAccounts)
	}
	for i, host := range s.LogoutHosts {
		v.logoutHost(Item("sessions.logoutHosts", i), host)
	}
}

func (v *validator) sessionCookie(s *Sessions) {
	const key = "sessions.cookieName"
	issuer, err := url.Parse(v.cfg.Issuer)
	secure := err == nil && issuer.Scheme == "https" || v.IsBroken("issuer")
	switch {
	case s.CookieName != "" && !cookieName.MatchString(s.CookieName):
		v.Errorf(key, "%q cannot be the name of a cookie; use letters, digits, - and _", s.CookieName)
	case !cookiePrefix.MatchString(s.CookieName):
	case !secure:
		v.Errorf(key, "must not begin with __Host-, __Secure- or __Http-, as browsers refuse such cookies if the issuer doesn't begin with https://")
	default:
		v.Warnf(key, "need not begin with __Host-, __Secure- or __Http-: Dex puts the first or the second before the name")
	}
	if s.CrossSite && !secure {
		v.Errorf("sessions.crossSite", "needs an issuer that begins with https://, as browsers refuse such cookies otherwise")
	}
	switch key := "sessions.cookieEncryptionKey"; {
	case s.CookieEncryptionKey == "":
	case s.CookieKey() == nil:
		v.Errorf(key, "must be 16, 24 or 32 bytes, as text or in standard base64")
	default:
		v.Warnf(key, "only serves to read the cookies that upstream has set: Dex encrypts its own with a key in the storage; leave it out a day after the takeover")
	}
}

// sessionLifetimes refuses what cookies can't say: their lifetimes are whole seconds.
func (v *validator) sessionLifetimes(s *Sessions) {
	for key, value := range map[string]time.Duration{
		"sessions.absoluteLifetime": s.AbsoluteLifetime, "sessions.validIfNotUsedFor": s.ValidIfNotUsedFor,
	} {
		if v.positive(key, value); value > 0 && value < time.Second {
			v.Errorf(key, "must be at least 1s")
		}
	}
	lifetime := cmp.Or(s.AbsoluteLifetime, defaultSessionLifetime)
	if lifetime > 0 && s.ValidIfNotUsedFor > lifetime {
		v.Errorf("sessions.validIfNotUsedFor", "%s must not be more than absoluteLifetime, which is %s", s.ValidIfNotUsedFor, lifetime)
	}
	v.notNegative("sessions.consentLifetime", s.ConsentLifetime)
	if s.ConsentLifetime > 0 && s.ConsentLifetime < time.Second {
		v.Errorf("sessions.consentLifetime", "must be at least 1s, or 0 for ever")
	}
	if s.RememberConsent != nil && !*s.RememberConsent && s.ConsentLifetime > 0 {
		v.Warnf("sessions.consentLifetime", "is not used, because rememberConsent is false")
	}
}

// logoutHost checks an entry of the list of hosts. Link-local addresses are those of the metadata services of clouds.
func (v *validator) logoutHost(key, host string) {
	network, err := netip.ParsePrefix(host)
	addr, notAddr := netip.ParseAddr(host)
	if err != nil && notAddr == nil {
		network = netip.PrefixFrom(addr, addr.BitLen())
	}
	switch {
	case network.IsValid() && network.Masked().Addr().IsLinkLocalUnicast():
		v.Errorf(key, "%s is link-local; logout tokens never go there", host)
	case !network.IsValid() && !hostPattern.MatchString(host):
		v.Errorf(key, "%q must be the name of a host, as in app.example.net or *.example.net, an address, or a network, as in 10.0.0.0/8", host)
	}
}

// CookieKey returns the AES key with which upstream encrypted its cookies; nil if it didn't. It is in the configuration as it is, once
// the only form, or in base64.
func (s *Sessions) CookieKey() []byte {
	sizes := []int{16, 24, 32}
	if slices.Contains(sizes, len(s.CookieEncryptionKey)) {
		return []byte(s.CookieEncryptionKey)
	}
	key, err := base64.StdEncoding.DecodeString(s.CookieEncryptionKey)
	if err != nil || !slices.Contains(sizes, len(key)) {
		return nil
	}
	return key
}
