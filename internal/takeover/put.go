package takeover

import (
	"context"
	"fmt"

	"dex/internal/client"
	"dex/internal/connector/local"
	"dex/internal/federation"
	"dex/internal/store"
)

// owners are the catalogs of the rooms that own what is imported. They don't log what isn't valid; the server does when it
// reads it.
type owners struct {
	clients    *store.Catalog[client.Client]
	connectors *store.Catalog[federation.Definition]
	users      *store.Catalog[local.User]
}

func newOwners(s store.Store) owners {
	return owners{
		clients: client.NewCatalog(s, nil), connectors: federation.NewCatalog(s, nil), users: local.NewCatalog(s, nil),
	}
}

func (r *run) putClient(ctx context.Context, i Item[client.Client]) error {
	_, err := r.owners.clients.Adopt(ctx, i.Value)
	return err
}

func (r *run) putConnector(ctx context.Context, i Item[federation.Definition]) error {
	_, err := r.owners.connectors.Adopt(ctx, i.Value)
	return err
}

// putPassword stores a user, unless there is one whose address differs only in case.
func (r *run) putPassword(ctx context.Context, i Item[local.User]) error {
	created, err := r.owners.users.Adopt(ctx, i.Value)
	if err != nil || created {
		return err
	}
	there, err := r.owners.users.Get(ctx, local.Key(i.Value.Email))
	if err != nil {
		return fmt.Errorf("compare with the user that is there: %w", err)
	}
	if there.Value.Email != i.Value.Email {
		return unusablef("there is a user already whose e-mail address differs only in case, %q", there.Value.Email)
	}
	return nil
}

func (r *run) offlineRecords(_ context.Context, i Item[OfflineSession]) ([]store.Record, error) {
	if i.Value.ConnectorID == "" {
		return nil, unusablef("it names no connector")
	}
	r.origins.add(i.Value.Origins)
	return usable(r.Offline.Adopted(i.Value.UserID, i.Value.ConnectorID, i.Value.Data))
}

func (r *run) refreshRecords(_ context.Context, i Item[RefreshToken]) ([]store.Record, error) {
	t := i.Value
	if err := checkKey(t.ID); err != nil {
		return nil, err
	}
	data, err := usable(r.Offline.Adopted(t.Identity.UserID, t.ConnectorID, t.Data))
	if err != nil {
		return nil, err
	}
	t.SessionID = r.origins.get(t.ID)
	families, err := usable(r.Families.Adopted(t.Legacy))
	return append(data, families...), err
}

// usable leaves out records that are too large, so that the import goes on.
func usable(records []store.Record, err error) ([]store.Record, error) {
	for _, r := range records {
		if len(r.Data) > store.MaxDocument {
			return nil, unusablef("it has %d bytes; it must have at most %d", len(r.Data), store.MaxDocument)
		}
	}
	return records, err
}
