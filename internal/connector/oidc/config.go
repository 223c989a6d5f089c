// Package oidc signs people in through any OpenID Connect provider.
package oidc

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/config"
	"dex/internal/connector"
	"dex/internal/connector/settings"
	"dex/internal/relyingparty"
)

// Config is the settings of the type oidc.
type Config struct {
	Issuer       string   `key:"issuer"`
	IssuerAlias  string   `key:"issuerAlias"` // what ID tokens have as iss instead
	ClientID     string   `key:"clientID"`
	ClientSecret string   `key:"clientSecret" secret:"file"`
	RedirectURI  string   `key:"redirectURI"`
	Scopes       []string `key:"scopes"`

	BasicAuthUnsupported *bool    `key:"basicAuthUnsupported"`
	ClientAuthMethod     string   `key:"clientAuthMethod"`
	ClientKey            string   `key:"clientKey"` // path of a PEM key, for private_key_jwt
	ClientKeyAlgorithm   string   `key:"clientKeyAlgorithm"`
	DecryptionKey        string   `key:"decryptionKey"` // path of PEM keys, for encrypted tokens
	HostedDomains        []string `key:"hostedDomains"`
	RootCAs              []string `key:"rootCAs" file:"opened"`
	InsecureSkipVerify   bool     `key:"insecureSkipVerify"`

	InsecureSkipEmailVerified bool     `key:"insecureSkipEmailVerified"`
	AllowMissingEmail         bool     `key:"allowMissingEmail"`
	InsecureSkipIssuedAt      bool     `key:"insecureSkipIssuedAt"` // take ID tokens without iat
	InsecureIgnoreKeyUse      bool     `key:"insecureIgnoreKeyUse"` // take keys whatever their use and alg
	InsecureEnableGroups      bool     `key:"insecureEnableGroups"`
	AllowedGroups             []string `key:"allowedGroups"`
	ACRValues                 []string `key:"acrValues"`
	VerifyACR                 bool     `key:"verifyACR"`
	GetUserInfo               bool     `key:"getUserInfo"`
	UserIDKey                 string   `key:"userIDKey"`
	UserNameKey               string   `key:"userNameKey"`
	PromptType                *string  `key:"promptType"`
	PKCEChallenge             string   `key:"pkceChallenge"`
	ResponseMode              string   `key:"responseMode"`
	PushedRequests            string   `key:"pushedRequests"` // RFC 9126

	// Switches for checks that upstream doesn't have, for providers that fail them.
	InsecureSkipNonce  bool `key:"insecureSkipNonce"`
	InsecureSkipAtHash bool `key:"insecureSkipAtHash"`
	InsecureSkipIss    bool `key:"insecureSkipIss"` // of answers, RFC 9207

	ClockSkew              *time.Duration `key:"clockSkew"`
	MaxKeyAge              *time.Duration `key:"maxKeyAge"` // how long a key counts that was withdrawn
	ExchangeAudiences      []string       `key:"exchangeAudiences"`
	DistributedClaimsHosts []string       `key:"distributedClaimsHosts"`

	ExchangeAccessTokensBy      string `key:"exchangeAccessTokensBy"`      // one of the values below
	InsecureExchangeByRequester bool   `key:"insecureExchangeByRequester"` // take access tokens by azp too

	OverrideClaimMapping    bool         `key:"overrideClaimMapping"`
	ClaimMapping            ClaimMapping `key:"claimMapping"`
	ClaimMappingExpressions Expressions  `key:"claimMappingExpressions"`
	ClaimModifications      struct {
		NewGroupFromClaims []NewGroup `key:"newGroupFromClaims"`
		FilterGroupClaims  struct {
			GroupsFilter string `key:"groupsFilter"`
		} `key:"filterGroupClaims"`
		ModifyGroupNames struct {
			Prefix string `key:"prefix"`
			Suffix string `key:"suffix"`
		} `key:"modifyGroupNames"`
	} `key:"claimModifications"`
	Overrides Overrides `key:"providerDiscoveryOverrides"`

	groupsFilter *regexp.Regexp // nil for none
	compiled     compiled
}

// Values of exchangeAccessTokensBy: what an access token is known by when it is exchanged.
const (
	bySignature     = "signature"     // a JWT that the provider's keys verify
	byUserInfo      = "userinfo"      // the provider says whose it is
	byIntrospection = "introspection" // the provider says whose it is, and for whom it was made (RFC 7662)
)

// ClaimMapping names claims to be read where the standard one is missing.
type ClaimMapping struct {
	PreferredUsername string `key:"preferred_username"`
	Email             string `key:"email"`
	Groups            string `key:"groups"`
}

// NewGroup makes one more group from the values of claims.
type NewGroup struct {
	Claims         []string `key:"claims"`
	Delimiter      string   `key:"delimiter"`
	ClearDelimiter bool     `key:"clearDelimiter"`
	Prefix         string   `key:"prefix"`
}

// Overrides replace what the provider says of itself.
type Overrides struct {
	TokenURL      string `key:"tokenURL"`
	AuthURL       string `key:"authURL"`
	JWKSURL       string `key:"jwksURL"`
	UserInfoURL   string `key:"userInfoURL"`
	DeviceAuthURL string `key:"deviceAuthURL"` // accepted; nothing here asks for a device
	EndSessionURL string `key:"endSessionURL"`
}

// Values of pushedRequests beside the default, which is what the provider requires.
const (
	pushAlways = "always"
	pushNever  = "never"
)

// Bounds of clockSkew and maxKeyAge.
const (
	defaultKeyAge = time.Hour
	minKeyAge     = time.Minute
	maxKeyAge     = 24 * time.Hour

	defaultSkew = 10 * time.Second
	maxSkew     = 5 * time.Minute
)

// UnmarshalConfig implements config.Unmarshaler.
func (c *Config) UnmarshalConfig(s config.Section) config.Problems {
	type plain Config
	check := settings.Decode(s, (*plain)(c))
	const example = "https://accounts.example.com"
	check.Required("issuer", c.Issuer == "", "is missing: the provider's issuer URL, such as %s", example)
	check.URL("issuer", c.Issuer, example)
	if len(c.HostedDomains) > 0 {
		check.Fail("hostedDomains", "is no longer a setting of this type: use a connector of the type google")
	}
	check.OneOf("pkceChallenge", c.PKCEChallenge, relyingparty.ChallengeS256, relyingparty.ChallengePlain, relyingparty.ChallengeNone)
	check.OneOf("pushedRequests", c.PushedRequests, pushAlways, pushNever)
	check.OneOf("responseMode", c.ResponseMode, "query", "form_post")
	check.Between("clockSkew", c.ClockSkew, 0, maxSkew)
	check.Between("maxKeyAge", c.MaxKeyAge, minKeyAge, maxKeyAge)
	if filter := c.ClaimModifications.FilterGroupClaims.GroupsFilter; filter != "" {
		var err error
		if c.groupsFilter, err = regexp.Compile(filter); err != nil {
			check.Fail("claimModifications.filterGroupClaims.groupsFilter", "is no regular expression: %v", err)
		}
	}
	if c.VerifyACR && len(c.ACRValues) == 0 {
		check.Fail("verifyACR", "needs acrValues, one of which the provider must have met")
	}
	c.checkExpressions(check)
	c.checkAuth(check)
	c.checkExchange(check)
	c.checkOverrides(check)
	c.checkRisks(check)
	return check.Problems()
}

// checkAuth checks how we show the provider who we are.
func (c *Config) checkAuth(check *settings.Check) {
	check.OneOf("clientAuthMethod", c.ClientAuthMethod, relyingparty.AuthBasic, relyingparty.AuthPost,
		relyingparty.AuthSecretJWT, relyingparty.AuthPrivateKey, relyingparty.AuthNone)
	check.OneOf("clientKeyAlgorithm", c.ClientKeyAlgorithm, string(jose.RS256), string(jose.PS256), string(jose.ES256))
	if (c.ClientAuthMethod == relyingparty.AuthPrivateKey) != (c.ClientKey != "") {
		check.Fail("clientKey", "goes with clientAuthMethod: private_key_jwt: the path of a private key in PEM")
	}
	if c.ClientAuthMethod == relyingparty.AuthSecretJWT && len(c.ClientSecret) < relyingparty.MinSecret {
		check.Fail("clientAuthMethod", "client_secret_jwt needs a clientSecret of at least %d bytes", relyingparty.MinSecret)
	}
	if c.ClientKeyAlgorithm != "" && c.ClientKey == "" {
		check.Fail("clientKeyAlgorithm", "goes with clientKey")
	}
}

// checkExchange checks what applies to the exchange of the provider's tokens.
func (c *Config) checkExchange(check *settings.Check) {
	const key = "exchangeAccessTokensBy"
	check.OneOf(key, c.ExchangeAccessTokensBy, bySignature, byUserInfo, byIntrospection)
	switch c.ExchangeAccessTokensBy {
	case byIntrospection:
		if c.ClientID == "" {
			check.Fail(key, "introspection needs a clientID, by which the provider knows us")
		}
	case byUserInfo:
		if !c.GetUserInfo {
			check.Fail(key, "userinfo needs getUserInfo: true")
		}
	case "":
		if c.GetUserInfo && (c.ClientID != "" || len(c.ExchangeAudiences) > 0) {
			check.Warn("getUserInfo", "lets whoever may exchange tokens do so with every access token of the provider that is no JWT, "+
				"whomever it was made for; set exchangeAccessTokensBy to introspection or signature, or to userinfo if that is meant")
		}
	}
	if c.InsecureExchangeByRequester {
		check.Warn("insecureExchangeByRequester", "lets every API that gets an access token exchange it, and so sign in as its user")
	}
	if c.ClientID == "" && len(c.ExchangeAudiences) == 0 {
		check.Warn("clientID", "is missing, so nobody can log in; and as exchangeAudiences is missing too, tokens that the issuer made for "+
			"anybody are exchanged: list there the audiences that you mean")
	}
}

func (c *Config) checkOverrides(check *settings.Check) {
	o, overridden := c.Overrides, false
	for key, value := range map[string]string{
		"tokenURL": o.TokenURL, "authURL": o.AuthURL, "jwksURL": o.JWKSURL, "userInfoURL": o.UserInfoURL,
		"deviceAuthURL": o.DeviceAuthURL, "endSessionURL": o.EndSessionURL,
	} {
		overridden = overridden || value != ""
		check.URL("providerDiscoveryOverrides."+key, value, "https://accounts.example.com/token")
	}
	if overridden {
		check.Warn("providerDiscoveryOverrides", "replaces what the provider says of itself: whoever answers at these URLs can sign in as anybody")
	}
}

func (c *Config) checkRisks(check *settings.Check) {
	if c.InsecureSkipVerify {
		check.Warn("insecureSkipVerify", "lets anybody on the way sign in as anybody; use rootCAs")
	}
	if c.InsecureSkipNonce && c.PKCEChallenge == relyingparty.ChallengeNone {
		check.Warn("insecureSkipNonce", "together with pkceChallenge: none leaves nothing that binds a code to the login that it was made for")
	}
	shared := c.RedirectURI == "" || strings.HasSuffix(c.RedirectURI, "/callback")
	if c.InsecureSkipIss && shared {
		check.Warn("insecureSkipIss", "lets another provider's answer pass for this one's; give the connector a redirectURI of its own")
	}
	if len(c.AllowedGroups) > 0 && !c.InsecureEnableGroups && c.ClaimMappingExpressions.Groups == "" {
		check.Warn("allowedGroups", "is held to although insecureEnableGroups is not set; upstream would let everybody in")
	}
}

// scopes returns what is asked for besides openid.
func (c *Config) scopes() []string {
	if len(c.Scopes) == 0 {
		return []string{"profile", "email"}
	}
	return slices.DeleteFunc(slices.Clone(c.Scopes), func(s string) bool { return s == "openid" })
}

// groups reports whether groups are read.
func (c *Config) groups() bool {
	return c.InsecureEnableGroups || len(c.AllowedGroups) > 0 || c.compiled.groups != nil
}

// accessTokensBy returns what an access token is known by when it is exchanged.
func (c *Config) accessTokensBy() string {
	switch {
	case c.ExchangeAccessTokensBy != "":
		return c.ExchangeAccessTokensBy
	case c.GetUserInfo:
		return byUserInfo
	}
	return bySignature
}

// promptType returns how users are asked at logins that are to be prolonged, where the application does not say.
func (c *Config) promptType() string {
	if c.PromptType == nil {
		return "consent"
	}
	return *c.PromptType
}

func (c *Config) skew() time.Duration {
	if c.ClockSkew == nil {
		return defaultSkew
	}
	return *c.ClockSkew
}

func (c *Config) maxKeyAge() time.Duration {
	if c.MaxKeyAge == nil {
		return defaultKeyAge
	}
	return *c.MaxKeyAge
}

func (c *Config) userIDKey() string { return cmp.Or(c.UserIDKey, "sub") }

// isOkta reports whether a provider is one that is known to refuse the secret in the header.
func isOkta(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil {
		return false
	}
	host := "." + u.Hostname()
	return strings.HasSuffix(host, ".okta.com") || strings.HasSuffix(host, ".oktapreview.com")
}

// client returns who we are at the token endpoint.
func (c *Config) client() *relyingparty.Client {
	method := c.ClientAuthMethod
	unsupported := c.BasicAuthUnsupported
	if method == "" && c.ClientSecret != "" && (unsupported != nil && *unsupported || unsupported == nil && isOkta(c.Issuer)) {
		method = relyingparty.AuthPost
	}
	return &relyingparty.Client{
		ID: c.ClientID, Secret: c.ClientSecret, Method: method, Key: c.ClientKey,
		KeyAlgorithm: jose.SignatureAlgorithm(c.ClientKeyAlgorithm),
	}
}

// ExchangesOnly implements connector.ExchangeOnly: without a client id the provider signs nobody in for us.
func (c *Config) ExchangesOnly() bool { return c.ClientID == "" }

// ReturnsTo implements connector.Returning.
func (c *Config) ReturnsTo() connector.ReturnAddress {
	return connector.ReturnAddress{URI: c.RedirectURI}
}

// ExchangesForAll implements connector.OpenExchange. Whoever asks a CI platform for a token chooses its audience, so
// exchangeAudiences keeps nobody out.
func (c *Config) ExchangesForAll() string {
	if len(c.ExchangeAudiences) == 0 || len(c.AllowedGroups) > 0 {
		return ""
	}
	return "exchangeAudiences"
}
