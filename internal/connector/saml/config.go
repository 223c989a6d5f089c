// Package saml signs people in at a SAML 2.0 identity provider, whose signed response the browser posts here (the web browser
// SSO profile, saml-profiles-2.0 section 4.1).
package saml

import (
	"cmp"
	"context"
	"time"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/saml"
)

// Config has the settings of the connector.
type Config struct {
	SSOURL      string `key:"ssoURL"`      // where users sign in; from the metadata if empty
	RedirectURI string `key:"redirectURI"` // where responses are posted to; our callback if empty

	UsernameAttr          string `key:"usernameAttr"`
	EmailAttr             string `key:"emailAttr"`
	GroupsAttr            string `key:"groupsAttr"`
	UserIDAttr            string `key:"userIDAttr"` // empty: the NameID is the user's id
	PreferredUsernameAttr string `key:"preferredUsernameAttr"`
	EmailVerified         bool   `key:"emailVerified"`
	AllowMissingEmail     bool   `key:"allowMissingEmail"`

	GroupsDelim   string   `key:"groupsDelim"`   // what separates groups within one value; empty: each value is a group
	AllowedGroups []string `key:"allowedGroups"` // empty: everybody is let in
	FilterGroups  bool     `key:"filterGroups"`  // pass on only the allowed groups

	EntityIssuer string `key:"entityIssuer"` // our entity ID; the RedirectURI if empty, and then not sent in requests
	SSOIssuer    string `key:"ssoIssuer"`    // the provider's entity ID; from the metadata if empty

	CA     string `key:"ca"`     // path of a PEM file with the certificates that the provider signs with
	CAData []byte `key:"caData"` // the content itself

	MetadataURL         string   `key:"metadataURL"`
	MetadataFile        string   `key:"metadataFile"`
	MetadataSigningCert string   `key:"metadataSigningCert"`   // path of a PEM file; empty: the metadata need not be signed
	RootCAs             []string `key:"rootCAs" file:"opened"` // for the TLS of MetadataURL; see outbound.NewClient

	Binding      string `key:"binding"`      // of requests: bindingPost or bindingRedirect; empty: post, if the provider has it
	SignRequests bool   `key:"signRequests"` // sign the requests for a login
	SPCert       string `key:"spCert"`       // paths of PEM files: our key, to sign and to decrypt
	SPKey        string `key:"spKey"`
	PreviousKey  string `key:"previousSPKey"` // to decrypt only, while providers still encrypt for it

	ForceAuthn         bool   `key:"forceAuthn"`
	NameIDPolicyFormat string `key:"nameIDPolicyFormat"`
	SLOURL             string `key:"sloURL"`

	// RequestedContexts are classes of authentication, one of which users must sign in with unless the application asks for
	// others.
	RequestedContexts []string `key:"requestedAuthnContext"`
	VerifyContext     bool     `key:"verifyAuthnContext"` // the assertion must name one of the requested classes

	Strict    bool          `key:"strict"` // see saml.Reader
	AllowSHA1 bool          `key:"allowSHA1"`
	ClockSkew time.Duration `key:"clockSkew"`

	MaxAge         *time.Duration `key:"maxAge"`         // how long after a login a refresh repeats it; 0: no limit; nil: defaultMaxAge
	EndWithSession bool           `key:"endWithSession"` // refresh ends when the provider's session does

	InsecureAccept []string `key:"insecureAccept"` // what is accepted although it should be refused; see tolerances

	InsecureSkipSignatureValidation bool `key:"insecureSkipSignatureValidation"`
}

const (
	bindingPost     = "post"
	bindingRedirect = "redirect"
)

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	*c = Config{EmailVerified: true, Strict: true, ClockSkew: saml.DefaultSkew}
	check := settings.Decode(s, (*plain)(c))
	c.checkProvider(check)
	c.checkCertificates(check)
	c.checkMetadata(check)
	c.checkKeys(check)
	c.checkIdentity(check)
	c.checkGroups(check)
	c.checkRules(check)
	return check.Problems()
}

// Open makes the connector. It makes no calls, and fails if a file can't be read or parsed.
func (c *Config) Open(ctx context.Context, env connector.Env) (any, error) {
	acs, ours := env.ReturnURL(c.RedirectURI)
	s := &source{
		config:     *c,
		env:        env,
		acs:        acs,
		nameFormat: nameIDFormats[cmp.Or(c.NameIDPolicyFormat, "persistent")],
	}
	s.entityID = cmp.Or(c.EntityIssuer, s.acs)
	var err error
	if s.keys, err = c.openKeys(env.Log); err != nil {
		return nil, err
	}
	if s.provider, err = c.openProvider(env.Log); err != nil {
		return nil, err
	}
	s.tolerance = c.tolerance()
	if !ours {
		env.Log.WarnContext(ctx, "redirectURI is not this server's callback address: responses arrive only if a proxy in between "+
			"forwards them there", "redirectURI", c.RedirectURI, "callback", env.CallbackURL)
	}
	return s, nil
}

// ReturnsTo implements connector.Returning. Responses are signed, so the address need not tell providers apart.
func (c *Config) ReturnsTo() connector.ReturnAddress {
	return connector.ReturnAddress{URI: c.RedirectURI, Signed: true}
}
