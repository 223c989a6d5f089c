// Package local is the password database of Dex itself: users with an e-mail address and a bcrypt hash.
package local

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"dex/internal/connector"
	"dex/internal/store"
	"dex/internal/telemetry"
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
	stored *store.Cache[Document]
}

// NewLayered returns the users of the configuration and of the storage.
func NewLayered(static Static, s store.Store) *Layered {
	return &Layered{static: static, stored: store.NewCache(store.In(s, Kind))}
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
	if err != nil {
		return User{}, err
	}
	if Key(e.Value.Email) != Key(email) {
		return User{}, errMixedUp
	}
	return e.Value.user(), nil
}

// Cost returns the bcrypt cost of most users, as far as it is known.
func (l *Layered) Cost() int { return l.static.Cost() }

// Forget makes the users be read again that were changed in the storage.
func (l *Layered) Forget(c store.Change) { l.stored.Forget(c) }

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

// Database is the connector. It is safe for concurrent use.
type Database struct {
	users Users
	// hashing bounds how many hashes are computed at once. Each takes a core for some 50 ms and more: a crowd at the
	// login page waits in line, instead of sharing the cores with everybody who is signed in already.
	hashing *turns
	// decoy is compared where there is no user, so that the time doesn't tell who exists.
	decoy []byte
}

var (
	_ connector.Password  = (*Database)(nil)
	_ connector.Refresher = (*Database)(nil)
)

// New returns the connector over some users. Cost is the bcrypt cost of the decoy that is compared for those who don't
// exist; it should be that of the real hashes.
func New(users Users, cost int) *Database {
	return &Database{
		users:   users,
		hashing: newTurns(runtime.GOMAXPROCS(0)),
		// A hash that no password has; comparing takes what its cost says.
		decoy: fmt.Appendf(nil, "$2a$%02d$%s", cost, strings.Repeat("X", 22+31)),
	}
}

// Cost returns the highest bcrypt cost among the users, or the usual one when there are none: what New wants to know.
func (s Static) Cost() int {
	highest := bcrypt.MinCost
	for _, u := range s {
		if cost, err := bcrypt.Cost(u.Hash); err == nil {
			highest = max(highest, cost)
		}
	}
	if len(s) == 0 {
		return bcrypt.DefaultCost
	}
	return highest
}

// Config is the settings of the connector: its users. There is nothing to write in the configuration file.
type Config struct {
	Users *Layered `key:"-"`
}

// Open makes the connector.
func (c *Config) Open(context.Context, connector.Env) (any, error) {
	return New(c.Users, c.Users.Cost()), nil
}

// Prompt implements connector.Password.
func (*Database) Prompt() string { return "Email Address" }

// Login implements connector.Password.
func (d *Database) Login(ctx context.Context, _ connector.Scopes, email, password string) (connector.Identity, bool, error) {
	u, err := d.users.ByEmail(ctx, strings.ToLower(email))
	known := err == nil
	if errors.Is(err, ErrUnknown) {
		u.Hash = d.decoy
	} else if err != nil {
		return connector.Identity{}, false, err
	}
	match, err := d.compare(ctx, u.Hash, password)
	if err != nil || !match || !known {
		return connector.Identity{}, false, err
	}
	return u.identity(), true, nil
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

// maxCost is the highest bcrypt cost of a user in the storage, the same as the configuration allows: each login beyond
// it would take a core for longer than anybody waits, and a hash that has begun can't be stopped.
const maxCost = 16

// networkBits is how much of an IPv6 address tells who waits for a hash: the largest network that a subscriber gets.
const networkBits = 48

// compare checks a password, waiting its turn.
func (d *Database) compare(ctx context.Context, hash []byte, password string) (bool, error) {
	if cost, err := bcrypt.Cost(hash); err == nil && cost > maxCost {
		return false, fmt.Errorf("compare password: the hash has the bcrypt cost %d, allowed is up to %d", cost, maxCost)
	}
	done, err := d.hashing.take(ctx, telemetry.Network(telemetry.ClientAddress(ctx), networkBits))
	if err != nil {
		return false, err
	}
	defer done()
	err = bcrypt.CompareHashAndPassword(hash, []byte(password))
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("compare password: %w", err)
	}
	return true, nil
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
