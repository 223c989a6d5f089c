package grpcdoor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"dex/internal/admin"
	"dex/internal/admin/api"
	"dex/internal/refresh"
	"dex/internal/token"
)

// apiVersion is the version of api.Dex that is served: 4 says that there are sessions and identities.
const apiVersion = 4

// GetVersion returns the versions of the server and of the API.
func (*dex) GetVersion(ctx context.Context, _ *api.VersionReq) (*api.VersionResp, error) {
	version, err := roomOf(ctx).Service.Version(ctx)
	if err != nil {
		return nil, err
	}
	return &api.VersionResp{Server: version, Api: apiVersion}, nil
}

// GetDiscovery returns the discovery document.
func (*dex) GetDiscovery(ctx context.Context, _ *api.DiscoveryReq) (*api.DiscoveryResp, error) {
	document, err := roomOf(ctx).Service.Discovery(ctx)
	if err != nil {
		return nil, err
	}
	resp := &api.DiscoveryResp{} // its members have the document's names
	if err := json.Unmarshal(document, resp); err != nil {
		return nil, fmt.Errorf("read the discovery document: %w", err)
	}
	return resp, nil
}

// readSubject takes a sub claim apart.
func readSubject(sub string) (userID, connectorID string, err error) {
	userID, connectorID, err = token.ReadSubject(sub)
	if err != nil {
		return "", "", invalidf("%v", err)
	}
	return userID, connectorID, nil
}

// ListRefresh returns for each client the login of a user that was used last.
func (*dex) ListRefresh(ctx context.Context, req *api.ListRefreshReq) (*api.ListRefreshResp, error) {
	userID, connectorID, err := readSubject(req.GetUserId())
	if err != nil {
		return nil, err
	}
	logins, err := roomOf(ctx).Service.Logins(ctx, userID, connectorID)
	if err != nil {
		return nil, while("list refresh tokens", err)
	}
	slices.SortFunc(logins, func(a, b refresh.Listed) int {
		return cmp.Or(cmp.Compare(a.ClientID, b.ClientID), b.LastUsed.Compare(a.LastUsed))
	})
	resp := &api.ListRefreshResp{}
	for i, l := range logins {
		if i > 0 && logins[i-1].ClientID == l.ClientID {
			continue
		}
		resp.RefreshTokens = append(resp.RefreshTokens, &api.RefreshTokenRef{
			Id: l.FamilyID, ClientId: l.ClientID, CreatedAt: l.Created.Unix(), LastUsed: l.LastUsed.Unix(),
		})
	}
	return resp, nil
}

// RevokeRefresh ends all logins of a user at a client.
func (*dex) RevokeRefresh(ctx context.Context, req *api.RevokeRefreshReq) (*api.RevokeRefreshResp, error) {
	userID, connectorID, err := readSubject(req.GetUserId())
	if err != nil {
		return nil, err
	}
	if req.GetClientId() == "" { // the method would end the logins at all clients
		return &api.RevokeRefreshResp{NotFound: true}, nil
	}
	ended, err := roomOf(ctx).Service.RevokeLogins(ctx, userID, connectorID, req.GetClientId())
	if err != nil {
		return nil, while("revoke refresh token", err)
	}
	return &api.RevokeRefreshResp{NotFound: ended == 0}, nil
}

// errSessionsOff is the error of all methods for sessions, identities, second factors and consent while they are switched off.
var errSessionsOff error = admin.Errorf(admin.Disabled, "api_sessions_identities_crud feature flag is not enabled")
