// Package local is the password database of Dex itself: users with an e-mail address and a hash of their password.
package local

import (
	"bytes"
	"context"
	"errors"
	"log/slog"

	"dex/internal/connector"
	"dex/internal/store"
)

// Config is the settings of the connector. None of them come from a config section of its own.
type Config struct {
	Users *Users `key:"-"`
}

// AsksPassword implements connector.PasswordForm.
func (*Config) AsksPassword() bool { return true }

// Open makes the connector.
func (c *Config) Open(_ context.Context, env connector.Env) (any, error) {
	return &Database{users: c.Users, log: env.Log}, nil
}

// Database is the connector. It is safe for concurrent use.
type Database struct {
	users *Users
	log   *slog.Logger
}

var (
	_ connector.Password  = (*Database)(nil)
	_ connector.Refresher = (*Database)(nil)
	_ connector.Stamped   = (*Database)(nil)
)

// New returns the connector.
func New(users *Users) *Database { return &Database{users: users, log: slog.New(slog.DiscardHandler)} }

// Prompt implements connector.Password.
func (*Database) Prompt() string { return "Email Address" }

// Login implements connector.Password.
func (d *Database) Login(ctx context.Context, _ connector.Scopes, email, password string) (connector.Identity, bool, error) {
	u, stored, err := d.users.find(ctx, email)
	known := err == nil
	if errors.Is(err, ErrUnknown) {
		u = &User{Hash: decoy(d.users.passwords.Cost)}
	} else if err != nil {
		return connector.Identity{}, false, err
	}
	match, err := d.users.passwords.check(ctx, u.Hash, password)
	if err == nil && match && stored {
		u, match, err = d.stillRight(ctx, u, password)
	}
	if err != nil || !match || !known {
		return connector.Identity{}, false, err
	}
	d.renew(ctx, u, stored, password)
	return u.Identity(), true, nil
}

// stillRight reports whether a password that was right for a user still is, and returns the user as they are stored now. What is remembered
// of them may be older than a reset of the password at another replica, and the old password must not get in then.
func (d *Database) stillRight(ctx context.Context, u *User, password string) (now *User, right bool, err error) {
	e, err := d.users.users.Fresh(ctx, Key(u.Email))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return u, false, nil
	case err != nil:
		return u, false, &connector.Temporary{Cause: err}
	case bytes.Equal(e.Value.Hash, u.Hash):
		return &e.Value, true, nil
	}
	right, err = d.users.passwords.check(ctx, e.Value.Hash, password)
	return &e.Value, right, err
}

// renew replaces a hash that isn't as the settings say, now that the password is known. If that fails, the login still succeeds.
func (d *Database) renew(ctx context.Context, u *User, stored bool, password string) {
	passwords := &d.users.passwords
	old, err := u.Hash.parse()
	if err != nil {
		return
	}
	h, due := passwords.renewal(old, password)
	if !due || !stored {
		if passwords.dearer(old) {
			d.log.WarnContext(ctx, "password hash costs more than the others: anybody can tell from the time of a try that there is this "+
				"user; make a new one with dex hash-password, or set passwordHashCost", "user", u.Email, "hash", old.String(),
				"others", parsedHash{cost: h.Cost}.String())
		}
		return
	}
	// Of a longer password, bcrypt reads only the beginning.
	hash, err := passwords.hash(ctx, h, password[:min(len(password), h.longest())])
	if err == nil {
		err = d.users.replaceHash(ctx, u.Email, u.Hash, hash)
	}
	switch {
	case errors.Is(err, ErrChanged): // there is a new password
	case err != nil:
		d.log.WarnContext(ctx, "password hash is not replaced by one as configured", "user", u.Email, "err", err)
	default:
		d.log.InfoContext(ctx, "password hash is replaced by one as configured", "user", u.Email, "hash", h.String(), "before", old.String())
	}
}

// Refresh implements connector.Refresher. A user who was deleted, or deleted and made again, is gone.
func (d *Database) Refresh(ctx context.Context, _ connector.Scopes, id connector.Identity) (connector.Identity, error) {
	u, err := d.users.ByEmail(ctx, id.Email)
	if errors.Is(err, ErrUnknown) || err == nil && u.UserID != id.UserID {
		return connector.Identity{}, connector.ErrGone
	}
	if err != nil {
		return connector.Identity{}, err
	}
	fresh := u.Identity()
	fresh.Email = id.Email
	return fresh, nil
}

// Stamp implements connector.Stamped.
func (d *Database) Stamp(ctx context.Context, id connector.Identity) ([]byte, error) {
	e, err := d.users.users.Fresh(ctx, Key(id.Email))
	if errors.Is(err, store.ErrNotFound) || err == nil && e.Value.UserID != id.UserID {
		return nil, connector.ErrGone
	}
	if err != nil {
		return nil, &connector.Temporary{Cause: err}
	}
	return e.Value.Fingerprint(), nil
}
