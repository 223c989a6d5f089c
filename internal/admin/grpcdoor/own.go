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
	size, err := sizeOf(req)
	if err != nil {
		return nil, "", err
	}
	records, next, err := list(ctx, req.GetPageToken(), size)
	for i := range records {
		messages = append(messages, message(&records[i].Value))
	}
	return messages, next, err
}

// sizeOf returns how many records a request wants.
func sizeOf(req interface{ GetPageSize() int32 }) (int, error) {
	if req.GetPageSize() < 0 {
		return 0, invalidf("page_size must not be negative")
	}
	return cmp.Or(int(req.GetPageSize()), usualPage), nil
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

// ListSessions returns a page of sessions.
func (*own) ListSessions(ctx context.Context, req *dexv1.ListSessionsRequest) (*dexv1.ListSessionsResponse, error) {
	size, err := sizeOf(req)
	if err != nil {
		return nil, err
	}
	found, next, err := roomOf(ctx).Service.Sessions(ctx, whoseOf(req.GetWhose()), req.GetPageToken(), size)
	if err != nil {
		return nil, err
	}
	resp := &dexv1.ListSessionsResponse{NextPageToken: next}
	for i := range found {
		resp.Sessions = append(resp.Sessions, messageOfSession(&found[i]))
	}
	return resp, nil
}

func whoseOf(w *dexv1.Whose) admin.Whose {
	return admin.Whose{UserID: w.GetUserId(), ConnectorID: w.GetConnectorId(), ClientID: w.GetClientId()}
}

// EndSessions ends sessions.
func (*own) EndSessions(ctx context.Context, req *dexv1.EndSessionsRequest) (*dexv1.EndSessionsResponse, error) {
	done, err := roomOf(ctx).Service.EndSessions(ctx, whoseOf(req.GetWhose()), req.GetLogins())
	return &dexv1.EndSessionsResponse{Sessions: int64(done.Sessions), Logins: int64(done.Logins)}, err
}

// ListIdentities returns a page of the users that have signed in.
func (*own) ListIdentities(ctx context.Context, req *dexv1.ListRequest) (*dexv1.ListIdentitiesResponse, error) {
	size, err := sizeOf(req)
	if err != nil {
		return nil, err
	}
	found, next, err := roomOf(ctx).Service.Identities(ctx, req.GetPageToken(), size)
	if err != nil {
		return nil, err
	}
	all, err := messagesOfIdentities(ctx, found)
	return &dexv1.ListIdentitiesResponse{Identities: all, NextPageToken: next}, err
}

// InviteUser invites a user of the password database.
func (*own) InviteUser(ctx context.Context, req *dexv1.InviteUserRequest) (*dexv1.InviteUserResponse, error) {
	made, err := roomOf(ctx).Service.Users.Invite(ctx, req.GetEmail(), req.GetByMail())
	if err != nil {
		return nil, err
	}
	return &dexv1.InviteUserResponse{Url: made.URL, Expires: unix(made.Expires)}, nil
}
