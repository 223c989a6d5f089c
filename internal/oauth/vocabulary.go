// Package oauth is the vocabulary of OAuth 2.0 and OpenID Connect that all rooms share: the registered names of grants,
// scopes and parameters, and the protocol's error.
package oauth

import "strings"

// Grant types (RFC 6749, RFC 8628, RFC 8693).
const (
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
)

// Scopes that have a meaning here.
const (
	ScopeOpenID        = "openid"
	ScopeOfflineAccess = "offline_access"
	ScopeEmail         = "email"
	ScopeProfile       = "profile"
	ScopeGroups        = "groups"
	ScopeFederatedID   = "federated:id"
	// ScopeAudiencePrefix, followed by a client id, asks for a token that this client accepts too.
	ScopeAudiencePrefix = "audience:server:client_id:"
)

// PKCE code challenge methods (RFC 7636, section 4.2).
const (
	ChallengeS256  = "S256"
	ChallengePlain = "plain"
)

// RedirectOutOfBand asks for the code to be shown to the user instead of a redirect.
const RedirectOutOfBand = "urn:ietf:wg:oauth:2.0:oob"

// AudienceOf returns the client id that an audience scope asks for.
func AudienceOf(scope string) (clientID string, ok bool) {
	return strings.CutPrefix(scope, ScopeAudiencePrefix)
}

// KnownScope reports whether a scope has a meaning here.
func KnownScope(scope string) bool {
	switch scope {
	case ScopeOpenID, ScopeOfflineAccess, ScopeEmail, ScopeProfile, ScopeGroups, ScopeFederatedID:
		return true
	}
	_, audience := AudienceOf(scope)
	return audience
}
