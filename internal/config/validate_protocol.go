package config

import (
	"cmp"
	"log/slog"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// recommendedAuthCodes is the maximum lifetime of a code that RFC 6749, section 4.1.2 recommends.
const recommendedAuthCodes = 10 * time.Minute

func (v *validator) expiry() {
	e := v.cfg.Expiry
	v.notNegative("expiry.idTokens", e.IDTokens)
	if e.IDTokens == 0 && v.section.fills("expiry.idTokens") {
		v.Warnf("expiry.idTokens", "0 stands for the default, 24h; leave the setting out or give it a value")
	}
	v.notNegative("expiry.authRequests", e.AuthRequests)
	v.notNegative("expiry.deviceRequests", e.DeviceRequests)
	v.positive("expiry.authCodes", e.AuthCodes)
	if e.AuthCodeReuseInterval < 0 || e.AuthCodeReuseInterval > MaxAuthCodeReuse {
		v.Errorf("expiry.authCodeReuseInterval", "must be 0s to 30s")
	}
	switch {
	case e.AuthCodes > MaxAuthCodes:
		v.Errorf("expiry.authCodes", "must be at most 30m")
	case e.AuthCodes > recommendedAuthCodes:
		v.Warnf("expiry.authCodes", "is more than the 10m that RFC 6749 recommends at most")
	}

	v.positive("expiry.signingKeys", e.SigningKeys)
	if e.SigningKeys > 0 && v.cfg.Signer != nil {
		v.Warnf("expiry.signingKeys", "is not used, because there is a signer section; use signer.config.keysRotationPeriod")
	} else if e.SigningKeys > 0 {
		v.Warnf("expiry.signingKeys", "is deprecated; use signer.config.keysRotationPeriod with the signer type local")
	}

	v.notNegative("expiry.refreshTokens.reuseInterval", e.RefreshTokens.ReuseInterval)
	v.notNegative("expiry.refreshTokens.validIfNotUsedFor", e.RefreshTokens.ValidIfNotUsedFor)
	v.notNegative("expiry.refreshTokens.absoluteLifetime", e.RefreshTokens.AbsoluteLifetime)
}

func (v *validator) oauth2() {
	o := v.cfg.OAuth2
	v.EachOf("oauth2.grantTypes", o.GrantTypes, GrantTypes)
	v.EachOf("oauth2.responseTypes", o.ResponseTypes, responseTypes)
	v.EachOf("oauth2.pkce.codeChallengeMethodsSupported", o.PKCE.CodeChallengeMethodsSupported, pkceMethods)
	v.tokens()
	v.compatibility()
}

func (v *validator) tokens() {
	t := v.cfg.OAuth2.Tokens
	v.OptionalOf("oauth2.tokens.accessToken", t.AccessToken, AccessTokens)
	for key, size := range map[string]int{"maxSize": t.MaxSize, "warnSize": t.WarnSize} {
		if size != 0 && (size < MinTokenSize || size > MaxTokenSize) {
			v.Errorf("oauth2.tokens."+key, "must be %d to %d bytes", MinTokenSize, MaxTokenSize)
		}
	}
	if t.MaxGroups < 0 || t.MaxGroups > MaxTokenGroups {
		v.Errorf("oauth2.tokens.maxGroups", "must be 0 to %d; 0 means any number", MaxTokenGroups)
	}
}

// compatibility checks the switches.
func (v *validator) compatibility() {
	c := v.cfg.OAuth2.Compatibility
	for key, value := range map[string]string{
		"clientChecks": c.ClientChecks, "introspection": c.Introspection, "browserBinding": c.BrowserBinding,
		"issuerParameter": c.IssuerParameter, "errorRedirects": c.ErrorRedirects, "reauthentication": c.Reauthentication,
		"silentLogin": c.SilentLogin, "unknownScopes": c.UnknownScopes, "tokenProfile": c.TokenProfile,
		"exchangeAudience": c.ExchangeAudience, "deviceConfirm": c.DeviceConfirm, "keyPublication": c.KeyPublication,
		"outOfBand": c.OutOfBand, "endpointGrants": c.EndpointGrants,
	} {
		v.OptionalOf("oauth2.compatibility."+key, value, switchPositions[key])
	}
}

func (v *validator) logger() {
	const key = "logger.level"
	var level slog.Level
	if v.section.mentions(key) && level.UnmarshalText([]byte(v.cfg.Logger.Level)) != nil {
		v.Errorf(key, "must be debug, info, warn or error, with an offset if needed, as in info+1")
	}
	v.OptionalOf("logger.format", strings.ToLower(v.cfg.Logger.Format), logFormats)
}

// SlogLevel returns the lowest level that is logged.
func (l Logger) SlogLevel() slog.Level {
	level := slog.LevelInfo
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return slog.LevelInfo // absent; anything else was an error when it was loaded
	}
	return level
}

func (v *validator) frontend() {
	if theme := v.cfg.Frontend.Theme; theme != "" && !filepath.IsLocal(theme) {
		v.Errorf("frontend.theme", "%q must be the name of a theme, and not lead out of the folder of themes", theme)
	}
	v.brand(v.cfg.Frontend)
}

func (v *validator) brand(f Frontend) {
	if f.Brand.Name != "" && f.Issuer != "" && f.Brand.Name != f.Issuer {
		v.Overrides("frontend.brand.name", "frontend.issuer", "replaces frontend.issuer")
	}
	if f.Brand.LogoURL != "" && f.LogoURL != "" && f.Brand.LogoURL != f.LogoURL {
		v.Overrides("frontend.brand.logoURL", "frontend.logoURL", "replaces frontend.logoURL")
	}
	for key, value := range map[string]string{"frontend.brand.accent": f.Brand.Accent, "frontend.brand.accentDark": f.Brand.AccentDark} {
		if v.section.mentions(key) && value == "" {
			v.Errorf(key, `has no value; quote colours, as in "#0a7d55": what follows # is a comment otherwise`)
		}
	}
	if f.Brand.AccentDark != "" && f.Brand.Accent == "" {
		v.Errorf("frontend.brand.accentDark", "needs frontend.brand.accent, for the light")
	}
}

// DisplayName returns the name shown to users; empty for the default.
func (f Frontend) DisplayName() string { return cmp.Or(f.Brand.Name, f.Issuer) }

// Logo returns the address of the logo; empty for the default.
func (f Frontend) Logo() string { return cmp.Or(f.Brand.LogoURL, f.LogoURL) }

func (v *validator) signer() {
	const key = "signer"
	if v.cfg.Signer == nil {
		if v.section.mentions(key) {
			v.Errorf(key, "must be a mapping with a type, or be left out to keep keys in the storage")
		}
		return
	}
	if !v.Required("signer.type", v.cfg.Signer.Type, "local keeps keys in the storage, as does leaving out the section") {
		return
	}
	switch v.cfg.Signer.Type {
	case signerLocal:
		v.localSigner(v.cfg.Signer)
	case signerVault:
		v.vaultSigner(&v.cfg.Signer.Vault)
	default:
		v.OneOf("signer.type", v.cfg.Signer.Type, signerTypes)
	}
}

func (v *validator) localSigner(s *Signer) {
	v.Decode(s.Config, &s.Local)
	v.positive("signer.config.keysRotationPeriod", s.Local.KeysRotationPeriod)
	v.OptionalOf("signer.config.algorithm", s.Local.Algorithm, signingAlgorithms)
}

// vaultKeyName is what Vault accepts in a path.
var vaultKeyName = regexp.MustCompile(`^\w([\w.-]*\w)?$`)

// vaultSigner also fills in defaults from the environment: a missing setting is a mistake only if they are missing too.
func (v *validator) vaultSigner(vault *VaultSigner) {
	v.Decode(v.cfg.Signer.Config, vault)
	vault.setDefaults(v.env)
	const address = "signer.config.addr"
	if v.Required(address, vault.Addr, "the URL of Vault or OpenBao, or else the environment variable VAULT_ADDR") {
		// The value is not quoted, because it may hold a password.
		u, err := url.Parse(vault.Addr)
		switch {
		case err != nil || !isHTTP(u) || u.Hostname() == "":
			v.Errorf(address, "must be a URL with the scheme https or http and a host, such as https://vault.example.net:8200")
		case u.User != nil || strings.ContainsAny(vault.Addr, "?#"):
			v.Errorf(address, "must not have a user name, a query or a fragment")
		case u.Scheme == "http" && !IsLoopback(u.Hostname()):
			v.Warnf(address, "is not encrypted: without https, the token can be read on the way, and everything be signed with it")
		}
	}
	v.Required("signer.config.token", vault.Token, "a token of Vault's, or else the environment variable VAULT_TOKEN")
	const key = "signer.config.keyName"
	if v.Required(key, vault.KeyName, "the name of the key in the Transit engine") && !vaultKeyName.MatchString(vault.KeyName) {
		v.Errorf(key, "must be the name of a key: letters, digits, and within it also dots and dashes")
	}
}
