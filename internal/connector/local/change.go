package local

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"dex/internal/connector"
	"dex/internal/store"
)

// Errors of changes that users make.
var (
	ErrFixed         = errors.New("the user is not in the storage, so nothing about them can be changed here")
	ErrChanged       = errors.New("the password has been changed meanwhile")
	ErrWrongPassword = errors.New("the current password is wrong")
)

// SetPassword stores another password for a user, unless the hash is no longer the one before. Whoever calls it has made sure
// that the user may do so, and emits event.PasswordChanged. The error is ErrUnknown, ErrFixed, ErrChanged, or one of Policy.Check.
func (u *Users) SetPassword(ctx context.Context, email string, before Hash, password string) error {
	user, stored, err := u.find(ctx, email)
	switch {
	case err != nil:
		return err
	case !stored:
		return ErrFixed
	case !bytes.Equal(user.Hash, before):
		return ErrChanged
	}
	if err := u.policy.Check(password, user); err != nil {
		return err
	}
	hash, err := u.Hash(ctx, password)
	if err != nil {
		return err
	}
	return u.written(u.replaceHash(ctx, email, before, hash))
}

// ChangePassword is SetPassword for a user who knows the current one. A wrong one is ErrWrongPassword, and costs as much as at a
// login; the caller has to count it as one.
func (d *Database) ChangePassword(ctx context.Context, email, current, password string) error {
	user, stored, err := d.users.find(ctx, email)
	switch {
	case err != nil:
		return err
	case !stored:
		return ErrFixed
	}
	match, err := d.users.passwords.check(ctx, user.Hash, current)
	switch {
	case err != nil:
		return err
	case !match:
		return ErrWrongPassword
	}
	return d.users.SetPassword(ctx, email, user.Hash, password)
}

// Verified stores that a user has proved to read the mail to their address. The error is ErrUnknown or ErrFixed.
func (u *Users) Verified(ctx context.Context, email string) error {
	user, stored, err := u.find(ctx, email)
	switch {
	case err != nil:
		return err
	case !stored:
		return ErrFixed
	case user.verified():
		return nil
	}
	_, err = u.users.Catalog().Amend(ctx, Key(email), func(now *User) error {
		now.EmailVerified = new(true)
		return nil
	})
	return u.written(err)
}

// written says what the error of a change to a stored user means to its caller.
func (*Users) written(err error) error {
	_, invalid := errors.AsType[*store.InvalidError](err)
	switch {
	case err == nil, errors.Is(err, ErrChanged), invalid:
		return err
	case errors.Is(err, store.ErrNotFound):
		return ErrUnknown
	}
	return &connector.Temporary{Cause: err}
}

// Fingerprint returns what a link that is sent to the user is bound to. It tells nothing about the password, and ends with it: with a
// change as with a hash that a login has made anew.
func (u *User) Fingerprint() []byte {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(u.UserID), []byte(Key(u.Email)), u.Hash} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write(part)
	}
	return h.Sum(nil)
}
