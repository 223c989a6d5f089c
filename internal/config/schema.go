package config

import (
	"time"

	"dex/internal/rule"
)

// Config is a decoded configuration file, with defaults filled in and every value checked.
//
// The tag `key` is a key as it is documented; keys match without regard to case.
// The tag `secret` marks what must never be shown: with `secret:"file"`, the key with File at its end names a file that has it.
type Config struct {
	Issuer  string  `key:"issuer"` // as written, since it is the iss claim byte for byte
	Storage Storage `key:"storage"`

	Web       Web       `key:"web"`
	GRPC      GRPC      `key:"grpc"`
	API       API       `key:"api"`
	Telemetry Telemetry `key:"telemetry"`

	Audit *Audit `key:"audit"` // nil if none is kept

	Expiry   Expiry   `key:"expiry"`
	OAuth2   OAuth2   `key:"oauth2"`
	Logger   Logger   `key:"logger"`
	Frontend Frontend `key:"frontend"`
	Signer   *Signer  `key:"signer"` // nil when the section is absent

	// The rooms federation, client and connector/local read the lists.
	Connectors       List `key:"connectors"`
	StaticClients    List `key:"staticClients"`
	EnablePasswordDB bool `key:"enablePasswordDB"`
	StaticPasswords  List `key:"staticPasswords"`
	PasswordHashCost int  `key:"passwordHashCost"` // 0 means what most users have

	LocalUsers LocalUsers `key:"localUsers"`
	Account    Account    `key:"account"`
	Mail       *Mail      `key:"mail"` // nil if none is sent

	Kubernetes Kubernetes `key:"kubernetes"`

	// AuthPolicy and TokenPolicy are for all clients; connectors and clients have their own.
	AuthPolicy  []rule.Refusal    `key:"authPolicy"`
	TokenPolicy *rule.TokenPolicy `key:"tokenPolicy"`

	Sessions *Sessions `key:"sessions"` // nil if sessions are off; see SessionsOn
	MFA      *MFA      `key:"mfa"`

	// Flags are the feature flags from the environment.
	Flags Flags `key:"-"`
	// File is the whole file, for problems that other rooms find.
	File Section `key:"-"`
}

// Storage names the storage; its config is decoded by the backend.
type Storage struct {
	Type   string  `key:"type"` // one of StorageTypes
	Config Section `key:"config" expand:"env"`
	// KeyFile is the path of a file with the keys that encrypt records.
	KeyFile string `key:"keyFile"`
}

// Kubernetes is what the server has to do with a cluster, whatever storage it has.
type Kubernetes struct {
	Resources *Resources `key:"resources"` // nil when the section is absent
}

// Resources is where custom resources with clients, users and connectors are read.
type Resources struct {
	InCluster      bool   `key:"inCluster"`
	KubeConfigFile string `key:"kubeConfigFile"`
	Namespace      string `key:"namespace"` // that of the pod or of the kubeconfig when absent
	// ClientNamespaces are others that may have clients, whose ids begin with the namespace.
	ClientNamespaces []string `key:"clientNamespaces"`
}

// Web is the listeners that browsers and applications reach.
type Web struct {
	HTTP           string          `key:"http"`  // host:port
	HTTPS          string          `key:"https"` // host:port
	TLSCert        string          `key:"tlsCert"`
	TLSKey         string          `key:"tlsKey"`
	TLSMinVersion  string          `key:"tlsMinVersion"` // "1.2" or "1.3"; "1.2" when absent
	TLSMaxVersion  string          `key:"tlsMaxVersion"` // "1.2" or "1.3"; empty means the newest
	Headers        ResponseHeaders `key:"headers"`
	AllowedOrigins []string        `key:"allowedOrigins"`
	AllowedHeaders []string        `key:"allowedHeaders"` // ["Authorization"] when absent
	ClientRemoteIP ClientRemoteIP  `key:"clientRemoteIP"`
}

// ResponseHeaders override the default security headers: nil means the default, and an empty text that the header is not sent.
type ResponseHeaders struct {
	ContentSecurityPolicy   *string `key:"Content-Security-Policy"`
	XFrameOptions           *string `key:"X-Frame-Options"`
	XContentTypeOptions     *string `key:"X-Content-Type-Options"`
	XXSSProtection          *string `key:"X-XSS-Protection"`
	StrictTransportSecurity *string `key:"Strict-Transport-Security"`
}

// ClientRemoteIP says which header has the client's address, and which proxies are believed.
type ClientRemoteIP struct {
	Header         string   `key:"header"`
	TrustedProxies []string `key:"trustedProxies"` // CIDR prefixes
}

// GRPC is the gRPC listener of the management API.
type GRPC struct {
	Addr          string `key:"addr"` // host:port, or unix:///path; empty means none
	TLSCert       string `key:"tlsCert"`
	TLSKey        string `key:"tlsKey"`
	TLSClientCA   string `key:"tlsClientCA"`
	TLSMinVersion string `key:"tlsMinVersion"`
	TLSMaxVersion string `key:"tlsMaxVersion"`
	Reflection    bool   `key:"reflection"`
	StatusCodes   string `key:"statusCodes"` // Upstream or StandardCodes; empty means Upstream
	// InsecureAnonymous lets anybody who reaches the listener do everything, wherever it listens.
	InsecureAnonymous bool `key:"insecureAnonymous"`
}

// API is the management API over HTTP, and what all doors to it share.
type API struct {
	Addr          string `key:"addr"` // host:port, or unix:///path, of the API over HTTP; empty means none
	TLSCert       string `key:"tlsCert"`
	TLSKey        string `key:"tlsKey"`
	TLSClientCA   string `key:"tlsClientCA"`
	TLSMinVersion string `key:"tlsMinVersion"`
	TLSMaxVersion string `key:"tlsMaxVersion"`
	// Telemetry serves the API over HTTP at telemetry.http.
	Telemetry bool `key:"telemetry"`
	// Access says who may call. Without any, and without AdminTokens, whoever reaches a door may do everything.
	Access []Access `key:"access"`
	// AdminTokens accepts the tokens that dex admin token makes.
	AdminTokens bool `key:"adminTokens"`
	// ServiceAccountAudience is the audience of Kubernetes service account tokens; "dex" when absent.
	ServiceAccountAudience string `key:"serviceAccountAudience"`
	// KubeConfigFile is how to reach the cluster that knows the service accounts; empty means the cluster that Dex runs in.
	KubeConfigFile string `key:"kubeConfigFile"`
}

// Access lets a caller in. Exactly one of Certificate, Token and ServiceAccount is set.
type Access struct {
	Name           string                `key:"name"` // for the log
	Roles          []string              `key:"roles"`
	Certificate    *AccessCertificate    `key:"certificate"`
	Token          *AccessToken          `key:"token"`
	ServiceAccount *AccessServiceAccount `key:"serviceAccount"`
}

// AccessCertificate is a client certificate of one of grpc.tlsClientCA or api.tlsClientCA. All that is set must match.
type AccessCertificate struct {
	CommonName string `key:"commonName"`
	DNSName    string `key:"dnsName"`
	URI        string `key:"uri"`
	SHA256     string `key:"sha256"` // of the certificate in DER, in hexadecimal digits
}

// AccessToken is an ID token that Dex has issued to a client, for a user with one of the groups.
type AccessToken struct {
	Client string   `key:"client"`
	Groups []string `key:"groups"`
}

// AccessServiceAccount is a token of a Kubernetes service account.
type AccessServiceAccount struct {
	Namespace string `key:"namespace"`
	Name      string `key:"name"`
}

// Telemetry is the listener of metrics, health and profiles.
type Telemetry struct {
	HTTP            string `key:"http"` // host:port; empty means none
	EnableProfiling bool   `key:"enableProfiling"`
	Traces          Traces `key:"traces"`
}

// Traces says where traces of requests go.
type Traces struct {
	Endpoint     string            `key:"endpoint"` // URL of a collector, with its path; empty means none
	Headers      map[string]string `key:"headers"`
	RootCA       string            `key:"rootCA"` // PEM file
	SampleOneIn  int               `key:"sampleOneIn"`
	FollowParent bool              `key:"followParent"` // let trusted proxies decide
	Propagate    bool              `key:"propagate"`    // tell sources the ids
}

// Expiry is how long things live.
type Expiry struct {
	SigningKeys  time.Duration `key:"signingKeys"`  // 6h when absent
	IDTokens     time.Duration `key:"idTokens"`     // ID and access tokens; 24h when absent
	AuthRequests time.Duration `key:"authRequests"` // how long a login may take; 24h when absent
	AuthCodes    time.Duration `key:"authCodes"`    // ours; 60s when absent, at most 30m
	// AuthCodeReuseInterval is how long after its use a code still gets the same answer; ours; 0 when absent.
	AuthCodeReuseInterval time.Duration `key:"authCodeReuseInterval"`
	DeviceRequests        time.Duration `key:"deviceRequests"` // 5m when absent
	RefreshTokens         RefreshTokens `key:"refreshTokens"`
}

// RefreshTokens is the policy of refresh token families.
type RefreshTokens struct {
	DisableRotation bool `key:"disableRotation"`
	// ReuseInterval is how long the token before the last rotation is answered with the same next token;
	// DefaultReuseInterval when the key is absent, and an explicit 0 means never.
	ReuseInterval     time.Duration `key:"reuseInterval"`
	ValidIfNotUsedFor time.Duration `key:"validIfNotUsedFor"` // 0 means for ever
	AbsoluteLifetime  time.Duration `key:"absoluteLifetime"`  // 0 means for ever
}

// OAuth2 is the settings of the protocol.
type OAuth2 struct {
	GrantTypes            []string `key:"grantTypes"`    // the documented default list when absent
	ResponseTypes         []string `key:"responseTypes"` // ["code"] when absent
	SkipApprovalScreen    bool     `key:"skipApprovalScreen"`
	AlwaysShowLoginScreen bool     `key:"alwaysShowLoginScreen"`
	PasswordConnector     string   `key:"passwordConnector"` // a connector's ID; empty means no password grant
	PKCE                  PKCE     `key:"pkce"`
	Tokens                Tokens   `key:"tokens"`

	Compatibility Compatibility `key:"compatibility"`
}

// Tokens are what clients' tokens are like that don't say themselves. All of these settings are ours.
type Tokens struct {
	AccessToken string `key:"accessToken"` // jwt or opaque; jwt when absent
	MaxGroups   int    `key:"maxGroups"`   // with more, tokens refer to UserInfo for them; 0 means any number
	MaxSize     int    `key:"maxSize"`     // of one token, in bytes; 0 means any size
	WarnSize    int    `key:"warnSize"`    // of a token that the log mentions, in bytes; 8192 when absent
}

// The forms of access tokens.
const (
	AccessTokenJWT    = "jwt"
	AccessTokenOpaque = "opaque"
)

// Bounds of what limits tokens. A token with nothing but its user's name and address needs nearly MinTokenSize.
const (
	MinTokenSize   = 1024    // bytes
	MaxTokenSize   = 1 << 20 // bytes
	MaxTokenGroups = 100_000
)

// DefaultWarnSize is what many servers and proxies take of a header at most, in bytes.
const DefaultWarnSize = 8192

// Compatibility says whose rule applies where upstream departs from a standard and deployed clients may depend on that:
// Upstream's, the Default, or the Strict one of the standard. Empty means Default, which is the standard's rule unless it
// would break sound clients. All of these settings are ours.
type Compatibility struct {
	ClientChecks     string `key:"clientChecks"`     // PKCE's form, nonces, device codes' clients, ports of localhost
	Introspection    string `key:"introspection"`    // who may introspect which tokens
	BrowserBinding   string `key:"browserBinding"`   // whether a login is bound to the browser that began it
	IssuerParameter  string `key:"issuerParameter"`  // whether answers have the parameter iss
	ErrorRedirects   string `key:"errorRedirects"`   // who is told when an identity source fails
	Reauthentication string `key:"reauthentication"` // whether sources are told of prompt, max_age and hints
	SilentLogin      string `key:"silentLogin"`      // prompt=none without browser sessions
	UnknownScopes    string `key:"unknownScopes"`
	TokenProfile     string `key:"tokenProfile"`     // the claims of UserInfo and access tokens
	ExchangeAudience string `key:"exchangeAudience"` // the audience of exchanged tokens
	DeviceConfirm    string `key:"deviceConfirm"`    // whether users are asked about the device
	KeyPublication   string `key:"keyPublication"`   // whether keys are published before they sign
	OutOfBand        string `key:"outOfBand"`        // codes that users copy
	EndpointGrants   string `key:"endpointGrants"`   // whether grantTypes apply to the authorization endpoint too
}

// Values of Compatibility's settings.
const (
	Upstream = "upstream"
	Default  = "default"
	Strict   = "strict"
)

// PKCE is the settings of RFC 7636.
type PKCE struct {
	Enforce                       bool     `key:"enforce"`
	CodeChallengeMethodsSupported []string `key:"codeChallengeMethodsSupported"` // ["S256", "plain"] when absent
}

// Logger is the settings of the log on standard error.
type Logger struct {
	Level         string   `key:"level"`  // debug, info, warn or error in any case, with an optional offset: info+1
	Format        string   `key:"format"` // text or json, in any case; text when absent
	ExcludeFields []string `key:"excludeFields"`
}

// Frontend is the settings of the pages.
type Frontend struct {
	Dir     string            `key:"dir"`     // $DEX_FRONTEND_DIR when absent
	Theme   string            `key:"theme"`   // empty when absent
	LogoURL string            `key:"logoURL"` // theme/logo.png when absent
	Issuer  string            `key:"issuer"`  // the display name; dex when absent
	Extra   map[string]string `key:"extra"`

	Extras    map[string]map[string]string `key:"extras"`    // Extra in other languages, by their tags
	Language  string                       `key:"language"`  // of pages, where neither application nor browser wishes for one
	Languages []string                     `key:"languages"` // to choose from; all when absent
	Messages  string                       `key:"messages"`  // a folder with files such as de.json

	RememberConnector bool `key:"rememberConnector"` // the browser remembers the connector last used; true when absent
	FormOnChoice      bool `key:"formOnChoice"`      // the choice shows the form of the only connector that has one; true when absent

	Brand Brand `key:"brand"`
}

// Brand is the operator's own colours, name and logo.
type Brand struct {
	Name        string `key:"name"`        // replaces frontend.issuer
	Accent      string `key:"accent"`      // such as #0a7d55; built-in colours when absent
	AccentDark  string `key:"accentDark"`  // made of accent when absent
	LogoURL     string `key:"logoURL"`     // replaces frontend.logoURL
	LogoDarkURL string `key:"logoDarkURL"` // logoURL when absent
}

// Signer is where signing keys live.
type Signer struct {
	Type   string  `key:"type"` // local or vault
	Config Section `key:"config" expand:"env"`

	Local LocalSigner `key:"-"` // Config, decoded, when Type is local
	Vault VaultSigner `key:"-"` // Config, decoded, when Type is vault
}

// VaultSigner is the settings of a signing key in the Transit engine of Vault or OpenBao.
type VaultSigner struct {
	Addr    string `key:"addr"`                // $VAULT_ADDR when absent
	Token   string `key:"token" secret:"file"` // $VAULT_TOKEN when absent
	KeyName string `key:"keyName"`

	Namespace string `key:"-"` // $VAULT_NAMESPACE
	CAFile    string `key:"-"` // $VAULT_CACERT
}

// LocalSigner is the settings of signing keys kept in the storage.
type LocalSigner struct {
	KeysRotationPeriod time.Duration `key:"keysRotationPeriod"` // 6h when absent
	Algorithm          string        `key:"algorithm"`          // RS256 or ES256; RS256 when absent
}

// Sessions is the settings of browser sessions. After loading, no pointer is nil.
type Sessions struct {
	CookieName                 string        `key:"cookieName"`                 // dex_session when absent
	AbsoluteLifetime           time.Duration `key:"absoluteLifetime"`           // 24h when absent
	ValidIfNotUsedFor          time.Duration `key:"validIfNotUsedFor"`          // 1h when absent, or AbsoluteLifetime if that is less
	RememberMeCheckedByDefault *bool         `key:"rememberMeCheckedByDefault"` // true when absent
	CookieEncryptionKey        string        `key:"cookieEncryptionKey" secret:"file"`
	SSOSharedWithDefault       string        `key:"ssoSharedWithDefault"` // SharedWithNone or SharedWithAll; none when absent

	// The others are ours.

	MaxAccounts int `key:"maxAccounts"` // in one browser: 1 to 10; 5 when absent
	// RememberConsent says that users are asked only once for what they have agreed to; true when absent.
	RememberConsent *bool         `key:"rememberConsent"`
	ConsentLifetime time.Duration `key:"consentLifetime"` // 0 means for ever
	// CrossSite lets pages of other sites that have Dex in an iframe use the session.
	CrossSite          bool  `key:"crossSite"`
	CheckSessionIframe bool  `key:"checkSessionIframe"` // Session Management
	NotifyExpired      *bool `key:"notifyExpired"`      // whether sessions that time out send logout tokens too; true when absent
	// LogoutHosts are names, also as in *.example.net, addresses and networks to which logout tokens of clients outside the file may
	// go although they are private.
	LogoutHosts []string `key:"logoutHosts"`
}

// Values of Sessions.SSOSharedWithDefault.
const (
	SharedWithNone = "none"
	SharedWithAll  = "all"
)

// MaxAccounts is the most that sessions.maxAccounts may be: all accounts are in one cookie, which has to stay below 4 KiB.
const MaxAccounts = 10

// SessionsOn reports whether browser sessions are on: by their section, or as upstream by an environment variable.
func (c *Config) SessionsOn() bool { return c.Sessions != nil || c.Flags.Sessions }

// Flags are the feature flags; the comments name the environment variables.
type Flags struct {
	ExpandEnv                    bool // DEX_EXPAND_ENV, true when absent
	ContinueOnConnectorFailure   bool // DEX_CONTINUE_ON_CONNECTOR_FAILURE, true when absent
	APIConnectorsCRUD            bool // DEX_API_CONNECTORS_CRUD
	Ent                          bool // DEX_ENT_ENABLED
	DisallowUnknownFields        bool // DEX_CONFIG_DISALLOW_UNKNOWN_FIELDS
	ClientCredentialsByDefault   bool // DEX_CLIENT_CREDENTIAL_GRANT_ENABLED_BY_DEFAULT
	Sessions                     bool // DEX_SESSIONS_ENABLED
	APISessionsAndIdentitiesCRUD bool // DEX_API_SESSIONS_IDENTITIES_CRUD
}

// Defaults that other rooms and the documentation name.
const (
	DefaultIDTokens       = 24 * time.Hour
	DefaultSampleOneIn    = 10 // requests for one whose trace is recorded
	DefaultAuthRequests   = 24 * time.Hour
	DefaultAuthCodes      = time.Minute
	MaxAuthCodes          = 30 * time.Minute
	MaxAuthCodeReuse      = 30 * time.Second
	DefaultDeviceRequests = 5 * time.Minute
	DefaultSigningKeys    = 6 * time.Hour
	// DefaultReuseInterval covers a client that lost the answer to a refresh, and tabs that refresh at the same time.
	DefaultReuseInterval = 5 * time.Second
)
