package refresh

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"dex/internal/store"
	"dex/internal/token"
)

// offline is the record of what a connector needs to refresh a user's identity, such as the refresh token of the source.
// There is one for each user of a connector, shared by all their families, because sources rotate their tokens too and
// know nothing of our families.
type offline struct {
	UserID        string    `json:"userID"`
	ConnectorID   string    `json:"connectorID"`
	ConnectorData []byte    `json:"connectorData"`
	Expires       time.Time `json:"expires,omitzero"`
	Lent          lent      `json:"lent,omitzero"` // while somebody asks the source with it
}

// OfflineSessions keeps the connectors' data of signed-in users.
type OfflineSessions struct {
	table *store.Table[offline]
	// needed is how long a login may go on without touching the data; 0 means for ever.
	needed time.Duration
	now    func() time.Time
}

var offlineKind = store.Declare(store.Declaration[offline]{
	Name: "offline", Durable: true, Quiet: true,
	Expires: func(o *offline) time.Time { return o.Expires },
})

// NewOfflineSessions returns the connectors' data in a storage. It outlives the refresh tokens, whose lifetimes are given.
func NewOfflineSessions(s store.Store, l Lifetimes, now func() time.Time) *OfflineSessions {
	return &OfflineSessions{table: store.In(s, offlineKind), needed: cmp.Or(l.ValidIfNotUsedFor, l.AbsoluteLifetime), now: now}
}

// Data returns what the connector gave last; nil if nothing.
func (o *OfflineSessions) Data(ctx context.Context, userID, connectorID string) ([]byte, error) {
	e, err := o.table.Get(ctx, token.SubjectKey(userID, connectorID))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err == nil && !o.lastsLongEnough(&e.Value) {
		e, err = o.table.UpdateEntry(ctx, e, func(stored *offline) error {
			o.prolong(stored)
			return nil
		})
	}
	return e.Value.ConnectorData, err
}

// Delete removes what the connector gave, if there is anything.
func (o *OfflineSessions) Delete(ctx context.Context, userID, connectorID string) error {
	err := o.table.Delete(ctx, token.SubjectKey(userID, connectorID), "")
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// lastsLongEnough reports whether the record outlives every login that uses it now.
func (o *OfflineSessions) lastsLongEnough(stored *offline) bool {
	if o.needed == 0 {
		return stored.Expires.IsZero()
	}
	return !stored.Expires.IsZero() && stored.Expires.After(o.now().Add(o.needed))
}

// prolong keeps the record for twice as long as it is needed, so that it isn't written at each refresh.
func (o *OfflineSessions) prolong(stored *offline) {
	stored.Expires = time.Time{}
	if o.needed > 0 {
		stored.Expires = o.now().Add(2 * o.needed)
	}
}

// Keep stores what the connector gave, unless it gave nothing or the same as before. Before it replaces other data it asks
// mayReplace, unless that is nil, and returns its error as it is.
func (o *OfflineSessions) Keep(
	ctx context.Context, userID, connectorID string, data []byte, mayReplace func(context.Context) error,
) error {
	return o.keep(ctx, userID, connectorID, data, Loan{}, mayReplace)
}

// KeepFrom stores what a source gave for a loan, and so ends the loan.
func (o *OfflineSessions) KeepFrom(ctx context.Context, userID, connectorID string, data []byte, from Loan) error {
	return o.keep(ctx, userID, connectorID, data, from, nil)
}

func (o *OfflineSessions) keep(
	ctx context.Context, userID, connectorID string, data []byte, from Loan, mayReplace func(context.Context) error,
) error {
	if len(data) == 0 {
		return nil
	}
	for {
		e, err := o.table.Get(ctx, token.SubjectKey(userID, connectorID))
		switch {
		case errors.Is(err, store.ErrNotFound):
			_, err = o.table.Create(ctx, token.SubjectKey(userID, connectorID), o.record(userID, connectorID, data))
		case err != nil:
		default:
			if mayReplace != nil && !bytes.Equal(e.Value.ConnectorData, data) {
				if err := mayReplace(ctx); err != nil {
					return err
				}
			}
			err = o.replace(ctx, e, data, from)
		}
		switch {
		case errors.Is(err, store.ErrExists), errors.Is(err, store.ErrNotFound): // it was stored, or removed, in between
			continue
		case err != nil:
			return fmt.Errorf("keep connector data: %w", err)
		}
		return nil
	}
}

// replace puts data into a record.
func (o *OfflineSessions) replace(ctx context.Context, e store.Entry[offline], data []byte, from Loan) error {
	_, err := o.table.UpdateEntry(ctx, e, func(stored *offline) error {
		if bytes.Equal(stored.ConnectorData, data) && o.lastsLongEnough(stored) {
			return store.ErrUnchanged
		}
		stored.ConnectorData = data
		if from.holder != "" && stored.Lent.Holder == from.holder {
			stored.Lent = lent{}
		}
		o.prolong(stored)
		return nil
	})
	return err
}

func (o *OfflineSessions) record(userID, connectorID string, data []byte) offline {
	r := offline{UserID: userID, ConnectorID: connectorID, ConnectorData: data}
	o.prolong(&r)
	return r
}
