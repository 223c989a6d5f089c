package grpcdoor

import (
	"context"
	"fmt"
	"slices"

	"dex/internal/admin"
	"dex/internal/admin/api"
	"dex/internal/client"
	"dex/internal/store"
)

// dex serves upstream's methods. The order of their checks, and the words of their errors, are upstream's.
type dex struct{ api.UnimplementedDexServer }

// GetClient returns a client with its secret, unless that is stored as a hash.
func (*dex) GetClient(ctx context.Context, req *api.GetClientReq) (*api.GetClientResp, error) {
	c, err := roomOf(ctx).Service.Clients.GetWithSecrets(ctx, req.GetId())
	if has(err, admin.NotFound) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, while("get client", err)
	}
	return &api.GetClientResp{Client: messageOfClient(&c.Value)}, nil
}

// errNotFound is upstream's where a method returns one thing and there is none.
var errNotFound error = admin.Errorf(admin.NotFound, "not found")

// CreateClient stores a client.
func (*dex) CreateClient(ctx context.Context, req *api.CreateClientReq) (*api.CreateClientResp, error) {
	in := req.GetClient()
	if in == nil {
		return nil, invalidf("no client supplied")
	}
	if err := checkLifetime(in.GetRefreshTokenLifetime()); err != nil {
		return nil, err
	}
	c, err := roomOf(ctx).Service.Clients.Create(ctx, client.Client{
		ID: in.GetId(), Secret: in.GetSecret(), RedirectURIs: in.GetRedirectUris(), TrustedPeers: in.GetTrustedPeers(), Public: in.GetPublic(),
		Name: in.GetName(), LogoURL: in.GetLogoUrl(), AllowedConnectors: in.GetAllowedConnectors(), SSOSharedWith: in.GetSsoSharedWith(),
		BackchannelLogoutURI: in.GetBackchannelLogoutUri(), PostLogoutRedirectURIs: in.GetPostLogoutRedirectUris(),
		RefreshTokenLifetime: in.GetRefreshTokenLifetime(),
	})
	if has(err, admin.Exists) {
		return &api.CreateClientResp{AlreadyExists: true}, nil
	}
	if err != nil {
		return nil, while("create client", err)
	}
	return &api.CreateClientResp{Client: messageOfClient(&c.Value)}, nil
}

func checkLifetime(lifetime string) error {
	if slices.Contains([]string{"", "standalone", "session"}, lifetime) {
		return nil
	}
	const word = `invalid refresh token lifetime %q: want "standalone" or "session"`
	e := admin.Errorf(admin.Invalid, word, lifetime)
	e.Members = []admin.Member{{Name: "refreshTokenLifetime", Message: fmt.Sprintf(word, lifetime)}}
	return e
}

// UpdateClient replaces what the request has.
func (*dex) UpdateClient(ctx context.Context, req *api.UpdateClientReq) (*api.UpdateClientResp, error) {
	if req.GetId() == "" {
		return nil, invalidf("update client: no client ID supplied")
	}
	if err := checkLifetime(req.GetRefreshTokenLifetime()); err != nil {
		return nil, err
	}
	_, err := roomOf(ctx).Service.Clients.Update(ctx, req.GetId(), "", func(c *client.Client) error {
		replace(&c.RedirectURIs, req.GetRedirectUris())
		replace(&c.TrustedPeers, req.GetTrustedPeers())
		replace(&c.AllowedConnectors, req.GetAllowedConnectors())
		replace(&c.SSOSharedWith, req.GetSsoSharedWith())
		replace(&c.PostLogoutRedirectURIs, req.GetPostLogoutRedirectUris())
		replaceText(&c.Name, req.GetName())
		replaceText(&c.LogoURL, req.GetLogoUrl())
		if req.BackchannelLogoutUri != nil {
			c.BackchannelLogoutURI = req.GetBackchannelLogoutUri()
		}
		if req.RefreshTokenLifetime != nil {
			c.RefreshTokenLifetime = req.GetRefreshTokenLifetime()
		}
		return nil
	})
	if has(err, admin.NotFound) {
		return &api.UpdateClientResp{NotFound: true}, nil
	}
	if err != nil {
		return nil, while("update client", err)
	}
	return &api.UpdateClientResp{}, nil
}

// replace replaces a list unless the new one is empty, which can't be told from none.
func replace(list *[]string, by []string) {
	if len(by) > 0 {
		*list = by
	}
}

func replaceText(text *string, by string) {
	if by != "" {
		*text = by
	}
}

// DeleteClient removes a client.
func (*dex) DeleteClient(ctx context.Context, req *api.DeleteClientReq) (*api.DeleteClientResp, error) {
	err := roomOf(ctx).Service.Clients.Delete(ctx, req.GetId(), "")
	if has(err, admin.NotFound) {
		return &api.DeleteClientResp{NotFound: true}, nil
	}
	if err != nil {
		return nil, while("delete client", err)
	}
	return &api.DeleteClientResp{}, nil
}

// ListClients returns all clients, however many there are: old clients know no pages.
func (*dex) ListClients(ctx context.Context, _ *api.ListClientReq) (*api.ListClientResp, error) {
	resp := &api.ListClientResp{}
	err := all(ctx, roomOf(ctx).Service.Clients.List, func(c *client.Client) {
		resp.Clients = append(resp.Clients, infoOfClient(c))
	})
	if err != nil {
		return nil, while("list clients", err)
	}
	return resp, nil
}

// all calls each for all records, page by page.
func all[T any](
	ctx context.Context, list func(context.Context, string, int) ([]admin.Record[T], string, error), each func(*T),
) error {
	for after := ""; ; {
		page, next, err := list(ctx, after, store.MaxLimit)
		if err != nil {
			return err
		}
		for i := range page {
			each(&page[i].Value)
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

// messageOfClient leaves out a secret that is stored as a hash: nobody has it.
func messageOfClient(c *client.Client) *api.Client {
	secret := c.Secret
	if client.IsHashed(secret) {
		secret = ""
	}
	return &api.Client{
		Id: c.ID, Secret: secret, RedirectUris: c.RedirectURIs, TrustedPeers: c.TrustedPeers, Public: c.Public, Name: c.Name,
		LogoUrl: c.LogoURL, AllowedConnectors: c.AllowedConnectors, SsoSharedWith: c.SSOSharedWith,
		BackchannelLogoutUri: c.BackchannelLogoutURI, PostLogoutRedirectUris: c.PostLogoutRedirectURIs,
		RefreshTokenLifetime: c.RefreshTokenLifetime,
	}
}

func infoOfClient(c *client.Client) *api.ClientInfo {
	return &api.ClientInfo{
		Id: c.ID, RedirectUris: c.RedirectURIs, TrustedPeers: c.TrustedPeers, Public: c.Public, Name: c.Name, LogoUrl: c.LogoURL,
		AllowedConnectors: c.AllowedConnectors, SsoSharedWith: c.SSOSharedWith, BackchannelLogoutUri: c.BackchannelLogoutURI,
		PostLogoutRedirectUris: c.PostLogoutRedirectURIs, RefreshTokenLifetime: c.RefreshTokenLifetime,
	}
}
