package grpcdoor

import (
	"cmp"
	"context"

	"dex/internal/admin"
	"dex/internal/admin/api"
	"dex/internal/admin/api/dexv1"
	"dex/internal/client"
	"dex/internal/connector/local"
	"dex/internal/federation"
)

// usualPage is how many records a page has if the caller doesn't say.
const usualPage = 100

// own serves our own methods.
type own struct{ dexv1.UnimplementedAdminServer }

// ListClients returns a page of clients.
func (*own) ListClients(ctx context.Context, req *dexv1.ListRequest) (*dexv1.ListClientsResponse, error) {
	clients, next, err := page(ctx, req, roomOf(ctx).Service.Clients.List, func(c *client.Client) *api.ClientInfo {
		return infoOfClient(c)
	})
	return &dexv1.ListClientsResponse{Clients: clients, NextPageToken: next}, err
}

// ListUsers returns a page of users.
func (*own) ListUsers(ctx context.Context, req *dexv1.ListRequest) (*dexv1.ListUsersResponse, error) {
	users, next, err := page(ctx, req, roomOf(ctx).Service.Users.List, func(u *local.User) *api.Password { return messageOfUser(u) })
	return &dexv1.ListUsersResponse{Users: users, NextPageToken: next}, err
}

// ListConnectors returns a page of connectors, without their secrets.
func (*own) ListConnectors(ctx context.Context, req *dexv1.ListRequest) (*dexv1.ListConnectorsResponse, error) {
	found, next, err := page(ctx, req, roomOf(ctx).Service.Connectors.List, func(d *federation.Definition) *api.Connector {
		return messageOfConnector(d)
	})
	return &dexv1.ListConnectorsResponse{Connectors: found, NextPageToken: next}, err
}

func page[T, M any](
	ctx context.Context, req *dexv1.ListRequest, list func(context.Context, string, int) ([]admin.Record[T], string, error),
	message func(*T) M,
) (messages []M, next string, err error) {
	if req.GetPageSize() < 0 {
		return nil, "", invalidf("page_size must not be negative")
	}
	records, next, err := list(ctx, req.GetPageToken(), cmp.Or(int(req.GetPageSize()), usualPage))
	for i := range records {
		messages = append(messages, message(&records[i].Value))
	}
	return messages, next, err
}

// RotateClientSecret gives a client a new secret.
func (*own) RotateClientSecret(
	ctx context.Context, req *dexv1.RotateClientSecretRequest,
) (*dexv1.RotateClientSecretResponse, error) {
	secret, _, err := roomOf(ctx).Service.Clients.RotateSecret(ctx, req.GetId(), "")
	if err != nil {
		return nil, err
	}
	return &dexv1.RotateClientSecretResponse{Secret: secret}, nil
}

// EndPreviousSecret ends a client's previous secret.
func (*own) EndPreviousSecret(
	ctx context.Context, req *dexv1.EndPreviousSecretRequest,
) (*dexv1.EndPreviousSecretResponse, error) {
	_, err := roomOf(ctx).Service.Clients.EndPreviousSecret(ctx, req.GetId(), "")
	return &dexv1.EndPreviousSecretResponse{}, err
}
