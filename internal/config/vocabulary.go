package config

import "slices"

// The names that settings choose from.
var (
	// StorageTypes are the values of storage.type.
	StorageTypes = []string{"memory", "sqlite3", "postgres", "mysql", "etcd", "kubernetes"}

	// GrantTypes are the values of oauth2.grantTypes.
	GrantTypes = append(slices.Clone(DefaultGrantTypes), clientCredentials)

	// DefaultGrantTypes are the grants if oauth2.grantTypes is absent or empty, and the ones that a connector can be
	// restricted to: client credentials involve no login.
	DefaultGrantTypes = []string{
		"authorization_code", "implicit", "password", "refresh_token",
		"urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange",
	}
)

const (
	clientCredentials = "client_credentials"

	signerLocal = "local"
	signerVault = "vault"
)

var (
	responseTypes = []string{
		"code", "token", "id_token", "code token", "code id_token", "id_token token", "code id_token token",
	}
	pkceMethods        = []string{"S256", "plain"}
	tlsVersions        = []string{"1.2", "1.3"}
	logFormats         = []string{"text", "json"}
	signingAlgorithms  = []string{"RS256", "ES256"}
	ssoSharing         = []string{"none", "all"}
	authenticatorTypes = []string{"TOTP", "WebAuthn"}
)
