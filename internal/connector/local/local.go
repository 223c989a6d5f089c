// Package local is the password database of Dex itself: users with an e-mail address and a bcrypt hash.
package local

import (
	"context"
	"errors"
	"log/slog"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/connector"
)

// Config is the settings of the connector. None of them come from a config section of its own.
type Config struct {
	Users *Users `key:"-"`
	Cost  int    `key:"-"` // the bcrypt cost of a wrong password
	// Lower says that hashes that cost more are replaced too.
	Lower bool `key:"-"`
}

// AsksPassword implements connector.PasswordForm.
func (*Config) AsksPassword() bool { return true }

// Open makes the connector.
func (c *Config) Open(_ context.Context, env connector.Env) (any, error) {
	d := New(c.Users, c.Cost)
	d.lower, d.log = c.Lower, env.Log
	return d, nil
}

// Database is the connector. It is safe for concurrent use.
type Database struct {
	users *Users
	log   *slog.Logger
	passwords
}

var (
	_ connector.Password  = (*Database)(nil)
	_ connector.Refresher = (*Database)(nil)
)

// New returns the connector. Cost is the bcrypt cost of a wrong password, whether or not the user exists.
func New(users *Users, cost int) *Database {
	return &Database{
		users: users, log: slog.New(slog.DiscardHandler),
		passwords: passwords{cost: cost, hashing: users.hashing, compare: bcrypt.CompareHashAndPassword},
	}
}

// Prompt implements connector.Password.
func (*Database) Prompt() string { return "Email Address" }

// Login implements connector.Password.
func (d *Database) Login(ctx context.Context, _ connector.Scopes, email, password string) (connector.Identity, bool, error) {
	u, err := d.users.ByEmail(ctx, email)
	known := err == nil
	if errors.Is(err, ErrUnknown) {
		u = &User{Hash: decoy(d.cost)}
	} else if err != nil {
		return connector.Identity{}, false, err
	}
	match, err := d.check(ctx, u.Hash, password)
	if err != nil || !match || !known {
		return connector.Identity{}, false, err
	}
	d.renew(ctx, u, password)
	return u.identity(), true, nil
}

// renew replaces a hash whose cost is not the configured one, now that the password is known. If that fails, the login still
// succeeds.
func (d *Database) renew(ctx context.Context, u *User, password string) {
	cost, err := bcrypt.Cost(u.Hash)
	if err != nil || cost == d.cost {
		return
	}
	if d.users.fixed(u.Email) || cost > d.cost && !d.lower {
		if cost > d.cost {
			d.log.WarnContext(ctx, "password hash costs more than the others: anybody can tell from the time of a try that there is this "+
				"user; make a new one with dex hash-password, or set passwordHashCost", "user", u.Email, "cost", cost, "others", d.cost)
		}
		return
	}
	hash, err := d.hash(ctx, password)
	if err == nil {
		err = d.users.replaceHash(ctx, u, hash)
	}
	if err != nil {
		d.log.WarnContext(ctx, "password hash is not replaced by one of the configured cost", "user", u.Email, "err", err)
		return
	}
	d.log.InfoContext(ctx, "password hash is replaced by one of the configured cost", "user", u.Email, "cost", d.cost, "before", cost)
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
	fresh := u.identity()
	fresh.Email = id.Email
	return fresh, nil
}
