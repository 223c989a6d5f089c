package relyingparty

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"

	"dex/internal/connector"
)

// Values of pkceChallenge: how a code is bound to who asked for it (RFC 7636).
const (
	ChallengeS256  = "S256"
	ChallengePlain = "plain"
	ChallengeNone  = "none"
)

// Challenge adds a challenge to the parameters of an authorization request, and returns its verifier; "" for none.
func Challenge(params url.Values, method string) (verifier string) {
	if method == ChallengeNone {
		return ""
	}
	random := make([]byte, 32) // 43 characters, the least that RFC 7636 (4.1) allows
	_, _ = rand.Read(random)   // never fails
	verifier = base64.RawURLEncoding.EncodeToString(random)
	challenge := verifier
	if method == ChallengeS256 {
		sum := sha256.Sum256([]byte(verifier))
		challenge = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	params.Set("code_challenge", challenge)
	params.Set("code_challenge_method", method)
	return verifier
}

// denials are errors by which providers say that the user, and not they, did not want to (RFC 6749, section 4.1.2.1, and
// OpenID Connect Core, section 3.1.2.6).
var denials = map[string]string{
	"access_denied":              "The login was cancelled, or the provider does not let you in.",
	"login_required":             "The provider asks you to sign in there first.",
	"interaction_required":       "The provider asks you to sign in there first.",
	"account_selection_required": "The provider asks you to choose an account there first.",
	"consent_required":           "The provider asks for your consent.",
}

// Answer returns what a provider says by the browser.
func Answer(r *http.Request) url.Values {
	if r.Method == http.MethodPost {
		return r.PostForm
	}
	return r.URL.Query()
}

// AnswerError returns the error that an answer has: a *connector.Denied where the user did not want to; nil for none.
func AnswerError(answer url.Values) error {
	code := answer.Get("error")
	if code == "" {
		return nil
	}
	cause := fmt.Errorf("the provider answers %q %q", code, answer.Get("error_description"))
	if reason, ok := denials[code]; ok {
		return &connector.Denied{Reason: reason, Cause: cause, ByUser: true}
	}
	return cause
}
