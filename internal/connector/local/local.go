// Package local is the password database of Dex itself: users with an e-mail address and a bcrypt hash.
package local

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/connector"
	"dex/internal/store"
)

// A User is an entry of the password database.
type User struct {
	Email             string // the login name, compared without regard to case
	Hash              []byte // bcrypt
	UserID            string
	Username          string
	PreferredUsername string
	EmailVerified     bool
	Groups            []string

	stored bool // where its hash can be replaced
}

// NoPassword is a hash of the usual cost that no password has. It stands for one that can't be used, so that its user can't
// sign in, and nobody else takes the user's place.
const NoPassword = "$2a$10$XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"

// Users finds users.
type Users interface {
	// ByEmail returns the user of an e-mail address in lower case; ErrUnknown when there is none.
	ByEmail(ctx context.Context, email string) (User, error)
}

// ErrUnknown says that no user has the e-mail address.
var ErrUnknown = errors.New("unknown user")

// Layered is the users of the configuration, and those of the storage that no configured one hides. It is safe for
// concurrent use.
type Layered struct {
	static Static
	table  *store.Table[Document]
	stored *store.Cache[Document] // of the table
}

// NewLayered returns the users of the configuration and of the storage.
func NewLayered(static Static, s store.Store) *Layered {
	table := store.In(s, Kind)
	return &Layered{static: static, table: table, stored: store.NewCache(table)}
}

// ByEmail implements Users.
func (l *Layered) ByEmail(ctx context.Context, email string) (User, error) {
	if u, err := l.static.ByEmail(ctx, email); err == nil {
		return u, nil
	}
	if email == "" || len(email) > store.MaxKey {
		return User{}, ErrUnknown
	}
	e, err := l.stored.Get(ctx, Key(email))
	if errors.Is(err, store.ErrNotFound) {
		return User{}, ErrUnknown
	}
	if err != nil { // the storage: which serves everything else here too, and is waited for
		return User{}, &connector.Temporary{Cause: err}
	}
	if Key(e.Value.Email) != Key(email) {
		return User{}, errMixedUp
	}
	return e.Value.user(), nil
}

// Forget makes the users be read again that were changed in the storage.
func (l *Layered) Forget(c store.Change) { l.stored.Forget(c) }

// replaceHash stores another hash of a user's password, unless the password has changed meanwhile.
func (l *Layered) replaceHash(ctx context.Context, u User, hash []byte) error {
	key := Key(u.Email)
	_, err := l.table.Update(ctx, key, func(d *Document) error {
		if !bytes.Equal(d.Hash, u.Hash) {
			return store.ErrUnchanged
		}
		d.Hash = hash
		return nil
	})
	l.Forget(store.Change{Kind: Kind.Name(), Key: key})
	return err
}

var errMixedUp = errors.New("the user stored under the e-mail address has another one")

// Static is users from the configuration, by e-mail address in lower case.
type Static map[string]User

// NewStatic indexes users.
func NewStatic(users []User) Static {
	s := make(Static, len(users))
	for _, u := range users {
		s[strings.ToLower(u.Email)] = u
	}
	return s
}

// ByEmail implements Users.
func (s Static) ByEmail(_ context.Context, email string) (User, error) {
	u, ok := s[email]
	if !ok {
		return User{}, ErrUnknown
	}
	return u, nil
}

// Config is the settings of the connector: its users. There is nothing to write in its own section of the configuration.
type Config struct {
	Users *Layered `key:"-"`
	Cost  int      `key:"-"` // the bcrypt cost of a wrong password
	// Lower has hashes that cost more replaced, too.
	Lower bool `key:"-"`
}

// Open makes the connector.
func (c *Config) Open(_ context.Context, env connector.Env) (any, error) {
	d := New(c.Users, c.Cost)
	d.lower, d.log = c.Lower, env.Log
	return d, nil
}

// Database is the connector. It is safe for concurrent use.
type Database struct {
	users Users
	log   *slog.Logger
	passwords
}

var (
	_ connector.Password  = (*Database)(nil)
	_ connector.Refresher = (*Database)(nil)
)

// New returns the connector over some users. Cost is the bcrypt cost of a wrong password, whoever's it is.
func New(users Users, cost int) *Database {
	return &Database{
		users: users, log: slog.New(slog.DiscardHandler),
		passwords: passwords{cost: cost, hashing: newTurns(runtime.GOMAXPROCS(0)), compare: bcrypt.CompareHashAndPassword},
	}
}

// Prompt implements connector.Password.
func (*Database) Prompt() string { return "Email Address" }

// Login implements connector.Password.
func (d *Database) Login(ctx context.Context, _ connector.Scopes, email, password string) (connector.Identity, bool, error) {
	u, err := d.users.ByEmail(ctx, strings.ToLower(email))
	known := err == nil
	if errors.Is(err, ErrUnknown) {
		u.Hash = decoy(d.cost)
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

// renew replaces a hash of another cost than the configured one, once its password is known. A failure costs nobody their
// login.
func (d *Database) renew(ctx context.Context, u User, password string) {
	cost, err := bcrypt.Cost(u.Hash)
	if err != nil || cost == d.cost {
		return
	}
	stored, ok := d.users.(*Layered)
	if !ok || !u.stored || cost > d.cost && !d.lower {
		if cost > d.cost {
			d.log.WarnContext(ctx, "password hash costs more than the others: anybody can tell from the time of a try that there is this "+
				"user; make a new one with dex hash-password, or set passwordHashCost", "user", u.Email, "cost", cost, "others", d.cost)
		}
		return
	}
	hash, err := d.hash(ctx, password)
	if err == nil {
		err = stored.replaceHash(ctx, u, hash)
	}
	if err != nil {
		d.log.WarnContext(ctx, "password hash is not replaced by one of the configured cost", "user", u.Email, "err", err)
		return
	}
	d.log.InfoContext(ctx, "password hash is replaced by one of the configured cost", "user", u.Email, "cost", d.cost, "before", cost)
}

// Refresh implements connector.Refresher. A user who was deleted, or deleted and made again, is gone.
func (d *Database) Refresh(ctx context.Context, _ connector.Scopes, id connector.Identity) (connector.Identity, error) {
	u, err := d.users.ByEmail(ctx, strings.ToLower(id.Email))
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

func (u User) identity() connector.Identity {
	return connector.Identity{
		UserID:            u.UserID,
		Username:          u.Username,
		PreferredUsername: u.PreferredUsername,
		Email:             u.Email,
		EmailVerified:     u.EmailVerified,
		Groups:            u.Groups,
	}
}
