// Package identity is the users that have signed in: who they are, what they have let applications do, and whether they may sign in
// at all. While browser sessions are off it only knows when all ended that a user of our own password database had.
package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"dex/internal/connector"
	"dex/internal/oauth"
	"dex/internal/store"
	"dex/internal/token"
)

// maxConsents bounds the applications whose consent is remembered for a user; the oldest are forgotten.
const maxConsents = 500

// An Identity is a user of a connector.
type Identity struct {
	UserID      string             `json:"userID"`
	ConnectorID string             `json:"connectorID"`
	Claims      connector.Identity `json:"claims"` // as of the last login, without what belongs to the connector
	Created     time.Time          `json:"created"`
	LastLogin   time.Time          `json:"lastLogin"`
	// BlockedUntil is until when the user may not sign in, nor go on; zero for users who may.
	BlockedUntil time.Time `json:"blockedUntil,omitzero"`
	// Epoch counts how often all that the user had was ended, as by a reset of their password. Sessions, codes and refresh tokens are
	// worthless in any epoch but the one in which their login was.
	Epoch int64 `json:"epoch,omitempty"`

	Consents map[string]Consent `json:"consents,omitempty"` // by client

	UpstreamFactors UpstreamFactors `json:"upstreamFactors,omitzero"`
}

// A Consent is what a user has let an application have.
type Consent struct {
	Scopes []string  `json:"scopes"`
	Given  time.Time `json:"given"`
}

// An Entry is a user with their key.
type Entry = store.Entry[Identity]

// Kind is the kind of the users.
var Kind = store.Declare(store.Declaration[Identity]{Name: "identity", Durable: true, Quiet: true})

// Identities are the users. It is safe for concurrent use.
type Identities struct {
	table *store.Table[Identity]
	now   func() time.Time
	// remember is how long a consent counts; 0 means for ever, less that none does.
	remember time.Duration
	only     string // the connector whose users are held to their epochs; empty for all
}

// New returns the users in a storage. Remember is for how long a consent counts: 0 means for ever, less than 0 that none does.
func New(s store.Store, remember time.Duration, now func() time.Time) *Identities {
	return &Identities{table: store.In(s, Kind), remember: remember, now: now}
}

// Only returns the same users, of whom those of one connector are held to what Standing says.
func (i *Identities) Only(connectorID string) *Identities {
	only := *i
	only.only = connectorID
	return &only
}

// Standing is Get for whoever decides whether a user may go on. Of users who aren't held to it nothing is read.
func (i *Identities) Standing(ctx context.Context, userID, connectorID string) (Entry, error) {
	if !i.holds(connectorID) {
		return Entry{Value: Identity{UserID: userID, ConnectorID: connectorID}}, nil
	}
	return i.Get(store.Latest(ctx), userID, connectorID)
}

// EpochOf returns the epoch of the user of a connector with a key.
func (i *Identities) EpochOf(ctx context.Context, key, connectorID string) (int64, error) {
	if !i.holds(connectorID) {
		return 0, nil
	}
	e, err := i.table.Get(store.Latest(ctx), key)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return e.Value.Epoch, err
}

func (i *Identities) holds(connectorID string) bool { return i.only == "" || i.only == connectorID }

// Table returns the records, for whoever lists them.
func (i *Identities) Table() *store.Table[Identity] { return i.table }

// Key returns the key of a user's record.
func Key(userID, connectorID string) string { return token.SubjectKey(userID, connectorID) }

// Get returns a user. One who has not signed in yet has a record without key and revision.
func (i *Identities) Get(ctx context.Context, userID, connectorID string) (Entry, error) {
	e, err := i.table.Get(ctx, Key(userID, connectorID))
	if errors.Is(err, store.ErrNotFound) {
		return Entry{Value: Identity{UserID: userID, ConnectorID: connectorID}}, nil
	}
	return e, err
}

// IsBlocked reports whether the user may not sign in at a time.
func (v *Identity) IsBlocked(at time.Time) bool { return at.Before(v.BlockedUntil) }

// Why a user may not go on.
var (
	ErrBlocked = errors.New("the user's account is blocked")
	ErrEnded   = errors.New("all that the user had before has ended")
)

// Check returns why the user may not go on, at a time, with what a login in an epoch gave: ErrBlocked, ErrEnded, or nil.
func (v *Identity) Check(at time.Time, epoch int64) error {
	switch {
	case v.IsBlocked(at):
		return ErrBlocked
	case epoch != v.Epoch:
		return ErrEnded
	}
	return nil
}

// EndAll makes worthless all that a user was given before, also what nobody finds: codes that have not been redeemed yet, and sessions
// that begin at this moment. It returns the epoch of whatever is to go on. The user need not have signed in before.
func (i *Identities) EndAll(ctx context.Context, userID, connectorID string) (epoch int64, err error) {
	if !i.holds(connectorID) {
		return 0, nil
	}
	e, _, err := i.change(ctx, userID, connectorID, func(v *Identity) error {
		v.Epoch++
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("end all that a user has: %w", err)
	}
	return e.Value.Epoch, nil
}

// change changes a user, and reports whether there was a record. One without a record has one from now on.
func (i *Identities) change(
	ctx context.Context, userID, connectorID string, how func(*Identity) error,
) (e Entry, known bool, err error) {
	key := Key(userID, connectorID)
	for {
		e, err = i.table.Update(ctx, key, how)
		if !errors.Is(err, store.ErrNotFound) {
			return e, err == nil, err
		}
		stranger := Identity{UserID: userID, ConnectorID: connectorID, Created: i.now()}
		if err = how(&stranger); err != nil {
			return Entry{}, false, err
		}
		if e, err = i.table.Create(ctx, key, stranger); !errors.Is(err, store.ErrExists) {
			return e, false, err
		}
	}
}

// Blocked reports whether a user may not sign in, nor go on, now.
func (i *Identities) Blocked(ctx context.Context, userID, connectorID string) (bool, error) {
	e, err := i.Get(ctx, userID, connectorID)
	return err == nil && e.Value.IsBlocked(i.now()), err
}

// Allows reports whether a user has already let an application have all of the scopes. A request for openid alone asks for nothing
// that a user who is known here would have to agree to.
func (i *Identities) Allows(v *Identity, clientID string, scopes []string) bool {
	if i.remember < 0 {
		return false
	}
	given := i.Given(v, clientID)
	for _, scope := range scopes {
		if scope != oauth.ScopeOpenID && !slices.Contains(given, scope) {
			return false
		}
	}
	return true
}

// Given returns the scopes that a user has let an application have, unless that is too long ago.
func (i *Identities) Given(v *Identity, clientID string) []string {
	c := v.Consents[clientID]
	if i.remember < 0 || i.remember > 0 && i.now().Sub(c.Given) > i.remember {
		return nil
	}
	return c.Scopes
}

// A Login is what a login says of its user.
type Login struct {
	Claims      connector.Identity
	ConnectorID string
	Proved      bool // the user has just proved who they are
	ClientID    string
	Consented   []string // the scopes that the user has just agreed to; nil if nobody asked
}

// Note keeps what a login says of its user, if that is anything new.
func (i *Identities) Note(ctx context.Context, l Login) error {
	if !l.Proved && (l.Consented == nil || i.remember < 0) {
		return nil
	}
	key := Key(l.Claims.UserID, l.ConnectorID)
	for {
		_, err := i.table.Update(ctx, key, func(v *Identity) error {
			i.apply(v, l)
			return nil
		})
		if !errors.Is(err, store.ErrNotFound) {
			return wrapped(err)
		}
		first := Identity{UserID: l.Claims.UserID, ConnectorID: l.ConnectorID, Created: i.now()}
		i.apply(&first, l)
		if _, err = i.table.Create(ctx, key, first); !errors.Is(err, store.ErrExists) {
			return wrapped(err)
		}
	}
}

func wrapped(err error) error {
	if err != nil {
		return fmt.Errorf("keep what is known of a user: %w", err)
	}
	return nil
}

func (i *Identities) apply(v *Identity, l Login) {
	if l.Proved || v.Claims.UserID == "" {
		v.Claims = l.Claims
		v.Claims.Data, v.Claims.Session, v.Claims.Methods, v.Claims.AuthTime = nil, connector.SourceSession{}, nil, time.Time{}
	}
	if l.Proved {
		v.LastLogin = i.now()
	}
	if l.Consented == nil || i.remember < 0 {
		return
	}
	consents := make(map[string]Consent, len(v.Consents)+1)
	for clientID, c := range v.Consents {
		consents[clientID] = c
	}
	before, given := i.Given(v, l.ClientID), i.now()
	scopes := slices.Concat(before, l.Consented)
	slices.Sort(scopes)
	if slices.ContainsFunc(before, func(scope string) bool { return !slices.Contains(l.Consented, scope) }) {
		given = v.Consents[l.ClientID].Given // nobody has agreed once more to what was given before
	}
	consents[l.ClientID] = Consent{Scopes: slices.Compact(scopes), Given: given}
	if len(consents) > maxConsents {
		delete(consents, oldest(consents))
	}
	v.Consents = consents
}

// oldest returns the application whose consent is the oldest.
func oldest(consents map[string]Consent) string {
	found := ""
	for clientID, c := range consents {
		if found == "" || c.Given.Before(consents[found].Given) {
			found = clientID
		}
	}
	return found
}

// Withdraw takes back what a user has let an application have. The error is store.ErrNotFound if that is nothing.
func (i *Identities) Withdraw(ctx context.Context, userID, connectorID, clientID string) error {
	_, err := i.table.Update(ctx, Key(userID, connectorID), func(v *Identity) error {
		if _, given := v.Consents[clientID]; !given {
			return store.ErrNotFound
		}
		consents := make(map[string]Consent, len(v.Consents))
		for id, c := range v.Consents {
			if id != clientID {
				consents[id] = c
			}
		}
		v.Consents = consents
		return nil
	})
	return err
}

// Forever is until when users are blocked for good.
var Forever = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

// Block keeps a user from signing in until a time, and reports whether the user was known. One who wasn't has a record from now on.
func (i *Identities) Block(ctx context.Context, userID, connectorID string, until time.Time) (known bool, err error) {
	_, known, err = i.change(ctx, userID, connectorID, func(v *Identity) error {
		if v.BlockedUntil.Equal(until) {
			return store.ErrUnchanged
		}
		v.BlockedUntil = until
		return nil
	})
	return known, err
}

// Unblock lets a user sign in again, and reports whether they were blocked. The error is store.ErrNotFound if there is no such user.
func (i *Identities) Unblock(ctx context.Context, userID, connectorID string) (blocked bool, err error) {
	_, err = i.table.Update(ctx, Key(userID, connectorID), func(v *Identity) error {
		if blocked = !v.BlockedUntil.IsZero(); !blocked {
			return store.ErrUnchanged
		}
		v.BlockedUntil = time.Time{}
		return nil
	})
	return blocked && err == nil, err
}

// Delete forgets a user. The error is store.ErrNotFound if there is none.
func (i *Identities) Delete(ctx context.Context, userID, connectorID string) error {
	return i.table.Delete(ctx, Key(userID, connectorID), "")
}
