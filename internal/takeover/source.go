package takeover

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/client"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/refresh"
	"dex/internal/session"
	"dex/internal/signing"
	"dex/internal/store"
)

const (
	// pageSize is how many entities are read at a time and kept in memory.
	pageSize = 500
	// pageTimeout bounds reading one page.
	pageTimeout = 30 * time.Second
)

// A Source reads what upstream keeps in a storage, and changes nothing there. Methods that take a function call it for each
// entity after a place, and return its error at once. Nothing in the storage stays open during a call, so the function may
// write there. An empty or foreign place means all entities.
type Source interface {
	// Layout names the layout of upstream's data; empty if there is none. It is called at each start.
	Layout(ctx context.Context) (string, error)
	// Keys returns the signing keys; nil if there are none. Keys that can't be read are an error.
	Keys(ctx context.Context) (*signing.Keyset, error)
	Clients(ctx context.Context, after string, each func(Item[client.Client]) error) error
	Connectors(ctx context.Context, after string, each func(Item[federation.Definition]) error) error
	Passwords(ctx context.Context, after string, each func(Item[local.User]) error) error
	OfflineSessions(ctx context.Context, after string, each func(Item[OfflineSession]) error) error
	RefreshTokens(ctx context.Context, after string, each func(Item[RefreshToken]) error) error
	// Identities and Sessions are what upstream's development versions keep. Others have none.
	Identities(ctx context.Context, after string, each func(Item[identity.Legacy]) error) error
	Sessions(ctx context.Context, after string, each func(Item[session.Legacy]) error) error
}

// An Item is one entity that was read.
type Item[T any] struct {
	Table string // or what corresponds to it
	Key   string // its primary key
	Place string // its place in the source's order; empty if that can't be found again
	Value T
	Err   error // why it can't be read; nil if it can
}

// An OfflineSession is what upstream keeps for a connector about a user.
type OfflineSession struct {
	UserID, ConnectorID string
	Data                []byte
	// Origins are the browser sessions in which the user's refresh tokens were issued, by the token's id; nil if there are none.
	Origins map[string]string
}

// references are what upstream notes of the user's refresh tokens, by client, with the JSON names that it has in every storage.
type references map[string]struct {
	ID        string
	SessionID string // empty if it was issued in none
}

func (r references) origins() map[string]string {
	var origins map[string]string
	for _, t := range r {
		if t.SessionID == "" {
			continue
		}
		if origins == nil {
			origins = make(map[string]string)
		}
		origins[t.ID] = t.SessionID
	}
	return origins
}

// A RefreshToken is one of upstream's. Data is what it keeps for the connector; data in the offline session is newer.
type RefreshToken struct {
	refresh.Legacy
	Data []byte
}

// unusablef returns the error for an entity that is left out.
func unusablef(format string, args ...any) error {
	return &store.InvalidError{Err: fmt.Errorf(format, args...)}
}

// checkKey returns why something can't be the key of a record, or nil.
func checkKey(key string) error {
	if key == "" || len(key) > store.MaxKey {
		return unusablef("its id has %d bytes; it must have 1 to %d", len(key), store.MaxKey)
	}
	return nil
}

// storedKeys are upstream's signing keys. Verification keys are decoded only when they still matter.
type storedKeys struct {
	SigningKey       *jose.JSONWebKey
	VerificationKeys []struct {
		PublicKey json.RawMessage `json:"publicKey"`
		Expiry    time.Time       `json:"expiry"`
	}
	NextRotation time.Time
}

// keyset returns the keys in our form; nil if none signs.
func (k *storedKeys) keyset(now time.Time) (*signing.Keyset, error) {
	if k.SigningKey == nil {
		return nil, nil
	}
	if k.SigningKey.IsPublic() {
		return nil, fmt.Errorf("the signing key %q is not a private key", k.SigningKey.KeyID)
	}
	if err := signing.Complete(k.SigningKey); err != nil {
		return nil, fmt.Errorf("the signing key %q: %w", k.SigningKey.KeyID, err)
	}
	public := k.SigningKey.Public()
	ours := &signing.Keyset{Current: *k.SigningKey, CurrentPub: &public, RotateAt: k.NextRotation}
	for _, v := range k.VerificationKeys {
		if !now.Before(v.Expiry) {
			continue
		}
		retired := signing.Retired{Expires: v.Expiry}
		if err := json.Unmarshal(v.PublicKey, &retired.Key); err != nil {
			return nil, fmt.Errorf("verification key: %w", err)
		}
		if !retired.Key.IsPublic() {
			return nil, fmt.Errorf("the verification key %q is not a public key", retired.Key.KeyID)
		}
		if err := signing.Complete(&retired.Key); err != nil {
			return nil, fmt.Errorf("the verification key %q: %w", retired.Key.KeyID, err)
		}
		ours.Retired = append(ours.Retired, retired)
	}
	return ours, nil
}
