// Package oauth is the vocabulary of OAuth 2.0 and OpenID Connect that all rooms share: the registered names of grants,
// scopes and parameters, and the protocol's errors.
package oauth

import "strings"

// The words that response types are made of (OAuth 2.0 Multiple Response Type Encoding Practices).
const (
	ResponseCode    = "code"
	ResponseToken   = "token"
	ResponseIDToken = "id_token"
)

// Response modes: how an answer of the authorization endpoint reaches the application.
const (
	ModeQuery    = "query"
	ModeFragment = "fragment"
	ModeFormPost = "form_post" // OAuth 2.0 Form Post Response Mode
)

// Token types (RFC 8693, section 3).
const (
	TokenTypeAccess = "urn:ietf:params:oauth:token-type:access_token" //nolint:gosec // G101: a name
	TokenTypeID     = "urn:ietf:params:oauth:token-type:id_token"     //nolint:gosec // G101: a name
	TokenTypeJWT    = "urn:ietf:params:oauth:token-type:jwt"          //nolint:gosec // G101: a name
)

// Authentication methods for the claim amr (RFC 8176).
const (
	MethodPassword = "pwd"
	MethodOneTime  = "otp"
	MethodHardware = "hwk" // a key that can't leave its device
	MethodSoftware = "swk" // a key that is copied to the user's other devices
	MethodPresence = "user"
	MethodMultiple = "mfa"
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

// DeviceCallback ends the path of the redirect URI that upstream's device flow uses internally; some clients have
// registered it, with or without the issuer's path before it.
const DeviceCallback = "/device/callback"

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
