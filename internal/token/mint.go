package token

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"dex/internal/client"
	"dex/internal/connector"
	"dex/internal/id"
	"dex/internal/oauth"
	"dex/internal/policy"
	"dex/internal/signing"
)

// An Authorization is what a user, by signing in, lets an application know and do.
type Authorization struct {
	ClientID    string             `json:"clientID"`
	ConnectorID string             `json:"connectorID"`
	Identity    connector.Identity `json:"identity"`
	Scopes      []string           `json:"scopes"`
	Nonce       string             `json:"nonce,omitempty"`
	AuthTime    time.Time          `json:"authTime"` // when the user signed in
}

// Has reports whether a scope was granted.
func (a *Authorization) Has(scope string) bool { return slices.Contains(a.Scopes, scope) }

// A Signer gives the key that signs now.
type Signer interface {
	Key() *signing.Key
}

// A Minter makes ID and access tokens.
type Minter struct {
	Issuer   string
	Lifetime time.Duration
	Signer   Signer
	Policy   *policy.Policy
	Now      func() time.Time
}

// tokens are what one answer of the token endpoint carries.
type tokens struct {
	access, id string
	expiresIn  int64 // seconds
}

// payload is the claims of a token. The order of the members is the order on the wire.
type payload struct {
	Issuer            string           `json:"iss"`
	Subject           string           `json:"sub"`
	Audience          audience         `json:"aud"`
	Expires           int64            `json:"exp"`
	IssuedAt          int64            `json:"iat"`
	TokenID           string           `json:"jti"`
	AuthorizedParty   string           `json:"azp,omitempty"`
	Nonce             string           `json:"nonce,omitempty"`
	AuthTime          int64            `json:"auth_time,omitempty"`
	AccessTokenHash   string           `json:"at_hash,omitempty"`
	CodeHash          string           `json:"c_hash,omitempty"`
	Email             string           `json:"email,omitempty"`
	EmailVerified     *bool            `json:"email_verified,omitempty"`
	Groups            []string         `json:"groups,omitempty"`
	Name              string           `json:"name,omitempty"`
	PreferredUsername string           `json:"preferred_username,omitempty"`
	Federated         *federatedClaims `json:"federated_claims,omitempty"`

	// Only in access tokens (RFC 9068, section 2.2).
	ClientID string `json:"client_id,omitempty"`
	Scope    string `json:"scope,omitempty"`
}

type federatedClaims struct {
	ConnectorID string `json:"connector_id,omitempty"`
	UserID      string `json:"user_id,omitempty"`
}

// audience is a bare string when there is one member (RFC 7519, section 4.1.3), as every verifier in the field expects.
type audience []string

// MarshalJSON implements json.Marshaler.
func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// Mint makes the tokens of an authorization for a client; code is the authorization code that they are given for, if it
// is one. The error is an *oauth.Error.
func (m *Minter) Mint(ctx context.Context, c *client.Client, a *Authorization, code string) (tokens, error) {
	aud, err := m.Policy.Audience(ctx, c, a.Scopes)
	if err != nil {
		return tokens{}, err
	}
	key := m.Signer.Key()
	now := m.Now()

	access := m.claims(c, a, aud, now)
	access.ClientID, access.Scope = c.ID, strings.Join(a.Scopes, " ")
	// Means nothing in an access token, but verifiers that take it for an ID token have always seen one.
	access.AccessTokenHash = key.HalfHash(id.New())
	t := tokens{expiresIn: int64(m.Lifetime / time.Second)}
	if t.access, err = sign(key, access); err != nil {
		return tokens{}, err
	}

	identity := m.claims(c, a, aud, now)
	identity.AccessTokenHash = key.HalfHash(t.access)
	if code != "" {
		identity.CodeHash = key.HalfHash(code)
	}
	if t.id, err = sign(key, identity); err != nil {
		return tokens{}, err
	}
	return t, nil
}

func sign(key *signing.Key, p payload) (string, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return "", oauth.Errorf(oauth.ServerError, "").Because(fmt.Errorf("encode claims: %w", err))
	}
	token, err := key.Sign(b)
	if err != nil {
		return "", oauth.Errorf(oauth.ServerError, "").Because(err)
	}
	return token, nil
}

// claims returns what ID and access token have in common.
func (m *Minter) claims(c *client.Client, a *Authorization, aud []string, now time.Time) payload {
	who := a.Identity
	p := payload{
		Issuer:   m.Issuer,
		Subject:  Subject(who.UserID, a.ConnectorID),
		Audience: aud,
		Expires:  now.Add(m.Lifetime).Unix(),
		IssuedAt: now.Unix(),
		TokenID:  uuid.NewString(),
		Nonce:    a.Nonce,
	}
	if !a.AuthTime.IsZero() {
		p.AuthTime = a.AuthTime.Unix()
	}
	if len(aud) > 1 {
		p.AuthorizedParty = c.ID
	}
	for _, scope := range a.Scopes {
		switch scope {
		case oauth.ScopeEmail:
			p.Email, p.EmailVerified = who.Email, &who.EmailVerified
		case oauth.ScopeProfile:
			p.Name, p.PreferredUsername = who.Username, who.PreferredUsername
		case oauth.ScopeGroups:
			p.Groups = who.Groups
		case oauth.ScopeFederatedID:
			p.Federated = &federatedClaims{ConnectorID: a.ConnectorID, UserID: who.UserID}
		}
	}
	return p
}
