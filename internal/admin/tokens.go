package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dex/internal/event"
	"dex/internal/id"
	"dex/internal/store"
)

// tokenPrefix begins an admin token, so that scanners for secrets find it: dexadmin_<id>_<secret>.
const tokenPrefix = "dexadmin_"

// maxTokenLife bounds how long an admin token is good for: whoever has a use for a longer one has forgotten it.
const maxTokenLife = 5 * 365 * 24 * time.Hour

// adminToken is the record of a token. It holds nothing that the token could be made from.
type adminToken struct {
	Name    string    `json:"name"`
	Roles   []Role    `json:"roles"`
	Hash    []byte    `json:"hash"` // of the secret
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

var tokenKind = store.Declare(store.Declaration[adminToken]{
	Name: "admintoken", Durable: true,
	Expires: func(t *adminToken) time.Time { return t.Expires },
})

// AdminToken is a token that was made, without the token itself.
type AdminToken struct {
	ID      string
	Name    string
	Roles   []Role
	Created time.Time
	Expires time.Time
}

// Tokens are the admin tokens of a storage.
type Tokens struct {
	table  *store.Table[adminToken]
	events event.Sink
	now    func() time.Time
}

// NewTokens returns the admin tokens of a storage.
func NewTokens(s store.Store, events event.Sink, now func() time.Time) *Tokens {
	return &Tokens{table: store.In(s, tokenKind), events: events, now: now}
}

// Create makes a token and returns it: nobody can read it again later.
func (t *Tokens) Create(ctx context.Context, name string, roles []Role, lifetime time.Duration) (string, AdminToken, error) {
	if err := allow(ctx, TokensCreate); err != nil {
		return "", AdminToken{}, err
	}
	if err := checkToken(name, roles, lifetime); err != nil {
		return "", AdminToken{}, err
	}
	key, secret, now := id.New(), id.NewSecret(), t.now()
	record := adminToken{Name: name, Roles: roles, Hash: id.Hash(secret), Created: now, Expires: now.Add(lifetime)}
	if isDryRun(ctx) {
		return "", shownToken(key, &record), nil
	}
	if _, err := t.table.Create(ctx, key, record); err != nil {
		return "", AdminToken{}, refusal(err, "admin token")
	}
	t.events.Emit(ctx, event.Changed{By: CallerOf(ctx).Name, How: event.Created, Kind: "admin token", ID: key})
	return tokenPrefix + key + "_" + secret, shownToken(key, &record), nil
}

func checkToken(name string, roles []Role, lifetime time.Duration) error {
	switch {
	case name == "" || len(name) > 200:
		return invalid("name", "must have 1 to 200 characters: it is what the log calls the caller")
	case len(roles) == 0:
		return invalid("roles", "must have at least one of "+quoted(Roles))
	case lifetime <= 0 || lifetime > maxTokenLife:
		return invalid("expires", "must be more than 0 and at most five years, such as 720h")
	}
	for _, r := range roles {
		if !slices.Contains(Roles, r) {
			return invalid("roles", fmt.Sprintf("%q is not one of %s", r, quoted(Roles)))
		}
	}
	return nil
}

// invalid returns the error for one member that is not valid.
func invalid(member, message string) *Error {
	return &Error{Reason: Invalid, Message: member + ": " + message, Members: []Member{{member, message}}}
}

// List returns all tokens that have not expired.
func (t *Tokens) List(ctx context.Context) ([]AdminToken, error) {
	if err := allow(ctx, TokensList); err != nil {
		return nil, err
	}
	entries, err := t.table.All(ctx)
	if err != nil {
		return nil, refusal(err, "admin tokens")
	}
	all := make([]AdminToken, 0, len(entries))
	for i := range entries {
		all = append(all, shownToken(entries[i].Key, &entries[i].Value))
	}
	return all, nil
}

func shownToken(key string, t *adminToken) AdminToken {
	return AdminToken{ID: key, Name: t.Name, Roles: t.Roles, Created: t.Created, Expires: t.Expires}
}

// Delete has a token refused from now on.
func (t *Tokens) Delete(ctx context.Context, tokenID string) error {
	if err := allow(ctx, TokensDelete); err != nil {
		return err
	}
	thing := fmt.Sprintf("admin token %q", shortened(tokenID))
	if tokenID == "" || len(tokenID) > store.MaxKey {
		return refusal(store.ErrNotFound, thing)
	}
	if isDryRun(ctx) {
		_, err := t.table.Get(store.Latest(ctx), tokenID)
		return refusal(err, thing)
	}
	if err := t.table.Delete(ctx, tokenID, ""); err != nil {
		return refusal(err, thing)
	}
	t.events.Emit(ctx, event.Changed{By: CallerOf(ctx).Name, How: event.Deleted, Kind: "admin token", ID: tokenID})
	return nil
}

// errBadToken is what a caller is told of every token that isn't accepted.
var errBadToken = &Error{Reason: Unauthenticated, Message: "the bearer token is not valid, has expired, or was revoked"}

// caller returns whose token a text is.
func (t *Tokens) caller(ctx context.Context, text string) (Caller, error) {
	key, secret, ok := strings.Cut(strings.TrimPrefix(text, tokenPrefix), "_")
	if !ok || key == "" || len(key) > store.MaxKey {
		return Caller{}, errBadToken
	}
	e, err := t.table.Get(store.Latest(ctx), key)
	if errors.Is(err, store.ErrNotFound) {
		return Caller{}, errBadToken
	}
	if err != nil {
		return Caller{}, refusal(err, "admin token")
	}
	if !id.IsHashOf(e.Value.Hash, secret) || !t.now().Before(e.Value.Expires) {
		return Caller{}, errBadToken
	}
	return Caller{Name: e.Value.Name, Roles: e.Value.Roles}, nil
}
