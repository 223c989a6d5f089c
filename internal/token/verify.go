package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// notBeforeLeeway is how far a clock of another replica may be ahead.
const notBeforeLeeway = 5 * time.Minute

// Keys verifies signatures with our own keys.
type Keys interface {
	Verify(token string) (payload []byte, err error)
}

// A Verifier checks ID and access tokens that this server made. Audiences are not checked: a token is shown by whoever
// it was made for.
type Verifier struct {
	Issuer string
	Keys   Keys
	Now    func() time.Time
}

// Verified is a token of ours.
type Verified struct {
	Payload []byte // the claims as they were signed
	// Scopes is what was granted; nil for a token that does not say.
	Scopes []string
}

var errNotOurs = errors.New("token is of another issuer or for another purpose")

// Verify checks a token that stands for its user, so that it must be alive.
func (v *Verifier) Verify(token string) (Verified, error) {
	payload, claims, err := v.parse(token)
	if err != nil {
		return Verified{}, err
	}
	now := v.Now()
	switch {
	case now.Unix() >= claims.Expires:
		return Verified{}, errors.New("token has expired")
	case claims.NotBefore != 0 && now.Add(notBeforeLeeway).Unix() < claims.NotBefore:
		return Verified{}, errors.New("token is not valid yet")
	}
	verified := Verified{Payload: payload}
	if claims.Scope != nil {
		verified.Scopes = strings.Fields(*claims.Scope)
	}
	return verified, nil
}

// VerifyHint checks a token that only tells who its user is, and returns their sub claim; the token may have expired
// (OpenID Connect Core, 3.1.2.1).
func (v *Verifier) VerifyHint(token string) (subject string, err error) {
	_, claims, err := v.parse(token)
	return claims.Subject, err
}

// Has reports whether a scope was granted, or the token does not say what was.
func (v *Verified) Has(scope string) bool { return v.Scopes == nil || slices.Contains(v.Scopes, scope) }

type ownClaims struct {
	Issuer    string          `json:"iss"`
	Subject   string          `json:"sub"`
	Expires   int64           `json:"exp"`
	NotBefore int64           `json:"nbf"`
	Scope     *string         `json:"scope"`
	Events    json.RawMessage `json:"events"`
}

func (v *Verifier) parse(token string) ([]byte, ownClaims, error) {
	payload, err := v.Keys.Verify(token)
	if err != nil {
		return nil, ownClaims{}, err
	}
	var claims ownClaims
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, ownClaims{}, fmt.Errorf("decode claims: %w", err)
	}
	// A logout token has events, and is no proof of anything else (OpenID Connect Back-Channel Logout, 2.4).
	if claims.Issuer != v.Issuer || claims.Subject == "" || claims.Events != nil {
		return nil, ownClaims{}, errNotOurs
	}
	return payload, claims, nil
}
