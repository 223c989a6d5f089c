// Package seal encrypts state that travels through browsers and applications, which can neither read nor change it, nor use it for a
// purpose other than the one it was made for. The keys are a ring in the storage that all replicas share.
package seal

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"dex/internal/id"
	"dex/internal/store"
)

// ErrInvalid says that a sealed text was not made by this ring for this purpose, or with a key long gone.
var ErrInvalid = errors.New("sealed text is not valid")

// Kind is the kind of the ring's record.
var Kind = store.Declare(store.Declaration[ring]{Name: "seal", Durable: true})

const (
	ringKey   = "ring"
	keyIDLen  = 5
	rotation  = 7 * 24 * time.Hour
	clockLag  = time.Hour   // how far the clocks of replicas may differ
	reloadGap = time.Second // an unknown key id, which anyone can send, costs at most one read in this time
)

// ring is the stored record: newest key first.
type ring struct {
	Keys []key `json:"keys"`
}

type key struct {
	ID      string    `json:"id"` // keyIDLen raw bytes in base32
	Secret  []byte    `json:"secret"`
	Created time.Time `json:"created"`
}

// A Ring seals and opens. It is safe for concurrent use.
type Ring struct {
	table    *store.Table[ring]
	lifetime atomic.Int64 // a time.Duration, of what is sealed: a key is dropped when nothing sealed with it can be alive

	current atomic.Pointer[keys]

	mu         sync.Mutex // guards lastReload only
	lastReload time.Time
}

// keys is a ring ready for use.
type keys struct {
	newest  *sealer
	byID    map[string]*sealer
	created time.Time // of the newest
}

type sealer struct {
	id   []byte
	aead cipher.AEAD
}

// Open loads the ring from the storage, or creates it there. Lifetime bounds how long anything sealed is of use.
func Open(ctx context.Context, s store.Store, lifetime time.Duration) (*Ring, error) {
	r := &Ring{table: store.In(s, Kind)}
	r.Outlast(lifetime)
	if err := r.Maintain(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Outlast makes keys last for what is of use for this long, from now on. A shorter time than before changes nothing, as
// something with the longer one may be in a browser. It is not called twice at once.
func (r *Ring) Outlast(lifetime time.Duration) {
	r.lifetime.Store(max(r.lifetime.Load(), int64(lifetime)))
}

// Maintain reads the ring again, and adds a key when the newest is old. Call it now and then.
func (r *Ring) Maintain(ctx context.Context) error {
	if err := r.Reload(ctx); err == nil && !r.isDue(r.current.Load().created) {
		return nil
	} else if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	fresh := newKey(time.Now())
	if _, err := r.table.Create(ctx, ringKey, ring{Keys: []key{fresh}}); err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("create sealing keys: %w", err)
	}
	_, err := r.table.Update(ctx, ringKey, func(stored *ring) error {
		if len(stored.Keys) > 0 && !r.isDue(stored.Keys[0].Created) {
			return store.ErrUnchanged // another replica was faster
		}
		for i := range stored.Keys {
			if k := &stored.Keys[i]; k.Created.After(fresh.Created) {
				k.Created = fresh.Created // or it would stay for too long
			}
		}
		stored.Keys = append([]key{fresh}, r.alive(stored.Keys)...)
		return nil
	})
	if err != nil {
		return fmt.Errorf("rotate sealing keys: %w", err)
	}
	return r.Reload(ctx)
}

// isDue reports whether the newest key is old. One from the future was made while a clock was wrong: nobody knows how old it is.
func (r *Ring) isDue(created time.Time) bool {
	age := time.Since(created)
	return age >= rotation || age < -clockLag
}

// alive returns the keys that may have sealed something that is still of use.
func (r *Ring) alive(stored []key) []key {
	for i, k := range stored {
		if i > 0 && time.Since(k.Created) > rotation+time.Duration(r.lifetime.Load())+time.Hour {
			return stored[:i]
		}
	}
	return stored
}

// Seal encrypts the plaintext for a purpose; only Open with the same purpose gets it back.
func (r *Ring) Seal(purpose string, plaintext []byte) string {
	s := r.current.Load().newest
	out := make([]byte, 0, keyIDLen+s.aead.NonceSize()+len(plaintext)+s.aead.Overhead())
	out = append(out, s.id...)
	out = out[:keyIDLen+s.aead.NonceSize()]
	nonce := out[keyIDLen:]
	_, _ = rand.Read(nonce) // never fails
	out = s.aead.Seal(out, nonce, plaintext, []byte(purpose))
	return base64.RawURLEncoding.EncodeToString(out)
}

// Length returns how many bytes Seal's result has for a plaintext of so many.
func Length(plaintext int) int {
	return base64.RawURLEncoding.EncodedLen(keyIDLen + chacha20poly1305.NonceSizeX + plaintext + chacha20poly1305.Overhead)
}

// Open decrypts what Seal made for the same purpose. ErrInvalid when it wasn't, or another error when the keys can't be
// read.
func (r *Ring) Open(ctx context.Context, purpose, sealed string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil || len(raw) < keyIDLen+chacha20poly1305.NonceSizeX {
		return nil, ErrInvalid
	}
	s, err := r.find(ctx, raw[:keyIDLen])
	if err != nil {
		return nil, err
	}
	nonce, ciphertext := raw[keyIDLen:][:s.aead.NonceSize()], raw[keyIDLen+s.aead.NonceSize():]
	plaintext, err := s.aead.Open(nil, nonce, ciphertext, []byte(purpose))
	if err != nil {
		return nil, ErrInvalid
	}
	return plaintext, nil
}

// find returns the key of an id, looking in the storage for one that another replica made a moment ago.
func (r *Ring) find(ctx context.Context, keyID []byte) (*sealer, error) {
	if s, ok := r.current.Load().byID[string(keyID)]; ok {
		return s, nil
	}
	if !r.mayReload() {
		return nil, ErrInvalid
	}
	if err := r.Reload(ctx); err != nil {
		return nil, err
	}
	if s, ok := r.current.Load().byID[string(keyID)]; ok {
		return s, nil
	}
	return nil, ErrInvalid
}

func (r *Ring) mayReload() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.lastReload) < reloadGap {
		return false
	}
	r.lastReload = time.Now()
	return true
}

// Reload reads the ring again, because another replica has changed it.
func (r *Ring) Reload(ctx context.Context) error {
	e, err := r.table.Get(ctx, ringKey)
	if err != nil {
		return fmt.Errorf("read sealing keys: %w", err)
	}
	k, err := prepare(e.Value)
	if err != nil {
		return err
	}
	r.current.Store(k)
	return nil
}

func prepare(stored ring) (*keys, error) {
	if len(stored.Keys) == 0 {
		return nil, errors.New("the stored ring of sealing keys is empty")
	}
	k := &keys{byID: make(map[string]*sealer, len(stored.Keys)), created: stored.Keys[0].Created}
	for i, sk := range stored.Keys {
		aead, err := chacha20poly1305.NewX(sk.Secret)
		if err != nil {
			return nil, fmt.Errorf("sealing key %q: %w", sk.ID, err)
		}
		if len(sk.ID) != keyIDLen {
			return nil, fmt.Errorf("sealing key id %q does not have %d characters", sk.ID, keyIDLen)
		}
		s := &sealer{id: []byte(sk.ID), aead: aead}
		k.byID[sk.ID] = s
		if i == 0 {
			k.newest = s
		}
	}
	return k, nil
}

func newKey(now time.Time) key {
	secret := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(secret) // never fails
	return key{ID: id.New()[:keyIDLen], Secret: secret, Created: now}
}
