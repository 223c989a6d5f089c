package relyingparty

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"

	"dex/internal/oauth"
)

// Values of pkceChallenge: how a code is bound to the client that asked for it (RFC 7636).
const (
	ChallengeS256  = oauth.ChallengeS256
	ChallengePlain = oauth.ChallengePlain
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
