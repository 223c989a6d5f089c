package takeover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"dex/internal/federation"
	"dex/internal/identity"
	"dex/internal/session"
	"dex/internal/store"
)

// origins are the browser sessions in which refresh tokens were issued, by the token's id. The zero value is ready to use, from several goroutines.
type origins struct {
	mu sync.Mutex
	of map[string]string
}

func (o *origins) add(more map[string]string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = make(map[string]string)
	}
	maps.Copy(o.of, more)
}

func (o *origins) get(tokenID string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.of[tokenID]
}

// known reports whether there is any.
func (o *origins) known() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.of) > 0
}

// readOrigins reads what an import that was interrupted knew already.
func (r *run) readOrigins(ctx context.Context) error {
	return r.src.OfflineSessions(ctx, "", func(i Item[OfflineSession]) error {
		if i.Err == nil {
			r.origins.add(i.Value.Origins)
		}
		return nil
	})
}

func (r *run) identityRecords(_ context.Context, i Item[identity.Legacy]) ([]store.Record, error) {
	l := i.Value
	switch {
	case l.ConnectorID == "":
		return nil, unusablef("it names no connector")
	case l.Claims.UserID != l.UserID:
		return nil, unusablef("its claims are those of another user")
	}
	l.Factors.MFASecrets, l.Factors.WebAuthnCredentials = filled(l.Factors.MFASecrets), filled(l.Factors.WebAuthnCredentials)
	return usable(identity.Adopted(r.Store, l))
}

// filled returns a JSON object; nil for an empty one and for null.
func filled(object json.RawMessage) json.RawMessage {
	if text := string(object); text == "null" || text == "{}" {
		return nil
	}
	return object
}

// sessionRecords leaves out sessions whose user has no record, as upstream does not sign anybody in by them either. The user's record
// may be one of ours, which is newer than upstream's.
func (r *run) sessionRecords(ctx context.Context, i Item[session.Legacy]) ([]store.Record, error) {
	l := i.Value
	if l.HasEnded(time.Now()) {
		return nil, nil
	}
	if err := checkKey(l.ID); err != nil {
		return nil, err
	}
	if l.Secret == "" {
		return nil, unusablef("it has no secret")
	}
	user, err := store.In(r.Store, identity.Kind).Get(ctx, identity.Key(l.UserID, l.ConnectorID))
	if errors.Is(err, store.ErrNotFound) {
		return nil, unusablef("its user is not known")
	}
	if err != nil {
		return nil, err
	}
	data, err := r.Offline.Data(ctx, l.UserID, l.ConnectorID)
	if err != nil {
		return nil, fmt.Errorf("read what the connector keeps for its user: %w", err)
	}
	// Upstream doesn't say what a source was asked for, so that it counts as asked only for what it has given. Our own database always
	// gives everything.
	ownUser := l.ConnectorID == federation.LocalID
	l.Identity, l.LastLogin = user.Value.Claims, user.Value.LastLogin
	l.Offline, l.Groups = ownUser || len(data) > 0, ownUser || len(l.Identity.Groups) > 0
	return usable(session.Adopted(r.Store, l))
}
