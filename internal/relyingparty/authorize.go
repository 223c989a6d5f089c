package relyingparty

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"

	"dex/internal/connector"
	"dex/internal/oauth"
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

// denials are errors by which providers say that the user, and not they, did not want to (RFC 6749, section 4.1.2.1, OpenID
// Connect Core, section 3.1.2.6, and OpenID Connect Core Error Code unmet_authentication_requirements).
var denials = map[string]string{
	oauth.AccessDenied:                    "The login was cancelled, or the provider does not let you in.",
	oauth.LoginRequired:                   "The provider asks you to sign in there first.",
	oauth.InteractionRequired:             "The provider asks you to sign in there first.",
	oauth.AccountSelectionRequired:        "The provider asks you to choose an account there first.",
	oauth.ConsentRequired:                 "The provider asks for your consent.",
	oauth.UnmetAuthenticationRequirements: "The provider can't sign you in as securely as the application asks for.",
}

// Answer returns what a provider says by the browser.
func Answer(r *http.Request) url.Values {
	if r.Method == http.MethodPost {
		return r.PostForm
	}
	return r.URL.Query()
}

// AnswerError returns the error that an answer has: a *connector.Denied where the user did not want to, a *connector.Again where
// the provider asks to be asked once more, such as Keycloak after its login page was left open for too long; nil for none.
func AnswerError(answer url.Values) error {
	code := answer.Get("error")
	if code == "" {
		return nil
	}
	cause := fmt.Errorf("the provider answers %q %q", code, answer.Get("error_description"))
	if reason, ok := denials[code]; ok {
		return &connector.Denied{Reason: reason, Cause: cause, ByUser: true, Code: code}
	}
	switch code {
	case oauth.TemporarilyUnavailable:
		return &connector.Again{Cause: &connector.Temporary{Cause: cause}}
	case oauth.ServerError: // where it would be a status 500, had it no redirect for it (RFC 6749, section 4.1.2.1)
		return &connector.Temporary{Cause: cause}
	}
	return cause
}

// CallbackURL returns where the provider sends the browser back, which the setting redirectURI names: the address of all
// connectors, or the connector's own. Nobody can come back to any other, which the error says.
func CallbackURL(redirectURI string, env connector.Env) (string, error) {
	if address, ours := env.ReturnURL(redirectURI); ours {
		return address, nil
	}
	return "", fmt.Errorf("redirectURI is %q, and must be %q or %q", redirectURI, env.OwnCallbackURL, env.CallbackURL)
}

// CheckReturn refuses an answer that came to another address than the connector's: it is another provider's (RFC 9700, section
// 4.4.2.2).
func CheckReturn(callbackURL string, r connector.Return) error {
	if r.CallbackURL == callbackURL {
		return nil
	}
	return &connector.BadToken{
		Reason: "the answer is another provider's",
		Cause:  fmt.Errorf("the browser came back to %s, not to %s", r.CallbackURL, callbackURL),
	}
}
