package local

import (
	"bytes"
	"context"
	"errors"
	"log/slog"

	"dex/internal/connector"
	"dex/internal/store"
	"dex/internal/turn"
)

// ErrUnknown says that no user has the e-mail address.
var ErrUnknown = errors.New("unknown user")

// NewCatalog returns the stored users.
func NewCatalog(s store.Store, log *slog.Logger) *store.Catalog[User] {
	return store.NewCatalog(s, store.Rules[User]{
		Kind: Kind, Key: func(u *User) string { return Key(u.Email) }, Validate: (*User).Validate,
	}, log)
}

// Users finds users, configured and stored, and sets their passwords; a configured one hides a stored one with the same address. It
// is safe for concurrent use.
type Users struct {
	users     *store.Layered[User]
	passwords passwords
	policy    *Policy
}

// NewUsers returns configured and stored users, whose passwords are hashed by bcrypt and may be any.
func NewUsers(configured []*User, s store.Store, log *slog.Logger) *Users {
	return &Users{users: store.NewLayered(configured, NewCatalog(s, log)), policy: &Policy{}, passwords: passwords{
		Hashing: Hashing{Cost: MinCost}, line: turn.ForHashes(), with: ordinary,
	}}
}

// With returns other configured users over the same stored ones, whose passwords are hashed as h says and must be as the policy says.
// All users wait in the same line for their hashes.
func (u *Users) With(configured []*User, h Hashing, p *Policy) *Users {
	other := *u
	other.users, other.passwords.Hashing, other.policy = u.users.With(configured), h, p
	return &other
}

// InLine returns the same users, who wait for their hashes in a line that others wait in too.
func (u *Users) InLine(l *turn.Line) *Users {
	other := *u
	other.passwords.line = l
	return &other
}

// Over returns the same users over others that count where neither the configuration nor the storage has their address.
func (u *Users) Over(f *store.Fallback[User]) *Users {
	other := *u
	other.users = u.users.Over(f)
	return &other
}

// ByEmail returns the user with an e-mail address, whatever its case, or ErrUnknown.
func (u *Users) ByEmail(ctx context.Context, email string) (*User, error) {
	user, _, err := u.find(ctx, email)
	return user, err
}

// find is ByEmail, and says whether the user is in the storage; others can't be changed.
func (u *Users) find(ctx context.Context, email string) (user *User, stored bool, err error) {
	e, err := u.users.Get(ctx, Key(email))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, false, ErrUnknown
	case errors.Is(err, store.ErrMisplaced):
		return nil, false, err
	case err != nil: // the storage, which nothing works without: the client should try again
		return nil, false, &connector.Temporary{Cause: err}
	}
	return &e.Value, !u.users.Configured(Key(email)) && !u.users.IsFallback(e), nil
}

// Records returns the users as those who administer them see them.
func (u *Users) Records() *store.Layered[User] { return u.users }

// Forget makes users be read again that have changed in the storage.
func (u *Users) Forget(c store.Change) { u.users.Forget(c) }

// Hash returns a hash of a password that an operator sets, when its turn comes. The error is a *LengthError, the context's, or ours.
func (u *Users) Hash(ctx context.Context, password string) (Hash, error) {
	return u.passwords.hash(ctx, u.passwords.Hashing, password)
}

// replaceHash stores another hash for a user, unless it is no longer the one before; then the error is ErrChanged.
func (u *Users) replaceHash(ctx context.Context, email string, before, hash Hash) error {
	_, err := u.users.Catalog().Amend(ctx, Key(email), func(now *User) error {
		if !bytes.Equal(now.Hash, before) {
			return ErrChanged
		}
		now.Hash = hash
		return nil
	})
	return err
}
