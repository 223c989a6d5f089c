package config

import (
	"slices"

	"dex/internal/oauth"
)

// The names that settings choose from.
var (
	// StorageTypes are the values of storage.type.
	StorageTypes = []string{"memory", "sqlite3", "postgres", "mysql", "etcd", "kubernetes"}

	// GrantTypes are the values of oauth2.grantTypes.
	GrantTypes = slices.Concat(oauth.UserGrants(), oauth.ClientGrants())

	// DefaultGrantTypes are the grants if oauth2.grantTypes is absent or empty, and the ones that a connector can be
	// restricted to.
	DefaultGrantTypes = oauth.UserGrants()
)

const (
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
