// Package upstream fills storages as upstream does: the same clients, users, connectors, keys and refresh tokens in each of
// its formats. It is for tests, and for trying out the takeover.
package upstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"google.golang.org/protobuf/encoding/protowire"
)

// The content of each storage.
const (
	// ClientID is a client with a secret, made through the API.
	ClientID     = "gate"
	ClientSecret = "gate's secret"
	RedirectURI  = "https://gate.example/callback"
	// PublicClientID is a client without a secret.
	PublicClientID = "tool"

	// UserEmail is a user of the password database, with two sessions: one for each client.
	UserEmail    = "jane@example.com"
	UserPassword = "jane's password"
	UserHash     = "$2a$10$prN9coYQiUXzGxjJioOgvO9P.R83KtR3aaGnYGNhPEJT3aILKgEvW" // bcrypt, cost 10
	UserID       = "08a8684b-db88-4b73-90a9-3cd1661f5466"
	UserName     = "jane"
	UserFullName = "Jane Doe"

	// ConnectorID is a stored connector, of type mockCallback.
	ConnectorID   = "stored-mock"
	ConnectorName = "Stored mock"
	// MockUserID is everybody's id at that connector, with one session for the client with a secret.
	MockUserID    = "0-385-28089-0"
	MockUserEmail = "kilgore@kilgore.trout"
	ConnectorData = "foobar" // of the mock user

	// KeyID is the signing key, for RS256; RetiredKeyID is a verification key, for ES256.
	KeyID        = "5b3b1f2c8f7b6a5d4e3f2a1b0c9d8e7f6a5b4c3d"
	RetiredKeyID = "0c9d8e7f6a5b4c3d5b3b1f2c8f7b6a5d4e3f2a1b"
)

// Refresh tokens as the clients have them.
var (
	// UserToken is jane's at the client with a secret. ObsoleteUserToken came before it.
	UserToken         = encodePair(userTokenID, "janessecretjanessecretjan")
	ObsoleteUserToken = encodePair(userTokenID, "theonebeforetheonebeforet")
	// PublicUserToken is jane's at the public client.
	PublicUserToken = encodePair(publicTokenID, "publicsecretpublicsecretp")
	// MockToken is the mock user's.
	MockToken = encodePair(mockTokenID, "mocksecretmocksecretmocks")
)

const (
	userTokenID   = "janestokenjanestokenjanes"
	publicTokenID = "publictokenpublictokenpub"
	mockTokenID   = "mocktokenmocktokenmocktok"
)

// RefreshTokenIDs are the ids of the refresh tokens, in order.
var RefreshTokenIDs = []string{userTokenID, mockTokenID, publicTokenID}

// When the refresh tokens were issued and last used, when the keys should be rotated, and until when the retired one
// verifies. In milliseconds, which all databases preserve.
var (
	CreatedAt    = time.Now().Add(-48 * time.Hour).UTC().Truncate(time.Millisecond)
	LastUsed     = time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond)
	NextRotation = time.Now().Add(6 * time.Hour).UTC().Truncate(time.Millisecond)
	RetiredUntil = time.Now().Add(24 * time.Hour).UTC().Truncate(time.Millisecond)
)

// SigningKey returns the private key that signs. Each process has its own.
var SigningKey = sync.OnceValue(func() jose.JSONWebKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // never happens
	}
	return jose.JSONWebKey{Key: k, KeyID: KeyID, Algorithm: string(jose.RS256), Use: "sig"}
})

// RetiredKey returns the private key that signed before.
var RetiredKey = sync.OnceValue(func() jose.JSONWebKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // never happens
	}
	return jose.JSONWebKey{Key: k, KeyID: RetiredKeyID, Algorithm: string(jose.ES256), Use: "sig"}
})

// verificationKey is a retired key as upstream stores it.
type verificationKey struct {
	PublicKey jose.JSONWebKey `json:"publicKey"`
	Expiry    time.Time       `json:"expiry"`
}

func verificationKeys() []verificationKey {
	retired := RetiredKey()
	return []verificationKey{{retired.Public(), RetiredUntil}}
}

// A session is a refresh token and its data.
type session struct {
	id, secret, obsolete  string
	clientID, connectorID string
	claims                claims
	scopes                []string
}

// claims has upstream's JSON names.
type claims struct {
	UserID            string   `json:"userID"`
	Username          string   `json:"username"`
	PreferredUsername string   `json:"preferredUsername"`
	Email             string   `json:"email"`
	EmailVerified     bool     `json:"emailVerified"`
	Groups            []string `json:"groups,omitempty"`
}

func janesClaims() claims {
	return claims{
		UserID: UserID, Username: UserFullName, PreferredUsername: UserName, Email: UserEmail, EmailVerified: true,
		Groups: []string{"admins"},
	}
}

func sessions() []session {
	scopes := []string{"openid", "profile", "email", "offline_access"}
	jane := janesClaims()
	mock := claims{UserID: MockUserID, Username: "Kilgore Trout", Email: MockUserEmail, EmailVerified: true, Groups: []string{"authors"}}
	return []session{
		{userTokenID, "janessecretjanessecretjan", "theonebeforetheonebeforet", ClientID, "local", jane, scopes},
		{publicTokenID, "publicsecretpublicsecretp", "", PublicClientID, "local", jane, scopes},
		{mockTokenID, "mocksecretmocksecretmocks", "", ClientID, ConnectorID, mock, scopes},
	}
}

// reference is an offline session's entry for a refresh token.
type reference struct {
	ID, ClientID        string
	CreatedAt, LastUsed time.Time
	SessionID           string `json:",omitempty"`
}

// references returns the references in a user's offline session at a connector. In development versions jane's first token is of her
// session.
func references(userID, connectorID string, l Layout) map[string]reference {
	found := map[string]reference{}
	for _, s := range sessions() {
		if s.claims.UserID == userID && s.connectorID == connectorID {
			r := reference{ID: s.id, ClientID: s.clientID, CreatedAt: CreatedAt, LastUsed: LastUsed}
			if l != Release && s.id == userTokenID {
				r.SessionID = SessionID
			}
			found[s.clientID] = r
		}
	}
	return found
}

// encode returns a value as JSON.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // the values are this package's
	}
	return b
}

// encodePair encodes a refresh token's id and secret: a protobuf message with two strings.
func encodePair(first, second string) string {
	var b []byte
	for i, s := range []string{first, second} {
		b = protowire.AppendTag(b, protowire.Number(i+1), protowire.BytesType)
		b = protowire.AppendString(b, s)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// Split returns the id and the secret of a refresh token; empty for an empty one.
func Split(refreshToken string) (id, secret string) {
	parts := make([]string, 2)
	b, err := base64.RawURLEncoding.DecodeString(refreshToken)
	if err != nil {
		panic(err) // the tokens are this package's
	}
	for i := 0; len(b) > 0; i++ {
		_, _, n := protowire.ConsumeTag(b)
		value, m := protowire.ConsumeString(b[n:])
		parts[i] = value
		b = b[n+m:]
	}
	return parts[0], parts[1]
}
