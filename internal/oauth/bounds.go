package oauth

import (
	"slices"
	"strings"
)

// Bounds on what strangers send; docs/limits.md lists them for operators.
const (
	// MaxForm bounds the body of forms other than those below and a provider's answer, in bytes.
	MaxForm = 64 << 10
	// MaxTokenForm bounds forms that carry one of our access tokens, which lists all groups of its user, in bytes.
	MaxTokenForm = 320 << 10
	// MaxScopes bounds the number of scopes in a request, and of each list of targets.
	MaxScopes = 50
)

// parameterBounds are how long a parameter's value may be, in bytes. Parameters that are not listed are ignored by all
// endpoints, or bounded by the body's size.
var parameterBounds = map[string]int{
	// Authorization requests. The total of what is kept until the user has signed in is bounded too, by the cookies.
	"client_id": 512, "redirect_uri": 4 << 10, "response_type": 256, "response_mode": 256, "scope": 8 << 10,
	"state": 12 << 10, "nonce": 4 << 10, "prompt": 256, "approval_prompt": 256, "max_age": 256,
	"login_hint": 2 << 10, "acr_values": 2 << 10, "ui_locales": 2 << 10, "connector_id": 512,
	"id_token_hint": 16 << 10, "post_logout_redirect_uri": 4 << 10, "logout_hint": 2 << 10, "code_challenge": 1 << 10, "code_challenge_method": 256, "request": 32 << 10,

	// Requests of applications.
	"grant_type": 256, "client_secret": 4 << 10, "code": 512, "code_verifier": 1 << 10, "refresh_token": 4 << 10,
	"username": 1 << 10, "password": 4 << 10, "device_code": 512, "audience": 4 << 10, "resource": 4 << 10,
	"subject_token": 48 << 10, "subject_token_type": 256, "requested_token_type": 256,
	"token": 256 << 10, "token_type_hint": 256, "access_token": 256 << 10,
}

// ParameterBounds returns how long each parameter's value may be, in bytes.
func ParameterBounds() map[string]int {
	bounds := make(map[string]int, len(parameterBounds))
	for name, longest := range parameterBounds {
		bounds[name] = longest
	}
	return bounds
}

// TooLong reports whether a parameter's value is longer than it may be.
func TooLong(name, value string) bool {
	longest, bounded := parameterBounds[name]
	return bounded && len(value) > longest
}

// CheckBounds refuses parameters that are too long, and too many or malformed scopes, before anything is done with them. The
// error is an *Error: invalid_request or invalid_scope.
func CheckBounds(form map[string][]string) error {
	for name, values := range form {
		if slices.ContainsFunc(values, func(value string) bool { return TooLong(name, value) }) {
			return Errorf(InvalidRequest, "The parameter %s is longer than %d bytes.", name, parameterBounds[name])
		}
		if len(values) > MaxScopes && parameterBounds[name] > 0 {
			return Errorf(InvalidRequest, "The parameter %s is given more than %d times.", name, MaxScopes)
		}
	}
	for _, value := range form["scope"] {
		if err := checkScopes(value); err != nil {
			return err
		}
	}
	return nil
}

// checkScopes checks the number of scopes, and their grammar (RFC 6749, 3.3). A client id in a scope is exempt: it may
// have been chosen without that grammar in mind.
func checkScopes(value string) error {
	scopes := strings.Fields(value)
	if len(scopes) > MaxScopes {
		return Errorf(InvalidScope, "There are more than %d scopes.", MaxScopes)
	}
	for _, scope := range scopes {
		if _, audience := AudienceOf(scope); !audience && !isScopeToken(scope) {
			return Errorf(InvalidScope, "A scope has a character that is not allowed in scopes.")
		}
	}
	return nil
}

// isScopeToken reports whether all characters are those of a scope-token (RFC 6749, section 3.3).
func isScopeToken(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}
