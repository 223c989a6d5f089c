package token

import (
	"cmp"
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
	"dex/internal/telemetry"
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
	// Factors are the authenticators by which the user has proved who they are, besides how they have signed in.
	Factors []string `json:"factors,omitempty"`
	ACR     string   `json:"acr,omitempty"` // how strongly the user has signed in
	// SessionID names the browser's session in which the user agreed; empty if there was none.
	SessionID string `json:"sessionID,omitempty"`
	// Epoch is that of the user at the login, see identity.Identity.
	Epoch int64 `json:"epoch,omitempty"`
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
	// KeyFor returns the key of an algorithm; empty stands for that of Key.
	KeyFor(ctx context.Context, algorithm string) (*signing.Key, error)
}

// A Minter makes ID, access and logout tokens. It asks nobody whether they may be made.
type Minter struct {
	Issuer string
	Signer Signer
	Sealer Sealer // for opaque access tokens
	Groups *Groups
	Events event.Sink
	// UserInfo is the address at which applications get the groups that a token refers to.
	UserInfo string
	WarnSize int // tokens of more bytes are told of; 0 for none
}

// Terms are what the policy has decided about tokens. Only a decision has them.
type Terms struct {
	Audience       []string // the ids of the clients that are to accept them
	IDLifetime     time.Duration
	AccessLifetime time.Duration
	// Profile makes access tokens follow RFC 9068: with a type of their own, and nothing that belongs to ID tokens.
	Profile   bool
	Opaque    bool   // access tokens are sealed instead of signed
	Algorithm string // of signatures; empty for the server's
	MaxGroups int    // with more, tokens refer to UserInfo for them; 0 for any number
	MaxSize   int    // of one token, in bytes; 0 for any size
	// User is who tokens say that the user is; nil where that is as the source has told.
	User *connector.Identity
	// Claims are more claims, or others in place of those that tokens would have. None is the protocol's.
	Claims map[string]any
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
	ExpiresIn  int64  // of the access token, in seconds
	TokenID    string // the jti of the access token, or of the ID token if there is no other
}

// payload is the claims of a token. The order of the members is the order on the wire.
type payload struct {
	Issuer          string   `json:"iss"`
	Subject         string   `json:"sub"`
	Audience        audience `json:"aud"`
	Expires         int64    `json:"exp"`
	IssuedAt        int64    `json:"iat"`
	TokenID         string   `json:"jti,omitempty"` // empty in previews only
	AuthorizedParty string   `json:"azp,omitempty"`
	Nonce           string   `json:"nonce,omitempty"`
	AuthTime        int64    `json:"auth_time,omitempty"`
	SessionID       string   `json:"sid,omitempty"`
	ACR             string   `json:"acr,omitempty"`
	Methods         []string `json:"amr,omitempty"`
	AccessTokenHash string   `json:"at_hash,omitempty"`
	CodeHash        string   `json:"c_hash,omitempty"`
	UserClaims
	references

	// Only in access tokens (RFC 9068, section 2.2).
	ClientID string `json:"client_id,omitempty"`
	Scope    string `json:"scope,omitempty"`

	more map[string]any // claims that the policy adds
}

// MarshalJSON implements json.Marshaler: the claims that the policy adds come last, by name.
func (p payload) MarshalJSON() ([]byte, error) {
	type plain payload
	b, err := json.Marshal(plain(p))
	if err != nil || len(p.more) == 0 {
		return b, err
	}
	more, err := json.Marshal(p.more)
	if err != nil {
		return nil, err
	}
	return append(append(b[:len(b)-1], ','), more[1:]...), nil // there is always an iss
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
func (m *Minter) Mint(ctx context.Context, a *Authorization, on Terms, w Wanted) (Tokens, error) {
	if len(on.Audience) == 0 || on.IDLifetime <= 0 || on.AccessLifetime <= 0 {
		return Tokens{}, oauth.Failed(errors.New("tokens were to be made that the policy has not decided about"))
	}
	key, err := m.Signer.KeyFor(ctx, on.Algorithm)
	if err != nil {
		return Tokens{}, oauth.Failed(err)
	}
	d := m.draft(a, on, w, key)
	if err := m.limitGroups(ctx, a, on, d); err != nil {
		return Tokens{}, err
	}
	t := Tokens{ExpiresIn: int64(on.AccessLifetime / time.Second)}
	if w.Access {
		t.TokenID = d.access.TokenID
		if t.Access, err = m.encode(ctx, d, d.access); err != nil {
			return Tokens{}, err
		}
	}
	if w.ID {
		t.TokenID = cmp.Or(t.TokenID, d.id.TokenID)
		if t.Access != "" {
			d.id.AccessTokenHash = key.HalfHash(t.Access)
		}
		if t.ID, err = sign(ctx, key, "", d.id); err != nil {
			return Tokens{}, err
		}
	}
	if err := m.checkSize(ctx, a, on, d, t); err != nil {
		return Tokens{}, err
	}
	return t, nil
}

// A draft is the claims of tokens that are about to be made.
type draft struct {
	key        *signing.Key
	access, id *payload // nil for what isn't wanted
	typ        string   // in the header of access tokens
	opaque     bool
	byCode     bool // a code comes with them, for which there will be an access token
	referred   int  // how many groups they refer to instead of naming them
}

// draft returns the claims of the tokens that are wanted.
func (m *Minter) draft(a *Authorization, on Terms, w Wanted, key *signing.Key) *draft {
	d := &draft{key: key, opaque: on.Opaque, byCode: w.Code != ""}
	now := time.Now()
	if w.Access {
		access := m.claims(a, on, now, on.AccessLifetime)
		access.ClientID, access.Scope = a.ClientID, strings.Join(a.Scopes, " ")
		switch {
		case on.Profile:
			d.typ, access.Nonce = "at+jwt", ""
		case !on.Opaque:
			// Means nothing in an access token, but verifiers that take it for an ID token have always seen one.
			access.AccessTokenHash = key.HalfHash(id.New())
		}
		d.access = &access
	}
	if w.ID {
		identity := m.claims(a, on, now, on.IDLifetime)
		if w.Access {
			identity.AccessTokenHash = key.HalfHash("") // as long as the right one, which comes later
		}
		if w.Code != "" {
			identity.CodeHash = key.HalfHash(w.Code)
		}
		d.id = &identity
	}
	return d
}

// encode makes an access token.
func (m *Minter) encode(ctx context.Context, d *draft, p *payload) (string, error) {
	if d.opaque {
		return m.seal(p)
	}
	return sign(ctx, d.key, d.typ, p)
}

func sign(ctx context.Context, key *signing.Key, typ string, claims any) (string, error) {
	b, err := json.Marshal(claims)
	if err != nil {
		return "", oauth.Failed(fmt.Errorf("encode claims: %w", err))
	}
	ctx, span := telemetry.StartSpan(ctx, "sign")
	token, err := key.Sign(ctx, typ, b)
	span.End(err)
	if err != nil {
		return "", oauth.Failed(err)
	}
	return token, nil
}

// claims returns what ID and access token have in common.
func (m *Minter) claims(a *Authorization, on Terms, now time.Time, lifetime time.Duration) payload {
	shown, added := a.UserClaims(on)
	p := payload{
		Issuer:     m.Issuer,
		Subject:    Subject(a.Identity.UserID, a.ConnectorID),
		Audience:   on.Audience,
		Expires:    now.Add(lifetime).Unix(),
		IssuedAt:   now.Unix(),
		TokenID:    tokenID(a.GrantID),
		Nonce:      a.Nonce,
		SessionID:  a.SessionID,
		Methods:    a.Methods,
		ACR:        a.ACR,
		UserClaims: shown,
		more:       added,
	}
	if !a.AuthTime.IsZero() {
		p.AuthTime = a.AuthTime.Unix()
	}
	if len(on.Audience) > 1 {
		p.AuthorizedParty = a.ClientID
	}
	return p
}
