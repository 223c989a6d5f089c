package config

import (
	"cmp"
	"slices"
	"time"

	"dex/internal/oauth"
)

// setDefaults fills in settings that are absent or empty.
func (c *Config) setDefaults(env Environment) {
	c.Web.setDefaults()
	c.API.ServiceAccountAudience = cmp.Or(c.API.ServiceAccountAudience, "dex")
	c.GRPC.TLSMinVersion = cmp.Or(c.GRPC.TLSMinVersion, "1.2")
	c.API.TLSMinVersion = cmp.Or(c.API.TLSMinVersion, "1.2")
	c.Expiry.setDefaults()
	c.OAuth2.setDefaults(c.Flags)
	c.Telemetry.Traces.SampleOneIn = cmp.Or(c.Telemetry.Traces.SampleOneIn, DefaultSampleOneIn)
	c.Logger.Level = cmp.Or(c.Logger.Level, "info")
	c.Logger.Format = cmp.Or(c.Logger.Format, "text")
	c.Frontend.setDefaults(env)
	if c.Signer != nil {
		c.Signer.Local.setDefaults()
	}
	c.LocalUsers.setDefaults(c.Storage.Type)
	if c.Mail != nil {
		c.Mail.setDefaults()
	}
	if c.Audit != nil {
		c.Audit.setDefaults()
	}
	if c.SessionsOn() {
		c.Sessions = cmp.Or(c.Sessions, &Sessions{})
		c.Sessions.setDefaults()
	}
}

func (w *Web) setDefaults() {
	w.TLSMinVersion = cmp.Or(w.TLSMinVersion, "1.2")
	if w.AllowedHeaders == nil {
		w.AllowedHeaders = []string{"Authorization"}
	}
}

func (e *Expiry) setDefaults() {
	e.SigningKeys = cmp.Or(e.SigningKeys, DefaultSigningKeys)
	e.IDTokens = cmp.Or(e.IDTokens, DefaultIDTokens)
	e.AuthRequests = cmp.Or(e.AuthRequests, DefaultAuthRequests)
	e.AuthCodes = cmp.Or(e.AuthCodes, DefaultAuthCodes)
	e.DeviceRequests = cmp.Or(e.DeviceRequests, DefaultDeviceRequests)
}

func (o *OAuth2) setDefaults(flags Flags) {
	if len(o.GrantTypes) == 0 {
		o.GrantTypes = slices.Clone(DefaultGrantTypes)
		if flags.ClientCredentialsByDefault {
			o.GrantTypes = append(o.GrantTypes, oauth.GrantClientCredentials)
		}
	}
	if len(o.ResponseTypes) == 0 {
		o.ResponseTypes = []string{"code"}
	}
	if len(o.PKCE.CodeChallengeMethodsSupported) == 0 {
		o.PKCE.CodeChallengeMethodsSupported = slices.Clone(pkceMethods)
	}
	o.Tokens.AccessToken = cmp.Or(o.Tokens.AccessToken, AccessTokenJWT)
	o.Tokens.WarnSize = cmp.Or(o.Tokens.WarnSize, DefaultWarnSize)
}

func (f *Frontend) setDefaults(env Environment) {
	if f.Dir == "" {
		f.Dir, _ = env.lookup(frontendDirVariable)
	}
	f.LogoURL = cmp.Or(f.LogoURL, "theme/logo.png")
	f.Issuer = cmp.Or(f.Issuer, "dex")
}

func (l *LocalSigner) setDefaults() {
	l.KeysRotationPeriod = cmp.Or(l.KeysRotationPeriod, DefaultSigningKeys)
	l.Algorithm = cmp.Or(l.Algorithm, "RS256")
}

func (s *VaultSigner) setDefaults(env Environment) {
	for _, d := range []struct {
		value *string
		name  string
	}{
		{&s.Addr, "VAULT_ADDR"}, {&s.Token, "VAULT_TOKEN"}, {&s.Namespace, "VAULT_NAMESPACE"}, {&s.CAFile, "VAULT_CACERT"},
	} {
		if *d.value == "" {
			*d.value, _ = env.lookup(d.name)
		}
	}
}

// Defaults of the sessions section, which checks of its durations use too.
const (
	defaultSessionLifetime = 24 * time.Hour
	defaultSessionIdle     = time.Hour
	defaultAccounts        = 5
)

func (s *Sessions) setDefaults() {
	s.CookieName = cmp.Or(s.CookieName, "dex_session")
	s.AbsoluteLifetime = cmp.Or(s.AbsoluteLifetime, defaultSessionLifetime)
	s.ValidIfNotUsedFor = cmp.Or(s.ValidIfNotUsedFor, min(defaultSessionIdle, s.AbsoluteLifetime))
	s.SSOSharedWithDefault = cmp.Or(s.SSOSharedWithDefault, SharedWithNone)
	s.MaxAccounts = cmp.Or(s.MaxAccounts, defaultAccounts)
	for _, on := range []**bool{&s.RememberMeCheckedByDefault, &s.RememberConsent, &s.NotifyExpired} {
		if *on == nil {
			*on = new(true)
		}
	}
}

// VaultSigning returns where the key in Vault is, or false if keys are in the storage.
func (c *Config) VaultSigning() (VaultSigner, bool) {
	if c.Signer == nil || c.Signer.Type != signerVault {
		return VaultSigner{}, false
	}
	return c.Signer.Vault, true
}

// LocalSigning returns how keys in the storage are made, even if the file has no signer section.
func (c *Config) LocalSigning() LocalSigner {
	if c.Signer != nil {
		return c.Signer.Local
	}
	local := LocalSigner{KeysRotationPeriod: c.Expiry.SigningKeys}
	local.setDefaults()
	return local
}
