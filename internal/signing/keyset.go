package signing

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/store"
)

// ErrBadToken says that a token was not signed by one of our keys, whatever the reason.
var ErrBadToken = errors.New("token is not signed by a current key")

// Kind is the kind of the stored keys. There is one record, RecordKey.
var Kind = store.Kind[Keyset]{Name: "keys"}

// RecordKey is the key of the keys' record.
const RecordKey = "openid-connect-keys"

// A Keyset is the stored record: all keys in one document, so that a rotation is one swap. The members are those of
// upstream's custom resource SigningKey, with two of our own.
type Keyset struct {
	Current    jose.JSONWebKey  `json:"signingKey"` // private
	CurrentPub *jose.JSONWebKey `json:"signingKeyPub,omitempty"`
	// Next is published already and signs from the next rotation on.
	Next      *jose.JSONWebKey `json:"nextSigningKey,omitempty"` // private
	NextSince time.Time        `json:"nextSigningKeySince,omitzero"`
	RotateAt  time.Time        `json:"nextRotation"`
	Retired   []Retired        `json:"verificationKeys,omitempty"` // newest first
}

// Retired is a public key whose tokens may still be alive.
type Retired struct {
	Key     jose.JSONWebKey `json:"publicKey"`
	Expires time.Time       `json:"expiry"`
}

// snapshot is a keyset ready for use; it never changes.
type snapshot struct {
	stored     Keyset
	signing    *Key
	public     map[string]jose.JSONWebKey
	algorithms []jose.SignatureAlgorithm // of public: the only ones accepted in a token
	jwks       Document
}

// A Document is a published JSON document with its validator.
type Document struct {
	Body []byte
	ETag string
}

// NewDocument makes a document of a value, indented as upstream's are.
func NewDocument(v any) (Document, error) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return Document{}, fmt.Errorf("encode published document: %w", err)
	}
	sum := sha256.Sum256(body)
	return Document{Body: body, ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}, nil
}

// prepare makes a keyset ready for use. Retired keys whose time has passed are left out, wherever they may still be
// stored.
func prepare(stored Keyset, now time.Time) (*snapshot, error) {
	signing, err := newKey(stored.Current)
	if err != nil {
		return nil, err
	}
	s := &snapshot{stored: stored, signing: signing, public: map[string]jose.JSONWebKey{}}
	var published struct {
		Keys []jose.JSONWebKey `json:"keys"`
	}
	publish := func(k jose.JSONWebKey) {
		k = k.Public()
		published.Keys = append(published.Keys, k)
		s.public[k.KeyID] = k
		s.accept(jose.SignatureAlgorithm(k.Algorithm))
	}
	publish(stored.Current)
	if stored.Next != nil {
		publish(*stored.Next)
	}
	for _, r := range stored.Retired {
		if now.Before(r.Expires) {
			publish(r.Key)
		}
	}
	if s.jwks, err = NewDocument(published); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *snapshot) accept(a jose.SignatureAlgorithm) {
	for _, known := range s.algorithms {
		if known == a {
			return
		}
	}
	s.algorithms = append(s.algorithms, a)
}

// verify returns the payload of a token that one of the keys signed. It checks nothing in the payload.
func (s *snapshot) verify(token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, s.algorithms)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadToken, err)
	}
	keyID := jws.Signatures[0].Header.KeyID
	key, ok := s.public[keyID]
	if !ok {
		return nil, fmt.Errorf("%w: unknown key id", ErrBadToken)
	}
	// A key signs with its own algorithm only, whatever the token's header says.
	if jws.Signatures[0].Header.Algorithm != key.Algorithm {
		return nil, fmt.Errorf("%w: algorithm is not the key's", ErrBadToken)
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadToken, err)
	}
	return payload, nil
}
