package signing

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/store"
)

// ErrBadToken says that a token was not signed by one of our keys, whatever the reason.
var ErrBadToken = errors.New("token is not signed by a current key")

// errUnknownKey is an ErrBadToken that names a key which isn't published.
var errUnknownKey = fmt.Errorf("%w: unknown key id", ErrBadToken)

// Kind is the kind of the stored keys: RecordKey is the record of the server's algorithm, and each further algorithm that a client
// has asked for has a record beside it.
var Kind = store.Declare(store.Declaration[Keyset]{
	Name: "keys", Durable: true, Kubernetes: store.UpstreamObject,
})

// RecordKey is the key of the record with the keys of the server's algorithm.
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

// KeyIDs returns the ids of all keys.
func (k *Keyset) KeyIDs() []string {
	ids := []string{k.Current.KeyID}
	if k.Next != nil {
		ids = append(ids, k.Next.KeyID)
	}
	for _, retired := range k.Retired {
		ids = append(ids, retired.Key.KeyID)
	}
	return ids
}

// Retired is a public key whose tokens may still be alive.
type Retired struct {
	Key     jose.JSONWebKey `json:"publicKey"`
	Expires time.Time       `json:"expiry"`
}

// snapshot is a keyset ready for use; it never changes.
type snapshot struct {
	*published
	stored  Keyset
	signing *Key
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
	signing, err := storedKey(stored.Current)
	if err != nil {
		return nil, err
	}
	keys := []jose.JSONWebKey{stored.Current}
	if stored.Next != nil {
		keys = append(keys, *stored.Next)
	}
	for _, r := range stored.Retired {
		if now.Before(r.Expires) {
			keys = append(keys, r.Key)
		}
	}
	p, err := publish(keys)
	if err != nil {
		return nil, err
	}
	return &snapshot{published: p, stored: stored, signing: signing}, nil
}

// published is what everybody may know of the keys, ready for use; it never changes.
type published struct {
	keys       map[string]jose.JSONWebKey
	inOrder    []jose.JSONWebKey         // the same
	algorithms []jose.SignatureAlgorithm // of the keys
	jwks       Document
}

// publish makes the public half of keys ready for use, in their order.
func publish(keys []jose.JSONWebKey) (*published, error) {
	p := &published{keys: map[string]jose.JSONWebKey{}}
	var set struct {
		Keys []jose.JSONWebKey `json:"keys"`
	}
	for _, k := range keys {
		if err := Complete(&k); err != nil {
			return nil, fmt.Errorf("key %q: %w", k.KeyID, err)
		}
		k = k.Public()
		set.Keys = append(set.Keys, k)
		p.keys[k.KeyID] = k
		if a := jose.SignatureAlgorithm(k.Algorithm); !slices.Contains(p.algorithms, a) {
			p.algorithms = append(p.algorithms, a)
		}
	}
	var err error
	p.inOrder = set.Keys
	p.jwks, err = NewDocument(set)
	return p, err
}

// names returns the algorithms of the keys.
func (p *published) names() []string {
	names := make([]string, len(p.algorithms))
	for i, a := range p.algorithms {
		names[i] = string(a)
	}
	return names
}

// verify returns the payload of a token that one of the keys signed. It checks nothing in the payload.
func (p *published) verify(token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, anyAlgorithm)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadToken, err)
	}
	keyID := jws.Signatures[0].Header.KeyID
	key, ok := p.keys[keyID]
	if !ok {
		return nil, errUnknownKey
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
