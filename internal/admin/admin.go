// Package admin is what those who run Dex may do while it runs. Each method checks the caller's roles, validates, writes through
// the room that owns the records, and emits an event. Packages below this one are the doors to it.
package admin

import (
	"context"
	"errors"

	"dex/internal/client"
	"dex/internal/connector/local"
	"dex/internal/event"
	"dex/internal/explain"
	"dex/internal/factor"
	"dex/internal/federation"
	"dex/internal/id"
	"dex/internal/identity"
	"dex/internal/refresh"
	"dex/internal/session"
	"dex/internal/store"
	"dex/internal/token"
)

// Config is what the methods need.
type Config struct {
	Version    string // of the program
	Clients    *store.Layered[client.Client]
	Users      *store.Layered[local.User]
	Connectors *store.Layered[federation.Definition]

	Families    *refresh.Families
	Offline     *refresh.OfflineSessions
	Revocations *token.Revocations
	Identities  *identity.Identities

	// Sessions, Factors and SignOut are nil where sessions are off: then there are none.
	Sessions *session.Sessions
	Factors  *factor.Factors
	SignOut  SignOut

	// CheckPassword checks a user's password, at most as often as at a login.
	CheckPassword func(ctx context.Context, email, password string) (bool, error)
	// HashPassword returns the hash of a new password, when its turn comes. The error is a *local.LengthError, or another one.
	HashPassword func(ctx context.Context, password string) (local.Hash, error)
	// Invite makes an invitation for a user, or sends it by mail.
	Invite func(ctx context.Context, email string, byMail bool) (Invitation, error)
	// Metadata returns the discovery document.
	Metadata func() ([]byte, error)
	Events   event.Sink

	// Explainer says what the policy decides.
	Explainer *explain.Explainer

	Keys          Keys
	Tokens        *Tokens
	Configuration Configuration
}

// A Service is what one configuration has to administer. It is safe for concurrent use.
type Service struct {
	Clients    *Clients
	Users      *Users
	Connectors *Connectors
	Tokens     *Tokens
	cfg        Config
}

// New returns the methods.
func New(cfg Config) *Service {
	return &Service{
		cfg:        cfg,
		Tokens:     cfg.Tokens,
		Clients:    &Clients{Records[client.Client]{clientKind, cfg.Clients, cfg.Events}},
		Users:      &Users{Records[local.User]{userKind, cfg.Users, cfg.Events}, cfg.CheckPassword, cfg.HashPassword, cfg.Invite},
		Connectors: &Connectors{Records[federation.Definition]{connectorKind, cfg.Connectors, cfg.Events}},
	}
}

// Version returns the program's version.
func (s *Service) Version(ctx context.Context) (string, error) {
	return s.cfg.Version, allow(ctx, ServerVersion)
}

// Discovery returns the discovery document.
func (s *Service) Discovery(ctx context.Context) ([]byte, error) {
	if err := allow(ctx, ServerDiscovery); err != nil {
		return nil, err
	}
	return s.cfg.Metadata()
}

// Clients are the registered applications.
type Clients struct{ Records[client.Client] }

var clientKind = &kind[client.Client]{
	name: "client", list: ClientsList, get: ClientsGet, reveal: ClientsReveal,
	create: ClientsCreate, update: ClientsUpdate, destroy: ClientsDelete,
	id:  func(c *client.Client) string { return c.ID },
	key: func(id string) string { return id },
	conceal: func(c *client.Client) {
		c.Secret, c.PreviousSecret = "", ""
	},
	keep: func(before, c *client.Client) {
		if c.Secret == "" || client.IsSecret(before.Secret, c.Secret) {
			c.Secret = before.Secret
		}
		if c.PreviousSecret == "" && c.Secret == before.Secret || client.IsSecret(before.PreviousSecret, c.PreviousSecret) {
			c.PreviousSecret = before.PreviousSecret
		}
	},
}

// Create stores a new client, and makes an id, and a secret unless the client is public, where they are empty. What it returns has the
// secret, which nobody can read again later.
func (c *Clients) Create(ctx context.Context, v client.Client) (Record[client.Client], error) {
	if v.ID == "" {
		v.ID = id.New()
	}
	if v.Secret == "" && !v.Public {
		v.Secret = id.NewSecret()
	}
	created, err := c.Records.Create(ctx, v)
	if err == nil && !isDryRun(ctx) { // nobody may be given a secret that isn't stored
		created.Value.Secret, created.Value.PreviousSecret = v.Secret, v.PreviousSecret
	}
	return created, err
}

// Put is Records.Put. It makes a secret for a new client as Create does; what it returns has that secret then, and no other.
func (c *Clients) Put(ctx context.Context, v client.Client, revision string) (Record[client.Client], bool, error) {
	if _, err := c.Get(ctx, v.ID); err != nil && ReasonOf(err) == NotFound && revision == "" {
		created, err := c.Create(ctx, v)
		if err == nil || ReasonOf(err) != Exists {
			return created, err == nil, err
		}
	}
	return c.Records.Put(ctx, v, revision)
}

// RotateSecret gives a client a new secret and returns it; none in a dry run. The one before is accepted too, until the next rotation or until
// EndPreviousSecret.
func (c *Clients) RotateSecret(ctx context.Context, clientID, revision string) (string, Record[client.Client], error) {
	if err := allow(ctx, ClientsRotateSecret); err != nil {
		return "", Record[client.Client]{}, err
	}
	secret := id.NewSecret()
	record, err := c.alter(ctx, clientID, revision, event.SecretRotated, func(v *client.Client) error {
		v.PreviousSecret, v.Secret = v.Secret, secret
		return nil
	})
	if err != nil || isDryRun(ctx) {
		return "", record, err
	}
	return secret, record, nil
}

// EndPreviousSecret has only the current secret of a client accepted from now on.
func (c *Clients) EndPreviousSecret(ctx context.Context, clientID, revision string) (Record[client.Client], error) {
	if err := allow(ctx, ClientsRotateSecret); err != nil {
		return Record[client.Client]{}, err
	}
	return c.alter(ctx, clientID, revision, event.SecretRotated, func(v *client.Client) error {
		if v.PreviousSecret == "" {
			return store.ErrUnchanged
		}
		v.PreviousSecret = ""
		return nil
	})
}

// Users are the password database.
type Users struct {
	Records[local.User]
	checkPassword func(ctx context.Context, email, password string) (bool, error)
	hashPassword  func(ctx context.Context, password string) (local.Hash, error)
	invite        func(ctx context.Context, email string, byMail bool) (Invitation, error)
}

// Hash returns the hash of a new password.
func (u *Users) Hash(ctx context.Context, password string) (local.Hash, error) {
	if err := allow(ctx, UsersUpdate); err != nil {
		return nil, err
	}
	hash, err := u.hashPassword(ctx, password)
	if length, ok := errors.AsType[*local.LengthError](err); ok {
		return nil, invalid("password", length.Error())
	}
	return hash, refusal(err, "the password")
}

// SetPassword gives a user a new password. If revision isn't empty the user must still have it.
func (u *Users) SetPassword(ctx context.Context, email, revision, password string) (Record[local.User], error) {
	hash, err := u.Hash(ctx, password)
	if err != nil {
		return Record[local.User]{}, err
	}
	return u.Update(ctx, email, revision, func(v *local.User) error {
		v.Hash = hash
		return nil
	})
}

var userKind = &kind[local.User]{
	name: "user", list: UsersList, get: UsersGet, create: UsersCreate, update: UsersUpdate, destroy: UsersDelete,
	id:      func(u *local.User) string { return u.Email },
	key:     local.Key,
	conceal: func(u *local.User) { u.Hash = nil },
	keep: func(before, u *local.User) {
		if len(u.Hash) == 0 {
			u.Hash = before.Hash
		}
	},
}

// VerifyPassword reports whether a user has a password. The error for no such user is NotFound, and Exhausted if there were too many
// wrong ones.
func (u *Users) VerifyPassword(ctx context.Context, email, password string) (bool, error) {
	if err := allow(ctx, UsersVerifyPassword); err != nil {
		return false, err
	}
	if _, err := u.find(ctx, email, u.kind.conceal); err != nil {
		return false, err
	}
	ok, err := u.checkPassword(ctx, email, password)
	return ok, refusal(err, u.thing(email))
}

// Connectors are the identity sources.
type Connectors struct{ Records[federation.Definition] }

var connectorKind = &kind[federation.Definition]{
	name: "connector", list: ConnectorsList, get: ConnectorsGet, reveal: ConnectorsReveal,
	create: ConnectorsCreate, update: ConnectorsUpdate, destroy: ConnectorsDelete,
	id:      func(d *federation.Definition) string { return d.ID },
	key:     func(id string) string { return id },
	conceal: func(d *federation.Definition) { d.Settings = federation.WithoutSecrets(d.Settings) },
	keep: func(before, d *federation.Definition) {
		if before.Type == d.Type {
			d.Settings = federation.KeepSecrets(before.Settings, d.Settings)
		}
	},
}
