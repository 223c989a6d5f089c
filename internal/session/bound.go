package session

import (
	"context"
	"errors"
	"fmt"

	"dex/internal/client"
	"dex/internal/store"
)

// Bound says which tokens live only as long as a session: those of clients whose refreshTokenLifetime is session.
type Bound struct {
	Clients  *client.Registry
	Sessions *Sessions // nil where sessions are off
}

// Holds reports whether a token of a client that names a session is good as far as that goes. One without a session is.
func (b *Bound) Holds(ctx context.Context, clientID, sessionID string) (bool, error) {
	_, holds, err := b.find(ctx, clientID, sessionID)
	return holds, err
}

// Use is Holds, and says that the session is in use.
func (b *Bound) Use(ctx context.Context, clientID, sessionID string) (bool, error) {
	e, holds, err := b.find(ctx, clientID, sessionID)
	if err != nil || !holds || e.Key == "" {
		return holds, err
	}
	return true, b.Sessions.Prolong(ctx, e)
}

// Exists reports whether a session has not ended. One that has merely grown too old, and is not yet removed, counts as existing, and so
// does every session while sessions are off.
func (b *Bound) Exists(ctx context.Context, sessionID string) (bool, error) {
	if b.Sessions == nil {
		return true, nil
	}
	_, err := b.Sessions.table.Get(store.Latest(ctx), sessionID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// find returns the session that a token lives as long as, if there is one, and whether the token is good.
func (b *Bound) find(ctx context.Context, clientID, sessionID string) (e Entry, holds bool, err error) {
	if sessionID == "" {
		return Entry{}, true, nil
	}
	c, err := b.Clients.Get(ctx, clientID)
	if errors.Is(err, client.ErrUnknown) {
		return Entry{}, true, nil // whoever asks judges that
	}
	if err != nil {
		return Entry{}, false, fmt.Errorf("read the client of a token: %w", err)
	}
	if !c.SessionBound() {
		return Entry{}, true, nil
	}
	if b.Sessions == nil {
		return Entry{}, false, nil
	}
	e, err = b.Sessions.Get(store.Latest(ctx), sessionID)
	if isGone(err) {
		return Entry{}, false, nil
	}
	return e, err == nil, err
}
