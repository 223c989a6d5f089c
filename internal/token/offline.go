package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"dex/internal/store"
)

// offline is the record of what a connector needs to refresh a user's identity, such as the refresh token of the source.
// There is one for each user of a connector, shared by all their families, because sources rotate their tokens too and
// know nothing of our families.
type offline struct {
	UserID        string `json:"userID"`
	ConnectorID   string `json:"connectorID"`
	ConnectorData []byte `json:"connectorData"`
}

// OfflineSessions keeps the connectors' data of signed-in users.
type OfflineSessions struct {
	table *store.Table[offline]
}

// NewOfflineSessions returns the connectors' data in a storage.
func NewOfflineSessions(s store.Store) *OfflineSessions {
	return &OfflineSessions{table: store.In(s, store.Kind[offline]{Name: "offline"})}
}

// data returns what the connector gave last; nil if nothing.
func (o *OfflineSessions) data(ctx context.Context, userID, connectorID string) ([]byte, error) {
	e, err := o.table.Get(ctx, subjectKey(userID, connectorID))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return e.Value.ConnectorData, err
}

// keep stores what the connector gave, unless it gave nothing or the same as before.
func (o *OfflineSessions) keep(ctx context.Context, userID, connectorID string, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	key := subjectKey(userID, connectorID)
	for {
		_, err := o.table.Update(ctx, key, func(stored *offline) error {
			if bytes.Equal(stored.ConnectorData, data) {
				return store.ErrUnchanged
			}
			stored.ConnectorData = data
			return nil
		})
		if errors.Is(err, store.ErrNotFound) {
			_, err = o.table.Create(ctx, key, offline{UserID: userID, ConnectorID: connectorID, ConnectorData: data})
		}
		switch {
		case errors.Is(err, store.ErrExists): // another login of the user was faster
			continue
		case err != nil:
			return fmt.Errorf("keep connector data: %w", err)
		}
		return nil
	}
}
