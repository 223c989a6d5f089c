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

func (r *run) putClient(ctx context.Context, i Item[client.Client]) error {
	i.Value.Secret = client.HashSecret(i.Value.Secret)
	_, err := create(ctx, store.In(r.Store, client.Kind), i.Value.ID, i.Value)
	return err
}

func (r *run) putConnector(ctx context.Context, i Item[federation.Definition]) error {
	_, err := create(ctx, store.In(r.Store, federation.Kind), i.Value.ID, i.Value)
	return err
}

// putPassword stores a user, unless there is one whose address differs only in case.
func (r *run) putPassword(ctx context.Context, i Item[local.User]) error {
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

func (r *run) offlineRecords(i Item[OfflineSession]) ([]store.Record, error) {
	if i.Value.ConnectorID == "" {
		return nil, unusablef("it names no connector")
	}
	return usable(r.Offline.Adopted(i.Value.UserID, i.Value.ConnectorID, i.Value.Data))
}

func (r *run) refreshRecords(i Item[RefreshToken]) ([]store.Record, error) {
	t := i.Value
	if err := checkKey(t.ID); err != nil {
		return nil, err
	}
	data, err := usable(r.Offline.Adopted(t.Identity.UserID, t.ConnectorID, t.Data))
	if err != nil {
		return nil, err
	}
	families, err := usable(r.Families.Adopted(t.Legacy))
	return append(data, families...), err
}

// usable reports records that are too large, which must not end the import of all the others.
func usable(records []store.Record, err error) ([]store.Record, error) {
	for _, r := range records {
		if len(r.Data) > largest {
			return nil, unusablef("it has %d bytes, allowed are %d", len(r.Data), largest)
		}
	}
	return records, err
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

// largest is how large a document may be, in bytes, before it is sealed.
const largest = store.MaxData - 4<<10

// checkSize reports whether something is too large for a record, which must not end the import of all the others.
func checkSize(v any) error {
	document, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if len(document) > largest {
		return unusablef("it has %d bytes, allowed are %d", len(document), largest)
	}
	return nil
}
