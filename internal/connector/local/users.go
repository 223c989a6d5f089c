package local

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"

	"dex/internal/connector"
	"dex/internal/store"
)

// ErrUnknown says that no user has the e-mail address.
var ErrUnknown = errors.New("unknown user")

// NewCatalog returns the stored users.
func NewCatalog(s store.Store, log *slog.Logger) *store.Catalog[User] {
	return store.NewCatalog(s, store.Rules[User]{
		Kind: Kind, Key: func(u *User) string { return Key(u.Email) }, Validate: (*User).Validate,
	}, log)
}

// Users finds users, configured and stored; a configured one hides a stored one with the same address. It is safe for
// concurrent use.
type Users struct {
	users   *store.Layered[User]
	hashing *turns // for the hashes of all users, see passwords
}

// NewUsers returns configured and stored users.
func NewUsers(configured []*User, s store.Store, log *slog.Logger) *Users {
	return &Users{store.NewLayered(configured, NewCatalog(s, log)), newTurns(runtime.GOMAXPROCS(0))}
}

// With returns other configured users over the same stored ones. Both wait in the same line for their hashes.
func (u *Users) With(configured []*User) *Users { return &Users{u.users.With(configured), u.hashing} }

// Over returns the same users over others that count where neither the configuration nor the storage has their address.
func (u *Users) Over(f *store.Fallback[User]) *Users { return &Users{u.users.Over(f), u.hashing} }

// ByEmail returns the user with an e-mail address, whatever its case, or ErrUnknown.
func (u *Users) ByEmail(ctx context.Context, email string) (*User, error) {
	e, err := u.users.Get(ctx, Key(email))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, ErrUnknown
	case errors.Is(err, store.ErrMisplaced):
		return nil, err
	case err != nil: // the storage, which nothing works without: the client should try again
		return nil, &connector.Temporary{Cause: err}
	}
	return &e.Value, nil
}

// Records returns the users as those who administer them see them.
func (u *Users) Records() *store.Layered[User] { return u.users }

// Forget makes users be read again that have changed in the storage.
func (u *Users) Forget(c store.Change) { u.users.Forget(c) }

// fixed reports whether a user is one whose hash can't be replaced, as it isn't in the storage.
func (u *Users) fixed(email string) bool {
	return u.users.Configured(Key(email)) || u.users.FallsBack(Key(email))
}

// replaceHash stores another hash of a user's password, unless the password has changed meanwhile.
func (u *Users) replaceHash(ctx context.Context, user *User, hash Hash) error {
	_, err := u.users.Catalog().Amend(ctx, Key(user.Email), func(now *User) error {
		if !bytes.Equal(now.Hash, user.Hash) {
			return store.ErrUnchanged
		}
		now.Hash = hash
		return nil
	})
	return err
}
