package config

import (
	"reflect"
	"slices"

	"dex/internal/oauth"
)

// The names that settings choose from.
var (
	// StorageTypes are the values of storage.type.
	StorageTypes = []string{"memory", "sqlite3", "postgres", "mysql", "etcd", storageKubernetes}

	// GrantTypes are the values of oauth2.grantTypes.
	GrantTypes = slices.Concat(oauth.UserGrants(), oauth.ClientGrants())

	// AccessTokens are the values of oauth2.tokens.accessToken.
	AccessTokens = []string{AccessTokenJWT, AccessTokenOpaque}

	// DefaultGrantTypes are the grants if oauth2.grantTypes is absent or empty, and the ones that a connector can be
	// restricted to.
	DefaultGrantTypes = oauth.UserGrants()
)

const (
	storageKubernetes = "kubernetes"

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
	ssoSharing         = []string{SharedWithNone, SharedWithAll}
	authenticatorTypes = []string{TypeTOTP, TypeWebAuthn, TypeAnyOf}
	signerTypes        = []string{signerLocal, signerVault}
	statusCodes        = []string{Upstream, StandardCodes}
	passwordHashes     = []string{Argon2id, Bcrypt}
	auditPersonalData  = []string{AuditFull, AuditHashed, AuditNone}
	auditOutputs       = []string{AuditStdout, AuditFile, AuditSyslog, AuditOTLP}
	mailSecurity       = []string{StartTLS, TLSMail, PlainMail}

	// switchPositions are the values of the keys of oauth2.compatibility, not all of which have three.
	switchPositions = map[string][]string{
		"clientChecks":     {Upstream, Default, Strict},
		"introspection":    {Upstream, Default},
		"browserBinding":   {Upstream, Default},
		"issuerParameter":  {Upstream, Default},
		"errorRedirects":   {Upstream, Default},
		"reauthentication": {Upstream, Default},
		"silentLogin":      {Upstream, Default},
		"unknownScopes":    {Upstream, Default},
		"tokenProfile":     {Upstream, Default, Strict},
		"exchangeAudience": {Upstream, Default},
		"deviceConfirm":    {Upstream, Default},
		"keyPublication":   {Upstream, Default},
		"outOfBand":        {Default, Strict},
		"endpointGrants":   {Default, Strict},
	}
)

// Choices returns the values that settings choose from, by key: [] stands for the items of a list, and signer(local) for a signer of
// that type.
func Choices() map[string][]string {
	choices := map[string][]string{
		"storage.type":                                StorageTypes,
		"web.tlsMinVersion":                           tlsVersions,
		"web.tlsMaxVersion":                           tlsVersions,
		"grpc.tlsMinVersion":                          tlsVersions,
		"grpc.tlsMaxVersion":                          tlsVersions,
		"grpc.statusCodes":                            statusCodes,
		"api.tlsMinVersion":                           tlsVersions,
		"api.tlsMaxVersion":                           tlsVersions,
		"api.access[].roles[]":                        AccessRoles,
		"oauth2.grantTypes[]":                         GrantTypes,
		"oauth2.responseTypes[]":                      responseTypes,
		"oauth2.pkce.codeChallengeMethodsSupported[]": pkceMethods,
		"oauth2.tokens.accessToken":                   AccessTokens,
		"logger.format":                               logFormats,
		"signer.type":                                 signerTypes,
		"signer(local).config.algorithm":              signingAlgorithms,
		"sessions.ssoSharedWithDefault":               ssoSharing,
		"mfa.authenticators[].type":                   authenticatorTypes,
		"localUsers.passwordHash":                     passwordHashes,
		"audit.personalData":                          auditPersonalData,
		"audit.outputs[].type":                        auditOutputs,
		"audit.outputs[].facility":                    SyslogFacilities,
		"mail.security":                               mailSecurity,
		"staticClients[].grantTypes[]":                GrantTypes,
		"connectors[].grantTypes[]":                   DefaultGrantTypes,
	}
	for key, positions := range switchPositions {
		choices["oauth2.compatibility."+key] = positions
	}
	return choices
}

// AnyCase are the keys among Choices whose values may be in capital letters.
var AnyCase = []string{"logger.format"}

// SignerTypes returns the settings below signer.config, by type.
func SignerTypes() map[string]reflect.Type {
	return map[string]reflect.Type{signerLocal: reflect.TypeFor[LocalSigner](), signerVault: reflect.TypeFor[VaultSigner]()}
}
