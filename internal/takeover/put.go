package takeover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"dex/internal/client"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/store"
)

func (r *run) putClient(ctx context.Context, i Item[client.Document]) error {
	i.Value.Secret = client.HashSecret(i.Value.Secret)
	_, err := create(ctx, store.In(r.Store, client.Kind), i.Value.ID, i.Value)
	return err
}

func (r *run) putConnector(ctx context.Context, i Item[federation.Document]) error {
	_, err := create(ctx, store.In(r.Store, federation.Kind), i.Value.ID, i.Value)
	return err
}

// putPassword stores a user, unless there is one whose address differs only in case.
func (r *run) putPassword(ctx context.Context, i Item[local.Document]) error {
	table := store.In(r.Store, local.Kind)
	key := local.Key(i.Value.Email)
	created, err := create(ctx, table, key, i.Value)
	if err != nil || created {
		return err
	}
	there, err := table.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("compare with the user that is there: %w", err)
	}
	if there.Value.Email != i.Value.Email {
		return unusablef("there is a user already whose e-mail address differs only in case, %q", there.Value.Email)
	}
	return nil
}

func (r *run) putOfflineSession(ctx context.Context, i Item[OfflineSession]) error {
	if i.Value.ConnectorID == "" {
		return unusablef("it names no connector")
	}
	if err := checkSize(i.Value); err != nil {
		return err
	}
	return r.Offline.Adopt(ctx, i.Value.UserID, i.Value.ConnectorID, i.Value.Data)
}

func (r *run) putRefreshToken(ctx context.Context, i Item[RefreshToken]) error {
	t := i.Value
	if err := checkKey(t.ID); err != nil {
		return err
	}
	if err := checkSize(t); err != nil {
		return err
	}
	if err := r.Offline.Adopt(ctx, t.Identity.UserID, t.ConnectorID, t.Data); err != nil {
		return err
	}
	return r.Families.Adopt(ctx, t.Legacy)
}

// create stores a document unless there is one already, and reports whether it did.
func create[T any](ctx context.Context, table *store.Table[T], key string, v T) (bool, error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	if err := checkSize(v); err != nil {
		return false, err
	}
	_, err := table.Create(ctx, key, v)
	if errors.Is(err, store.ErrExists) {
		return false, nil
	}
	return err == nil, err
}

// checkSize reports whether something is too large for a record, which must not end the import of all the others.
func checkSize(v any) error {
	const largest = store.MaxData - 4<<10 // as the record has members of its own
	document, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if len(document) > largest {
		return unusablef("it has %d bytes, allowed are %d", len(document), largest)
	}
	return nil
}
