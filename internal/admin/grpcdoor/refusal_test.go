package grpcdoor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"dex/internal/admin"
	"dex/internal/admin/admintest"
	"dex/internal/admin/api"
	"dex/internal/admin/grpcdoor"
)

// In the order and in the words of upstream's, and all with the code Unknown.
func TestRefusals(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	password := func(hash string) *api.CreatePasswordReq {
		return &api.CreatePasswordReq{Password: &api.Password{Email: "a@b.test", UserId: "1", Hash: []byte(hash)}}
	}
	conn := func(c *api.Connector) *api.CreateConnectorReq { return &api.CreateConnectorReq{Connector: c} }
	for _, c := range []struct {
		rpc  string
		req  proto.Message
		want string
	}{
		{"GetClient", &api.GetClientReq{Id: "absent"}, "not found"},
		{"CreateClient", &api.CreateClientReq{}, "no client supplied"},
		{"CreateClient", &api.CreateClientReq{Client: &api.Client{RefreshTokenLifetime: "x"}}, `invalid refresh token lifetime "x": want "standalone" or "session"`},
		{"CreateClient", &api.CreateClientReq{Client: &api.Client{RedirectUris: []string{"javascript:x"}}}, "create client: client "},
		{"CreateClient", &api.CreateClientReq{Client: &api.Client{Id: "configured"}}, "create client: static clients: read-only cannot create client"},
		{"UpdateClient", &api.UpdateClientReq{}, "update client: no client ID supplied"},
		{"UpdateClient", &api.UpdateClientReq{Id: "a", RefreshTokenLifetime: proto.String("x")}, `invalid refresh token lifetime "x"`},
		{"UpdateClient", &api.UpdateClientReq{Id: "configured", Name: "x"}, "update client: static clients: read-only cannot update client"},
		{"DeleteClient", &api.DeleteClientReq{Id: "configured"}, "delete client: static clients: read-only cannot delete client"},
		{"CreatePassword", &api.CreatePasswordReq{}, "no password supplied"},
		{"CreatePassword", &api.CreatePasswordReq{Password: &api.Password{}}, "no user ID supplied"},
		{"CreatePassword", password(""), "no hash of password supplied"},
		{"CreatePassword", password("x"), "parsing bcrypt hash: "},
		{"CreatePassword", password(strings.Replace(admintest.Hash, "$10$", "$04$", 1)), "given hash cost = 4 does not meet minimum cost requirement = 10"},
		{"CreatePassword", password(strings.Replace(admintest.Hash, "$10$", "$17$", 1)), "given hash cost = 17 is above upper bound cost = 16, recommended cost = 12"},
		{"CreatePassword", password("$argon2id$x"), "given hash is not an argon2id hash in the form "},
		{"CreatePassword", password("$argon2id$v=19$m=1000000,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"), "given hash asks too much of argon2id; "},
		{"UpdatePassword", &api.UpdatePasswordReq{}, "no email supplied"},
		{"UpdatePassword", &api.UpdatePasswordReq{Email: "a"}, "nothing to update"},
		{"UpdatePassword", &api.UpdatePasswordReq{Email: "a", NewHash: []byte("x")}, "parsing bcrypt hash: "},
		{"UpdatePassword", &api.UpdatePasswordReq{Email: "configured@example.com", NewUsername: "x"}, "update password: static passwords: read-only cannot update password"},
		{"DeletePassword", &api.DeletePasswordReq{}, "no email supplied"},
		{"VerifyPassword", &api.VerifyPasswordReq{}, "no email supplied"},
		{"VerifyPassword", &api.VerifyPasswordReq{Email: "a"}, "no password to verify supplied"},
		{"CreateConnector", conn(nil), "no connector supplied"},
		{"CreateConnector", conn(&api.Connector{}), "no id supplied"},
		{"CreateConnector", conn(&api.Connector{Id: "a"}), "no type supplied"},
		{"CreateConnector", conn(&api.Connector{Id: "a", Type: "t"}), "no name supplied"},
		{"CreateConnector", conn(&api.Connector{Id: "a", Type: "t", Name: "n"}), "no config supplied"},
		{"CreateConnector", conn(&api.Connector{Id: "a", Type: "t", Name: "n", Config: []byte("x")}), "invalid config supplied"},
		{"CreateConnector", conn(&api.Connector{Id: "a", Type: "t", Name: "n", Config: []byte("{}"), GrantTypes: []string{"client_credentials"}}), `unknown grant type "client_credentials"`},
		{"CreateConnector", conn(&api.Connector{Id: "a", Type: "t", Name: "n", Config: []byte("{}")}), `create connector: connector "a" is not valid: type: `},
		{"UpdateConnector", &api.UpdateConnectorReq{}, "no email supplied"},
		{"UpdateConnector", &api.UpdateConnectorReq{Id: "a"}, "nothing to update"},
		{"UpdateConnector", &api.UpdateConnectorReq{Id: "a", NewConfig: []byte("x")}, "invalid config supplied"},
		{"UpdateConnector", &api.UpdateConnectorReq{Id: "a", NewGrantTypes: &api.GrantTypes{GrantTypes: []string{"x"}}}, `unknown grant type "x"`},
		{"DeleteConnector", &api.DeleteConnectorReq{}, "no id supplied"},
		{"ListRefresh", &api.ListRefreshReq{UserId: "%"}, "not a pair of strings in base64url"},
		{"RevokeRefresh", &api.RevokeRefreshReq{UserId: "%"}, "not a pair of strings in base64url"},
		{"GetAuthSession", &api.GetAuthSessionReq{}, "no id supplied"},
		{"GetAuthSession", &api.GetAuthSessionReq{Id: "a"}, "not found"},
		{"DeleteAuthSession", &api.DeleteAuthSessionReq{}, "no id supplied"},
		{"TerminateSessionsByConnector", &api.TerminateSessionsByConnectorReq{}, "no connector_id supplied"},
		{"TerminateSessionsByUser", &api.TerminateSessionsByUserReq{}, "no user_id supplied"},
		{"GetUserIdentity", &api.GetUserIdentityReq{}, "no user_id supplied"},
		{"GetUserIdentity", &api.GetUserIdentityReq{UserId: "a"}, "no connector_id supplied"},
		{"GetUserIdentity", &api.GetUserIdentityReq{UserId: "a", ConnectorId: "b"}, "not found"},
		{"DeleteUserIdentity", &api.DeleteUserIdentityReq{}, "no user_id supplied"},
		{"ResetMFA", &api.ResetMFAReq{UserId: "a"}, "no connector_id supplied"},
		{"ListMFADevices", &api.ListMFADevicesReq{UserId: "a", ConnectorId: "b"}, "not found"},
		{"DeleteWebAuthnCredential", &api.DeleteWebAuthnCredentialReq{UserId: "a", ConnectorId: "b"}, "no credential_id supplied"},
		{"DeleteMFASecret", &api.DeleteMFASecretReq{UserId: "a", ConnectorId: "b"}, "no authenticator_id supplied"},
		{"RevokeConsent", &api.RevokeConsentReq{UserId: "a", ConnectorId: "b"}, "no client_id supplied"},
	} {
		err := h.conn.Invoke(ctx, "/api.Dex/"+c.rpc, c.req, &api.VersionResp{})
		if s := status.Convert(err); s.Code() != codes.Unknown || !strings.HasPrefix(s.Message(), c.want) {
			t.Errorf("%s %v: got %v, want %q", c.rpc, c.req, err, c.want)
		}
	}
	if changes := h.Changes(); len(changes) > 0 {
		t.Errorf("what was refused changed %v", changes)
	}
}

func TestFlags(t *testing.T) {
	h := open(t, func(r *grpcdoor.Room) { r.ConnectorsCRUD, r.SessionsCRUD = false, false })
	const connectors, sessions = "api_connectors_crud feature flag is not enabled", "api_sessions_identities_crud feature flag is not enabled"
	for _, m := range rpcs(t) {
		name := string(m.Name())
		want := ""
		switch {
		case m.Parent().FullName() != "api.Dex":
		case strings.Contains(name, "Session"), strings.Contains(name, "Identit"), strings.Contains(name, "MFA"),
			strings.Contains(name, "Credential"), strings.Contains(name, "Consent"):
			want = sessions
		case strings.Contains(name, "Connector"):
			want = connectors
		}
		err := call(t.Context(), h.conn, m)
		if s := status.Convert(err); want != "" && (s.Code() != codes.Unknown || s.Message() != want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		} else if want == "" && strings.Contains(s.Message(), "feature flag") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Where there are no sessions, the methods find none.
func TestNoSessions(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	t.Run("on", func(t *testing.T) { findNothing(ctx, t, h) })
	h.room.Service = h.WithoutSessions()
	t.Run("off", func(t *testing.T) { findNothing(ctx, t, h) })
}

func findNothing(ctx context.Context, t *testing.T, h *house) {
	t.Helper()
	for rpc, req := range map[string]proto.Message{
		"GetAuthSession":  &api.GetAuthSessionReq{Id: "x"},
		"GetUserIdentity": &api.GetUserIdentityReq{UserId: "x", ConnectorId: "x"},
		"ListMFADevices":  &api.ListMFADevicesReq{UserId: "x", ConnectorId: "x"},
	} {
		wantError(t, h.conn.Invoke(ctx, "/api.Dex/"+rpc, req, &api.VersionResp{}), codes.Unknown, "not found")
	}
	for rpc, want := range map[string]string{
		"ListAuthSessions": "", "ListUserIdentities": "", "TerminateSessionsByUser": "", "TerminateSessionsByConnector": "",
		"DeleteAuthSession": "not_found:true", "DeleteUserIdentity": "not_found:true", "ResetMFA": "not_found:true",
		"DeleteWebAuthnCredential": "not_found:true", "DeleteMFASecret": "not_found:true", "RevokeConsent": "not_found:true",
	} {
		m := api.File_api_v2_api_proto.Services().ByName("Dex").Methods().ByName(protoreflect.Name(rpc))
		req, resp := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
		for i := range m.Input().Fields().Len() {
			if f := m.Input().Fields().Get(i); f.Kind() == protoreflect.StringKind {
				req.Set(f, protoreflect.ValueOfString("x"))
			} else {
				req.Set(f, protoreflect.ValueOfBytes([]byte("x")))
			}
		}
		if err := h.conn.Invoke(ctx, "/api.Dex/"+rpc, req, resp); err != nil || fmt.Sprint(resp) != want {
			t.Errorf("%s: %v, %v, want %v", rpc, resp, err, want)
		}
	}
}

// A stranger learns nothing of the storage and the cluster from what goes wrong while it shows who it is, and can't end the process.
func TestStrangersDontSeeTheCause(t *testing.T) {
	broken := func() error { return errors.New("dial tcp 10.1.2.3:6443: refused") }
	h := open(t, func(r *grpcdoor.Room) {
		r.Access = admin.NewAccess(admin.AccessConfig{
			Issuer:  "https://dex.test",
			Entries: []admin.Entry{{Name: "pods", Roles: []admin.Role{admin.RoleAll}, ServiceAccount: &admin.ServiceAccount{Namespace: "a", Name: "b"}}},
			Review:  func(context.Context, string) (admin.ServiceAccount, error) { return admin.ServiceAccount{}, broken() },
		})
	})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer a.b.c")
	_, err := h.dex.GetVersion(ctx, &api.VersionReq{})
	if s := status.Convert(err); s.Code() != codes.Unavailable || s.Message() != "the cluster can't be asked about the bearer token" {
		t.Errorf("got %v", err)
	}
	broken = func() error { panic("unexpected") }
	_, err = h.dex.GetVersion(ctx, &api.VersionReq{})
	wantError(t, err, codes.Internal, "something went wrong in Dex")
}
