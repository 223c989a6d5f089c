package grpcdoor

import (
	"context"
	"maps"
	"slices"
	"time"

	"dex/internal/admin"
	"dex/internal/admin/api"
	"dex/internal/identity"
	"dex/internal/session"
	"dex/internal/store"
)

// required returns an error if the methods are switched off, or for the first member that is empty; pairs are names and values.
func required(ctx context.Context, pairs ...string) error {
	if !roomOf(ctx).SessionsCRUD {
		return errSessionsOff
	}
	for pair := range slices.Chunk(pairs, 2) {
		if name, value := pair[0], pair[1]; value == "" {
			return invalidf("no %s supplied", name)
		}
	}
	return nil
}

// A user is named by most of the requests below.
type user interface {
	GetUserId() string
	GetConnectorId() string
}

// requiredOf is required for a user, and for more.
func requiredOf(ctx context.Context, u user, pairs ...string) error {
	return required(ctx, append([]string{"user_id", u.GetUserId(), "connector_id", u.GetConnectorId()}, pairs...)...)
}

// absent reports whether a method found nothing, and returns the error of one that failed otherwise.
func absent(doing string, err error) (bool, error) {
	if has(err, admin.NotFound) {
		return true, nil
	}
	return false, while(doing, err)
}

// GetAuthSession returns a session.
func (*dex) GetAuthSession(ctx context.Context, req *api.GetAuthSessionReq) (*api.GetAuthSessionResp, error) {
	if err := required(ctx, "id", req.GetId()); err != nil {
		return nil, err
	}
	e, err := roomOf(ctx).Service.Session(ctx, req.GetId())
	if notFound, err := absent("get auth session", err); err != nil {
		return nil, err
	} else if notFound {
		return nil, errNotFound
	}
	return &api.GetAuthSessionResp{Session: messageOfSession(&e)}, nil
}

// ListAuthSessions returns the sessions of a user, of a connector, or all.
func (*dex) ListAuthSessions(ctx context.Context, req *api.ListAuthSessionsReq) (*api.ListAuthSessionsResp, error) {
	if err := required(ctx); err != nil {
		return nil, err
	}
	whose := admin.Whose{UserID: req.GetUserId(), ConnectorID: req.GetConnectorId()}
	all, err := everything(func(after string) ([]session.Entry, string, error) {
		return roomOf(ctx).Service.Sessions(ctx, whose, after, store.MaxLimit)
	}, messageOfSession)
	return &api.ListAuthSessionsResp{Sessions: all}, while("list auth sessions", err)
}

// everything returns the messages of all pages.
func everything[T, M any](list func(after string) ([]T, string, error), message func(*T) M) (all []M, err error) {
	for after := ""; ; {
		page, next, err := list(after)
		if err != nil {
			return nil, err
		}
		for i := range page {
			all = append(all, message(&page[i]))
		}
		if next == "" {
			return all, nil
		}
		after = next
	}
}

// DeleteAuthSession ends a session.
func (*dex) DeleteAuthSession(ctx context.Context, req *api.DeleteAuthSessionReq) (*api.DeleteAuthSessionResp, error) {
	if err := required(ctx, "id", req.GetId()); err != nil {
		return nil, err
	}
	notFound, err := absent("delete auth session", roomOf(ctx).Service.EndSession(ctx, req.GetId()))
	return &api.DeleteAuthSessionResp{NotFound: notFound}, err
}

// TerminateSessionsByConnector ends the sessions of all users of a connector.
func (*dex) TerminateSessionsByConnector(
	ctx context.Context, req *api.TerminateSessionsByConnectorReq,
) (*api.TerminateSessionsByConnectorResp, error) {
	if err := required(ctx, "connector_id", req.GetConnectorId()); err != nil {
		return nil, err
	}
	done, err := roomOf(ctx).Service.EndSessions(ctx, admin.Whose{ConnectorID: req.GetConnectorId()}, false)
	return &api.TerminateSessionsByConnectorResp{SessionsTerminated: int64(done.Sessions)}, while("terminate sessions", err)
}

// TerminateSessionsByUser ends the sessions and all other logins of a user, whatever the connector.
func (*dex) TerminateSessionsByUser(
	ctx context.Context, req *api.TerminateSessionsByUserReq,
) (*api.TerminateSessionsByUserResp, error) {
	if err := required(ctx, "user_id", req.GetUserId()); err != nil {
		return nil, err
	}
	done, err := roomOf(ctx).Service.EndSessions(ctx, admin.Whose{UserID: req.GetUserId()}, true)
	return &api.TerminateSessionsByUserResp{SessionsTerminated: int64(done.Sessions)}, while("terminate sessions", err)
}

// GetUserIdentity returns a user that has signed in.
func (*dex) GetUserIdentity(ctx context.Context, req *api.GetUserIdentityReq) (*api.GetUserIdentityResp, error) {
	e, err := identityOf(ctx, req)
	if err != nil {
		return nil, err
	}
	all, err := messagesOfIdentities(ctx, []identity.Entry{e})
	if err != nil {
		return nil, while("get user identity", err)
	}
	return &api.GetUserIdentityResp{Identity: all[0]}, nil
}

func identityOf(ctx context.Context, u user) (identity.Entry, error) {
	if err := requiredOf(ctx, u); err != nil {
		return identity.Entry{}, err
	}
	e, err := roomOf(ctx).Service.Identity(ctx, u.GetUserId(), u.GetConnectorId())
	notFound, err := absent("get user identity", err)
	if notFound {
		err = errNotFound
	}
	return e, err
}

// ListUserIdentities returns all users that have signed in.
func (*dex) ListUserIdentities(ctx context.Context, _ *api.ListUserIdentitiesReq) (*api.ListUserIdentitiesResp, error) {
	if err := required(ctx); err != nil {
		return nil, err
	}
	all, err := everything(func(after string) ([]*api.UserIdentity, string, error) {
		page, next, err := roomOf(ctx).Service.Identities(ctx, after, store.MaxLimit)
		if err != nil {
			return nil, "", err
		}
		messages, err := messagesOfIdentities(ctx, page)
		return messages, next, err
	}, func(m **api.UserIdentity) *api.UserIdentity { return *m })
	return &api.ListUserIdentitiesResp{Identities: all}, while("list user identities", err)
}

// DeleteUserIdentity forgets a user.
func (*dex) DeleteUserIdentity(ctx context.Context, req *api.DeleteUserIdentityReq) (*api.DeleteUserIdentityResp, error) {
	if err := requiredOf(ctx, req); err != nil {
		return nil, err
	}
	err := roomOf(ctx).Service.DeleteIdentity(ctx, req.GetUserId(), req.GetConnectorId())
	if has(err, admin.NotFound) {
		return &api.DeleteUserIdentityResp{NotFound: true}, nil
	}
	return &api.DeleteUserIdentityResp{}, err // it says which step failed
}

// RevokeConsent takes back what a user has let a client have.
func (*dex) RevokeConsent(ctx context.Context, req *api.RevokeConsentReq) (*api.RevokeConsentResp, error) {
	if err := requiredOf(ctx, req, "client_id", req.GetClientId()); err != nil {
		return nil, err
	}
	err := roomOf(ctx).Service.RevokeConsent(ctx, req.GetUserId(), req.GetConnectorId(), req.GetClientId())
	notFound, err := absent("revoke consent", err)
	return &api.RevokeConsentResp{NotFound: notFound}, err
}

func messageOfSession(e *session.Entry) *api.AuthSession {
	v := &e.Value
	m := &api.AuthSession{
		Id: e.Key, UserId: v.Identity.UserID, ConnectorId: v.ConnectorID, IpAddress: v.Address, UserAgent: v.UserAgent,
		CreatedAt: unix(v.Created), LastActivity: unix(v.LastUsed), AbsoluteExpiry: unix(v.Ends), IdleExpiry: unix(v.Idle),
	}
	for _, clientID := range slices.Sorted(maps.Keys(v.Clients)) {
		p := v.Clients[clientID]
		m.ClientStates = append(m.ClientStates, &api.ClientAuthState{
			ClientId: clientID, AuthenticatedAt: unix(p.First), LastActivity: unix(p.Last), LastTokenIssuedAt: unix(p.Last), ViaSso: p.ViaSSO,
		})
	}
	return m
}

// messagesOfIdentities returns users with their second factors.
func messagesOfIdentities(ctx context.Context, users []identity.Entry) ([]*api.UserIdentity, error) {
	factors, err := roomOf(ctx).Service.FactorsOf(ctx, users)
	if err != nil {
		return nil, err
	}
	all := make([]*api.UserIdentity, 0, len(users))
	for i := range users {
		m := messageOfIdentity(&users[i])
		m.MfaDevices = devicesOf(&factors[i])
		all = append(all, m)
	}
	return all, nil
}

func messageOfIdentity(e *identity.Entry) *api.UserIdentity {
	v := &e.Value
	m := &api.UserIdentity{
		UserId: v.UserID, ConnectorId: v.ConnectorID, Email: v.Claims.Email, EmailVerified: v.Claims.EmailVerified,
		Username: v.Claims.Username, Groups: v.Claims.Groups,
		CreatedAt: unix(v.Created), LastLogin: unix(v.LastLogin), BlockedUntil: unix(v.BlockedUntil),
	}
	for _, clientID := range slices.Sorted(maps.Keys(v.Consents)) {
		m.Consents = append(m.Consents, &api.ConsentEntry{ClientId: clientID, Scopes: v.Consents[clientID].Scopes})
	}
	return m
}

// unix returns a time as messages have it: 0 for none.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
