package token

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dex/internal/rule"
)

// notBeforeLeeway is how far a clock of another replica may be ahead.
const notBeforeLeeway = 5 * time.Minute

// ErrRefused says that a token isn't valid, or isn't one. Any other error is a failure of ours.
var ErrRefused = errors.New("token is refused")

// Keys verifies signatures with our own keys.
type Keys interface {
	Verify(token string) (payload []byte, err error)
}

// A Verifier checks ID and access tokens that this server made. It doesn't check audiences: a token is shown by whoever it was
// made for.
type Verifier struct {
	Issuer      string
	Keys        Keys
	Revocations *Revocations
	Upstream    Upstream
	Sessions    Sessions // nil where no token depends on one
	Users       Users    // nil where nobody is blocked
	Opener      Opener   // of opaque access tokens; nil where there are none
	Groups      *Groups  // that tokens refer to
}

// Sessions says which tokens live only as long as a browser's session.
type Sessions interface {
	// Holds reports whether a token of a client that names a session is good as far as that goes.
	Holds(ctx context.Context, clientID, sessionID string) (bool, error)
}

// Users says which users are blocked.
type Users interface {
	Blocked(ctx context.Context, userID, connectorID string) (bool, error)
}

// OfAll returns a Verifier that also accepts the tokens of users who are blocked, for whoever ends tokens: a block may be lifted.
func (v *Verifier) OfAll() *Verifier {
	all := *v
	all.Users = nil
	return &all
}

// Upstream says which tokens upstream issued before its data was taken over.
type Upstream struct {
	KeyIDs []string // of the keys that it signed with
	Until  time.Time
}

// Claims is what a token of ours says.
type Claims struct {
	Issuer          string          `json:"iss"`
	Subject         string          `json:"sub"`
	Audience        audience        `json:"aud"`
	Expires         int64           `json:"exp"`
	IssuedAt        int64           `json:"iat"`
	NotBefore       int64           `json:"nbf"`
	TokenID         string          `json:"jti"`
	AuthorizedParty string          `json:"azp"`
	ClientID        string          `json:"client_id"`
	Scope           *string         `json:"scope"` // nil in ID tokens, in upstream's, and where none was granted
	SessionID       string          `json:"sid"`
	ACR             string          `json:"acr"`
	Methods         []string        `json:"amr"`
	AuthTime        int64           `json:"auth_time"`
	AccessTokenHash string          `json:"at_hash"`
	CodeHash        string          `json:"c_hash"`
	Events          json.RawMessage `json:"events"`
	UserClaims
	// ClaimNames are the claims that are elsewhere, by where they are.
	ClaimNames map[string]string `json:"_claim_names"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	var several []string
	err := json.Unmarshal(b, &several)
	*a = several
	return err
}

// Client returns the client that a token was made for.
func (c *Claims) Client() string {
	switch {
	case c.ClientID != "":
		return c.ClientID
	case c.AuthorizedParty == "" && len(c.Audience) == 1:
		return c.Audience[0]
	}
	return c.AuthorizedParty
}

// IsAccessToken reports whether the token says that it is an access token, as upstream's don't.
func (c *Claims) IsAccessToken() bool { return c.ClientID != "" }

// Has reports whether a scope was granted, or the token doesn't say which were. Our access tokens do, unless none was.
func (c *Claims) Has(scope string) bool {
	if c.Scope == nil {
		return !c.IsAccessToken()
	}
	return slices.Contains(strings.Fields(*c.Scope), scope)
}

// Verified is a token of ours.
type Verified struct {
	Payload []byte // the claims as they were signed
	Claims
	// MayBeUpstreams says that the token may be an access token that upstream issued: those look like its ID tokens.
	MayBeUpstreams bool
}

// More returns the claims that are neither the protocol's nor of its standard scopes: those that policies make.
func (v *Verified) More() map[string]json.RawMessage {
	var all map[string]json.RawMessage
	if json.Unmarshal(v.Payload, &all) != nil {
		return nil // can't be: the payload was decoded before
	}
	for name := range all {
		if rule.IsReserved(name) || isUserClaim(name) {
			delete(all, name)
		}
	}
	return all
}

// IsAccessToken reports whether the token is an access token, or may be one that upstream issued.
func (v *Verified) IsAccessToken() bool { return v.Claims.IsAccessToken() || v.MayBeUpstreams }

// issued reports whether upstream may have issued an access token: each had an at_hash, and none a c_hash.
func (u *Upstream) issued(token string, c *Claims) bool {
	if c.IsAccessToken() || c.AccessTokenHash == "" || c.CodeHash != "" || !time.Unix(c.IssuedAt, 0).Before(u.Until) {
		return false
	}
	return slices.Contains(u.KeyIDs, keyID(token))
}

// keyID returns the id of the key that a token, which has been verified, was signed with.
func keyID(token string) string {
	encoded, _, _ := strings.Cut(token, ".")
	var header struct {
		KeyID string `json:"kid"`
	}
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || json.Unmarshal(text, &header) != nil {
		return ""
	}
	return header.KeyID
}

// Verify checks a token that stands for its user, so that it must be alive. The error is ErrRefused, or that the storage
// could not be asked.
func (v *Verifier) Verify(ctx context.Context, token string) (Verified, error) {
	payload, claims, err := v.read(ctx, token)
	if err != nil {
		return Verified{}, err
	}
	now := time.Now()
	switch {
	case now.Unix() >= claims.Expires:
		return Verified{}, fmt.Errorf("%w: it has expired", ErrRefused)
	case claims.NotBefore != 0 && now.Add(notBeforeLeeway).Unix() < claims.NotBefore:
		return Verified{}, fmt.Errorf("%w: it is not valid yet", ErrRefused)
	}
	revoked, err := v.Revocations.isRevoked(ctx, &claims)
	switch {
	case err != nil:
		return Verified{}, err
	case revoked:
		return Verified{}, fmt.Errorf("%w: it was revoked", ErrRefused)
	}
	if err := v.checkSession(ctx, &claims); err != nil {
		return Verified{}, err
	}
	if err := v.checkUser(ctx, &claims); err != nil {
		return Verified{}, err
	}
	return Verified{Payload: payload, Claims: claims, MayBeUpstreams: v.Upstream.issued(token, &claims)}, nil
}

// checkSession refuses a token whose session has ended, if it lives only as long as that.
func (v *Verifier) checkSession(ctx context.Context, claims *Claims) error {
	if v.Sessions == nil || claims.SessionID == "" {
		return nil
	}
	holds, err := v.Sessions.Holds(ctx, claims.Client(), claims.SessionID)
	if err == nil && !holds {
		err = fmt.Errorf("%w: its session has ended", ErrRefused)
	}
	return err
}

// checkUser refuses a token of a user who is blocked. A token that a client has got for itself has no connector.
func (v *Verifier) checkUser(ctx context.Context, claims *Claims) error {
	userID, connectorID, err := ReadSubject(claims.Subject)
	if v.Users == nil || err != nil || connectorID == "" {
		return nil //nolint:nilerr // the sub of a client's own token is its id
	}
	blocked, err := v.Users.Blocked(ctx, userID, connectorID)
	if err == nil && blocked {
		err = fmt.Errorf("%w: its user is blocked", ErrRefused)
	}
	return err
}

// read returns the claims of a token in either form.
func (v *Verifier) read(ctx context.Context, token string) ([]byte, Claims, error) {
	payload, opaque, err := v.open(ctx, token)
	switch {
	case err != nil:
		return nil, Claims{}, err
	case !opaque:
		return v.parse(token)
	}
	claims, err := v.decode(payload)
	if err == nil && !claims.IsAccessToken() {
		err = fmt.Errorf("%w: it is no access token", ErrRefused)
	}
	return payload, claims, err
}

// VerifyHint checks an ID token that only tells who its user is, and returns their sub claim; the token may have expired
// (OpenID Connect Core, 3.1.2.1). The error is ErrRefused.
func (v *Verifier) VerifyHint(token string) (subject string, err error) {
	_, claims, err := v.parse(token)
	return claims.Subject, err
}

// ReadHint is VerifyHint, and returns all that the token says.
func (v *Verifier) ReadHint(token string) (Claims, error) {
	_, claims, err := v.parse(token)
	return claims, err
}

func (v *Verifier) parse(token string) ([]byte, Claims, error) {
	payload, err := v.Keys.Verify(token)
	if err != nil {
		return nil, Claims{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	claims, err := v.decode(payload)
	return payload, claims, err
}

// decode reads the claims of a token of ours.
func (v *Verifier) decode(payload []byte) (Claims, error) {
	var claims Claims
	if err := json.Unmarshal(payload, &claims); err != nil {
		return Claims{}, fmt.Errorf("%w: decode claims: %w", ErrRefused, err)
	}
	// A logout token has events, and is no proof of anything else (OpenID Connect Back-Channel Logout, 2.4).
	if claims.Issuer != v.Issuer || claims.Subject == "" || claims.Events != nil {
		return Claims{}, fmt.Errorf("%w: it is of another issuer or for another purpose", ErrRefused)
	}
	return claims, nil
}
