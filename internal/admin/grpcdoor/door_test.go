package grpcdoor_test

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"dex/internal/admin"
	"dex/internal/admin/admintest"
	"dex/internal/admin/api"
	"dex/internal/admin/api/dexv1"
	"dex/internal/admin/grpcdoor"
	"dex/internal/connector/local"
)

// A house is a door, and what is behind it. The door is one that strangers can't reach.
type house struct {
	*admintest.Fixture
	dex  api.DexClient
	own  dexv1.AdminClient
	conn *grpc.ClientConn

	room     grpcdoor.Room
	registry *prometheus.Registry
	log      strings.Builder
}

func open(t testing.TB, change func(*grpcdoor.Room)) *house {
	t.Helper()
	h := &house{Fixture: admintest.New(t, nil), registry: prometheus.NewRegistry()}
	h.room = grpcdoor.Room{
		Service: h.Service, Access: admin.NewAccess(admin.AccessConfig{}), ConnectorsCRUD: true, SessionsCRUD: true,
	}
	if change != nil {
		change(&h.room)
	}
	door := grpcdoor.New(grpcdoor.Options{
		Log: slog.New(slog.NewTextHandler(&h.log, nil)), Events: h, Local: true, Reflection: true,
		Enter:   func() (grpcdoor.Room, func()) { return h.room, func() {} },
		Metrics: grpcdoor.NewMetrics(h.registry),
	})
	l := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- door.Serve(ctx, l) }()
	conn, err := grpc.NewClient("passthrough:", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	h.conn, h.dex, h.own = conn, api.NewDexClient(conn), dexv1.NewAdminClient(conn)
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return h
}

// wantError checks the code and the message of an error.
func wantError(t *testing.T, err error, code codes.Code, message string) {
	t.Helper()
	if s := status.Convert(err); err == nil || s.Code() != code || !strings.HasPrefix(s.Message(), message) {
		t.Errorf("got error %v, want code %v and message %q", err, code, message)
	}
}

func TestClients(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	made, err := h.dex.CreateClient(ctx, &api.CreateClientReq{Client: &api.Client{Name: "App", RedirectUris: []string{"https://a.test/"}}})
	if err != nil || made.GetAlreadyExists() || made.GetClient().GetId() == "" || len(made.GetClient().GetSecret()) < 50 {
		t.Fatalf("created %v, %v", made, err)
	}
	id := made.GetClient().GetId()
	again, err := h.dex.CreateClient(ctx, &api.CreateClientReq{Client: &api.Client{Id: id, Public: true}})
	if err != nil || !again.GetAlreadyExists() || again.Client != nil {
		t.Errorf("created again: %v, %v", again, err)
	}
	_, err = h.dex.UpdateClient(ctx, &api.UpdateClientReq{
		Id: id, Name: "Other", TrustedPeers: []string{"p"}, RefreshTokenLifetime: proto.String("session"), BackchannelLogoutUri: proto.String("https://a.test/out"),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.dex.GetClient(ctx, &api.GetClientReq{Id: id})
	want := &api.Client{ // the secret is stored as a hash
		Id: id, Name: "Other", RedirectUris: []string{"https://a.test/"}, TrustedPeers: []string{"p"}, RefreshTokenLifetime: "session",
		BackchannelLogoutUri: "https://a.test/out",
	}
	if err != nil || !proto.Equal(got.GetClient(), want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	configured, err := h.dex.GetClient(ctx, &api.GetClientReq{Id: "configured"})
	if err != nil || configured.GetClient().GetSecret() != "s" {
		t.Errorf("the configured client is %v, %v", configured, err)
	}
	_, err = h.dex.UpdateClient(ctx, &api.UpdateClientReq{Id: id, RefreshTokenLifetime: proto.String(""), BackchannelLogoutUri: proto.String("")})
	if err != nil {
		t.Error(err)
	}
	list, err := h.dex.ListClients(ctx, &api.ListClientReq{})
	if err != nil || len(list.GetClients()) != 2 || list.GetClients()[1].GetId() != "configured" || list.GetClients()[0].GetRefreshTokenLifetime() != "" {
		t.Errorf("list is %v, %v", list, err)
	}
	for _, want := range []bool{false, true} {
		if gone, err := h.dex.DeleteClient(ctx, &api.DeleteClientReq{Id: id}); err != nil || gone.GetNotFound() != want {
			t.Errorf("deleted %v, %v", gone, err)
		}
	}
	if absent, err := h.dex.UpdateClient(ctx, &api.UpdateClientReq{Id: id, Name: "x"}); err != nil || !absent.GetNotFound() {
		t.Errorf("updated %v, %v", absent, err)
	}
}

func TestPasswords(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	create := func(email string) (*api.CreatePasswordResp, error) {
		return h.dex.CreatePassword(ctx, &api.CreatePasswordReq{Password: &api.Password{
			Email: email, Hash: []byte(admintest.Hash), Username: "jane", UserId: "u-1",
		}})
	}
	for email, exists := range map[string]bool{"Jane@example.com": false} {
		if r, err := create(email); err != nil || r.GetAlreadyExists() != exists {
			t.Errorf("created %v, %v", r, err)
		}
	}
	if r, err := create("jane@EXAMPLE.com"); err != nil || !r.GetAlreadyExists() {
		t.Errorf("created again: %v, %v", r, err)
	}
	for _, c := range []struct {
		email, password string
		want            *api.VerifyPasswordResp
	}{
		{"jane@example.com", "password", &api.VerifyPasswordResp{Verified: true}},
		{"jane@example.com", "wrong", &api.VerifyPasswordResp{}},
		{"nobody@example.com", "password", &api.VerifyPasswordResp{NotFound: true}},
	} {
		got, err := h.dex.VerifyPassword(ctx, &api.VerifyPasswordReq{Email: c.email, Password: c.password})
		if err != nil || !proto.Equal(got, c.want) {
			t.Errorf("%s with %s: %v, %v", c.email, c.password, got, err)
		}
	}
	if _, err := h.dex.UpdatePassword(ctx, &api.UpdatePasswordReq{Email: "JANE@example.com", NewUsername: "janet"}); err != nil {
		t.Error(err)
	}
	list, err := h.dex.ListPasswords(ctx, &api.ListPasswordReq{})
	want := []*api.Password{
		{Email: "Jane@example.com", Username: "janet", UserId: "u-1"}, {Email: "Configured@example.com", UserId: "c"},
	}
	if err != nil || !slices.EqualFunc(list.GetPasswords(), want, func(a, b *api.Password) bool { return proto.Equal(a, b) }) {
		t.Errorf("list is %v, %v", list, err)
	}
	for _, want := range []bool{false, true} {
		if gone, err := h.dex.DeletePassword(ctx, &api.DeletePasswordReq{Email: "jane@example.COM"}); err != nil || gone.GetNotFound() != want {
			t.Errorf("deleted %v, %v", gone, err)
		}
	}
	// Guesses are limited, even those that follow one that is right.
	for range 10 {
		if _, err = h.dex.VerifyPassword(ctx, &api.VerifyPasswordReq{Email: "configured@example.com", Password: "wrong"}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = h.dex.VerifyPassword(ctx, &api.VerifyPasswordReq{Email: "configured@example.com", Password: "password"})
	wantError(t, err, codes.ResourceExhausted, "Too many failed attempts.")
}

// A hash may be one of argon2id.
func TestArgon2idPasswords(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	for i, password := range []string{"first password", "second password"} {
		hash, err := local.Hashing{Argon2id: true}.Hash(password)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			_, err = h.dex.CreatePassword(ctx, &api.CreatePasswordReq{Password: &api.Password{
				Email: "jane@example.com", Hash: append(hash, '\n'), UserId: "u-1",
			}})
		} else {
			_, err = h.dex.UpdatePassword(ctx, &api.UpdatePasswordReq{Email: "jane@example.com", NewHash: hash})
		}
		if err != nil {
			t.Fatal(err)
		}
		for try, want := range map[string]bool{password: true, "wrong": false} {
			got, err := h.dex.VerifyPassword(ctx, &api.VerifyPasswordReq{Email: "jane@example.com", Password: try})
			if err != nil || got.GetVerified() != want {
				t.Errorf("%s: %v, %v", try, got, err)
			}
		}
	}
}

func TestConnectors(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	made := &api.Connector{Id: "corp", Type: "mockPassword", Name: "Corp", Config: []byte(`{"username":"u","password":"p"}`)}
	for _, exists := range []bool{false, true} {
		if r, err := h.dex.CreateConnector(ctx, &api.CreateConnectorReq{Connector: made}); err != nil || r.GetAlreadyExists() != exists {
			t.Errorf("created %v, %v", r, err)
		}
	}
	stored := func() *api.Connector {
		t.Helper()
		list, err := h.dex.ListConnectors(ctx, &api.ListConnectorReq{})
		if err != nil || len(list.GetConnectors()) != 2 || list.GetConnectors()[1].GetId() != "configured" {
			t.Fatalf("list is %v, %v", list, err)
		}
		return list.GetConnectors()[0]
	}
	if got := stored(); !proto.Equal(got, made) {
		t.Errorf("stored is %v, want %v", got, made)
	}
	for _, change := range []*api.UpdateConnectorReq{
		{NewName: "Other"}, {NewConfig: []byte(`{"username":"v","password":"p"}`)}, {NewType: "mockCallback", NewConfig: []byte("{}")},
		{NewGrantTypes: &api.GrantTypes{GrantTypes: []string{"refresh_token"}}},
	} {
		change.Id = "corp"
		if r, err := h.dex.UpdateConnector(ctx, change); err != nil || r.GetNotFound() {
			t.Errorf("updated %v, %v", r, err)
		}
	}
	want := &api.Connector{Id: "corp", Type: "mockCallback", Name: "Other", Config: []byte("{}"), GrantTypes: []string{"refresh_token"}}
	if got := stored(); !proto.Equal(got, want) {
		t.Errorf("stored is %v, want %v", got, want)
	}
	if _, err := h.dex.UpdateConnector(ctx, &api.UpdateConnectorReq{Id: "corp", NewGrantTypes: &api.GrantTypes{}}); err != nil || len(stored().GetGrantTypes()) > 0 {
		t.Errorf("grant types are not cleared: %v", err)
	}
	for _, want := range []bool{false, true} {
		if gone, err := h.dex.DeleteConnector(ctx, &api.DeleteConnectorReq{Id: "corp"}); err != nil || gone.GetNotFound() != want {
			t.Errorf("deleted %v, %v", gone, err)
		}
	}
}
