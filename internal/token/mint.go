package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dex/internal/connector"
	"dex/internal/event"
	"dex/internal/id"
	"dex/internal/oauth"
	"dex/internal/signing"
)

// An Authorization is what a user who signs in lets an application know and do.
type Authorization struct {
	ClientID    string             `json:"clientID"`
	ConnectorID string             `json:"connectorID"`
	Identity    connector.Identity `json:"identity"`
	Scopes      []string           `json:"scopes"`
	Nonce       string             `json:"nonce,omitempty"`
	AuthTime    time.Time          `json:"authTime"`          // when the user signed in; zero if nobody did, or it isn't known
	Methods     []string           `json:"methods,omitempty"` // how the user signed in (RFC 8176)
	// SessionID names the browser's session in which the user agreed; empty if there was none.
	SessionID string `json:"sessionID,omitempty"`
	// GrantID names the login, so that all of its tokens can be revoked together. It is the id of the login's refresh tokens, if
	// it has any.
	GrantID string `json:"-"`
}

// NewGrantID returns the name of a new login.
func NewGrantID() string { return id.New() }

// Login returns the login with an id, as events name it.
func (a *Authorization) Login(grantID string) event.Login {
	return event.Login{ID: grantID, ClientID: a.ClientID, ConnectorID: a.ConnectorID, UserID: a.Identity.UserID}
}

// Has reports whether a scope was granted.
func (a *Authorization) Has(scope string) bool { return slices.Contains(a.Scopes, scope) }

// A Signer gives the key that signs now.
type Signer interface {
	Key() *signing.Key
}

// A Minter makes ID, access and logout tokens. It asks nobody whether they may be made.
type Minter struct {
	Issuer string
	Signer Signer
}

// Terms are what the policy has decided about tokens. Only a decision has them.
type Terms struct {
	Audience []string // the ids of the clients that are to accept them
	Lifetime time.Duration
	// Profile makes access tokens follow RFC 9068: with a type of their own, and nothing that belongs to ID tokens.
	Profile bool
}

// Wanted says which tokens are to be made.
type Wanted struct {
	Access, ID bool
	// Code is the authorization code that the tokens are given for or together with; empty if there is none.
	Code string
}

// Tokens are what one answer carries. What was not wanted is empty.
type Tokens struct {
	Access, ID string
	ExpiresIn  int64 // seconds
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
	SessionID         string           `json:"sid,omitempty"`
	Methods           []string         `json:"amr,omitempty"`
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

// Mint makes the tokens of an authorization on the terms that the policy has decided. The error is an *oauth.Error.
func (m *Minter) Mint(ctx context.Context, a *Authorization, on Terms, w Wanted) (t Tokens, err error) {
	if len(on.Audience) == 0 || on.Lifetime <= 0 {
		return Tokens{}, oauth.Failed(errors.New("tokens were to be made that the policy has not decided about"))
	}
	key := m.Signer.Key()
	now := time.Now()
	t.ExpiresIn = int64(on.Lifetime / time.Second)
	if w.Access {
		access := m.claims(a, on, now)
		access.ClientID, access.Scope = a.ClientID, strings.Join(a.Scopes, " ")
		// Means nothing in an access token, but verifiers that take it for an ID token have always seen one.
		access.AccessTokenHash = key.HalfHash(id.New())
		typ := ""
		if on.Profile {
			typ, access.Nonce, access.AccessTokenHash = "at+jwt", "", ""
		}
		if t.Access, err = sign(ctx, key, typ, access); err != nil {
			return Tokens{}, err
		}
	}
	if w.ID {
		identity := m.claims(a, on, now)
		if t.Access != "" {
			identity.AccessTokenHash = key.HalfHash(t.Access)
		}
		if w.Code != "" {
			identity.CodeHash = key.HalfHash(w.Code)
		}
		if t.ID, err = sign(ctx, key, "", identity); err != nil {
			return Tokens{}, err
		}
	}
	return t, nil
}

func sign(ctx context.Context, key *signing.Key, typ string, claims any) (string, error) {
	b, err := json.Marshal(claims)
	if err != nil {
		return "", oauth.Failed(fmt.Errorf("encode claims: %w", err))
	}
	token, err := key.Sign(ctx, typ, b)
	if err != nil {
		return "", oauth.Failed(err)
	}
	return token, nil
}

// claims returns what ID and access token have in common.
func (m *Minter) claims(a *Authorization, on Terms, now time.Time) payload {
	who := a.Identity
	p := payload{
		Issuer:    m.Issuer,
		Subject:   Subject(who.UserID, a.ConnectorID),
		Audience:  on.Audience,
		Expires:   now.Add(on.Lifetime).Unix(),
		IssuedAt:  now.Unix(),
		TokenID:   tokenID(a.GrantID),
		Nonce:     a.Nonce,
		SessionID: a.SessionID,
		Methods:   a.Methods,
	}
	if !a.AuthTime.IsZero() {
		p.AuthTime = a.AuthTime.Unix()
	}
	if len(on.Audience) > 1 {
		p.AuthorizedParty = a.ClientID
	}
	for _, scope := range a.Scopes {
		switch scope {
		case oauth.ScopeEmail:
			p.Email, p.EmailVerified = who.Email, &who.EmailVerified
		case oauth.ScopeProfile:
			p.Name, p.PreferredUsername = who.Username, who.PreferredUsername
		case oauth.ScopeGroups:
			p.Groups = connector.Unique(who.Groups) // sources tell some twice
		case oauth.ScopeFederatedID:
			p.Federated = &federatedClaims{ConnectorID: a.ConnectorID, UserID: who.UserID}
		}
	}
	return p
}
