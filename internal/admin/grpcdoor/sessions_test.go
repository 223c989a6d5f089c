package grpcdoor_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"dex/internal/admin/api"
	"dex/internal/admin/api/dexv1"
)

// sessionsOf returns the ids of sessions, and their clients.
func sessionsOf(all []*api.AuthSession) string {
	text := ""
	for _, s := range all {
		text += s.GetId()
		for _, c := range s.GetClientStates() {
			text += " " + c.GetClientId()
		}
		text += "; "
	}
	return strings.TrimSuffix(text, "; ")
}

func TestSessions(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	h.SignIn(t, "s1", "u1", "local", "shop", "till")
	h.SignIn(t, "s2", "u1", "corp", "till")
	h.SignIn(t, "s3", "u2", "local", "shop")
	h.SignIn(t, "s4", "u3", "corp")
	got, err := h.dex.GetAuthSession(ctx, &api.GetAuthSessionReq{Id: "s1"})
	if err != nil {
		t.Fatal(err)
	}
	s := got.GetSession()
	began := s.GetCreatedAt()
	want := &api.AuthSession{
		Id: "s1", UserId: "u1", ConnectorId: "local", CreatedAt: began, LastActivity: began, IpAddress: "192.0.2.1", UserAgent: "Browser",
		AbsoluteExpiry: began + 24*3600, IdleExpiry: began + 3600,
		ClientStates: []*api.ClientAuthState{
			{ClientId: "shop", AuthenticatedAt: began, LastActivity: began, LastTokenIssuedAt: began},
			{ClientId: "till", AuthenticatedAt: began, LastActivity: began, LastTokenIssuedAt: began, ViaSso: true},
		},
	}
	if began == 0 || !proto.Equal(s, want) {
		t.Errorf("got %v, want %v", s, want)
	}
	for _, c := range []struct{ user, connector, want string }{
		{"", "", "s1 shop till; s2 till; s3 shop; s4"}, {"u1", "", "s1 shop till; s2 till"}, {"", "local", "s1 shop till; s3 shop"},
		{"u1", "corp", "s2 till"}, {"u9", "", ""},
	} {
		list, err := h.dex.ListAuthSessions(ctx, &api.ListAuthSessionsReq{UserId: c.user, ConnectorId: c.connector})
		if err != nil || sessionsOf(list.GetSessions()) != c.want {
			t.Errorf("%v: got %v, %v", c, list, err)
		}
	}

	for _, gone := range []bool{false, true} {
		if resp, err := h.dex.DeleteAuthSession(ctx, &api.DeleteAuthSessionReq{Id: "s1"}); err != nil || resp.GetNotFound() != gone {
			t.Errorf("deleted %v, %v", resp, err)
		}
	}
	if left := h.Left(t); left != "[s2 s3 s4] [s2-till s3-shop] 1" {
		t.Errorf("left %s", left)
	}
	_, err = h.dex.GetAuthSession(ctx, &api.GetAuthSessionReq{Id: "s1"})
	wantError(t, err, codes.Unknown, "not found")
	byUser, err := h.dex.TerminateSessionsByUser(ctx, &api.TerminateSessionsByUserReq{UserId: "u1"})
	if err != nil || byUser.GetSessionsTerminated() != 1 || h.Left(t) != "[s3 s4] [s3-shop] 1" {
		t.Errorf("terminated %v, %v, left %s", byUser, err, h.Left(t))
	}
	byConnector, err := h.dex.TerminateSessionsByConnector(ctx, &api.TerminateSessionsByConnectorReq{ConnectorId: "corp"})
	if err != nil || byConnector.GetSessionsTerminated() != 1 || h.Left(t) != "[s3] [s3-shop] 1" {
		t.Errorf("terminated %v, %v, left %s", byConnector, err, h.Left(t))
	}
}

func TestIdentities(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	h.SignIn(t, "s1", "u1", "local", "shop", "till")
	h.SignIn(t, "s2", "u2", "corp", "shop")
	h.SignIn(t, "sc", "c", "local", "shop")
	got, err := h.dex.GetUserIdentity(ctx, &api.GetUserIdentityReq{UserId: "u1", ConnectorId: "local"})
	if err != nil {
		t.Fatal(err)
	}
	known := got.GetIdentity()
	scopes := []string{"email", "openid"}
	want := &api.UserIdentity{
		UserId: "u1", ConnectorId: "local", Email: "u1@example.com", EmailVerified: true, Username: "Jane", Groups: []string{"g"},
		Consents:  []*api.ConsentEntry{{ClientId: "shop", Scopes: scopes}, {ClientId: "till", Scopes: scopes}},
		CreatedAt: known.GetCreatedAt(), LastLogin: known.GetLastLogin(),
	}
	if known.GetCreatedAt() == 0 || known.GetLastLogin() == 0 || !proto.Equal(known, want) {
		t.Errorf("got %v, want %v", known, want)
	}
	if list, err := h.dex.ListUserIdentities(ctx, &api.ListUserIdentitiesReq{}); err != nil || len(list.GetIdentities()) != 3 {
		t.Errorf("list %v, %v", list, err)
	}
	for _, gone := range []bool{false, true} {
		resp, err := h.dex.RevokeConsent(ctx, &api.RevokeConsentReq{UserId: "u1", ConnectorId: "local", ClientId: "shop"})
		if err != nil || resp.GetNotFound() != gone {
			t.Errorf("revoked %v, %v", resp, err)
		}
	}
	if got, err = h.dex.GetUserIdentity(ctx, &api.GetUserIdentityReq{UserId: "u1", ConnectorId: "local"}); err != nil ||
		len(got.GetIdentity().GetConsents()) != 1 || got.GetIdentity().GetConsents()[0].GetClientId() != "till" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, gone := range []bool{false, true} {
		resp, err := h.dex.DeleteUserIdentity(ctx, &api.DeleteUserIdentityReq{UserId: "u1", ConnectorId: "local"})
		if err != nil || resp.GetNotFound() != gone || h.Left(t) != "[s2 sc] [s2-shop] 1" {
			t.Errorf("deleted %v, %v, left %s", resp, err, h.Left(t))
		}
	}
	_, err = h.dex.DeleteUserIdentity(ctx, &api.DeleteUserIdentityReq{UserId: "c", ConnectorId: "local"})
	wantError(t, err, codes.Unknown, "purge password: ")
}

func TestOwnMethodsOfSessions(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	h.room.SessionsCRUD = false // is for upstream's methods only
	for i := range 25 {
		h.SignIn(t, fmt.Sprintf("s%02d", i), fmt.Sprint("u", i%2+1), "local", "shop")
	}
	seen, pages := 0, 0
	for token := ""; ; {
		page, err := h.own.ListSessions(ctx, &dexv1.ListSessionsRequest{PageSize: 10, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		seen, pages = seen+len(page.GetSessions()), pages+1
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if seen != 25 || pages != 3 {
		t.Errorf("%d sessions in %d pages", seen, pages)
	}
	u1 := &dexv1.Whose{UserId: "u1", ConnectorId: "local", ClientId: "shop"}
	if page, err := h.own.ListSessions(ctx, &dexv1.ListSessionsRequest{Whose: u1}); err != nil || len(page.GetSessions()) != 13 {
		t.Errorf("page %v, %v", page, err)
	}
	if list, err := h.own.ListIdentities(ctx, &dexv1.ListRequest{PageSize: 1}); err != nil || len(list.GetIdentities()) != 1 || list.GetNextPageToken() == "" {
		t.Errorf("identities %v, %v", list, err)
	}
	done, err := h.own.EndSessions(ctx, &dexv1.EndSessionsRequest{Whose: u1, Logins: true})
	if err != nil || done.GetSessions() != 13 || done.GetLogins() != 0 {
		t.Errorf("ended %v, %v", done, err)
	}
	_, err = h.own.EndSessions(ctx, &dexv1.EndSessionsRequest{Whose: &dexv1.Whose{}})
	wantError(t, err, codes.InvalidArgument, "say whose sessions")
	_, err = h.own.EndSessions(ctx, &dexv1.EndSessionsRequest{Whose: &dexv1.Whose{ClientId: "shop"}, Logins: true})
	wantError(t, err, codes.InvalidArgument, "say whose logins")
	_, err = h.own.ListSessions(ctx, &dexv1.ListSessionsRequest{PageSize: -1})
	wantError(t, err, codes.InvalidArgument, "page_size")
	_, err = h.own.ListIdentities(ctx, &dexv1.ListRequest{PageToken: strings.Repeat("x", 600)})
	wantError(t, err, codes.InvalidArgument, "the page does not exist")
}
