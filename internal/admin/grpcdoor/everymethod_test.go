package grpcdoor_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"dex/internal/admin"
	"dex/internal/admin/admintest"
	"dex/internal/admin/api"
	"dex/internal/admin/api/dexv1"
	"dex/internal/event"
)

// rpcs returns all methods of all services, from their descriptors.
func rpcs(t testing.TB) []protoreflect.MethodDescriptor {
	t.Helper()
	var all []protoreflect.MethodDescriptor
	for _, file := range []protoreflect.FileDescriptor{api.File_api_v2_api_proto, dexv1.File_api_dex_v1_admin_proto} {
		for i := range file.Services().Len() {
			for j := range file.Services().Get(i).Methods().Len() {
				all = append(all, file.Services().Get(i).Methods().Get(j))
			}
		}
	}
	if len(all) < 46 {
		t.Fatalf("found only %d methods", len(all))
	}
	return all
}

// call calls a method with an empty request.
func call(ctx context.Context, conn *grpc.ClientConn, m protoreflect.MethodDescriptor) error {
	name := fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
	return conn.Invoke(ctx, name, dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output()))
}

// Each method by each role, and by nobody. What must be allowed is written here a second time.
func TestEveryMethodByEveryRole(t *testing.T) {
	h := open(t, nil)
	h.room.Access = admin.NewAccess(admin.AccessConfig{Tokens: h.Tokens})
	reads := []string{"ListClients", "ListPasswords", "ListRefresh", "GetAuthSession", "ListAuthSessions", "GetUserIdentity", "ListUserIdentities",
		"ListMFADevices", "ListUsers", "ListConnectors", "ListSessions", "ListIdentities", "ListFactors"}
	ofUsers := []string{"Password", "Refresh", "Session", "Identit", "MFA", "Credential", "Consent", "User", "Factor"}
	allowed := func(m protoreflect.MethodDescriptor, role admin.Role) bool {
		name := string(m.Name())
		switch {
		case role == admin.RoleAll, name == "GetVersion", name == "GetDiscovery":
			return true
		case m.FullName() == "api.Dex.ListConnectors": // has secrets
			return role == admin.RoleConnectors
		case role == admin.RoleRead:
			return slices.Contains(reads, name)
		case slices.ContainsFunc(ofUsers, func(part string) bool { return strings.Contains(name, part) }):
			return role == admin.RoleUsers
		case strings.Contains(name, "Connector"):
			return role == admin.RoleConnectors
		}
		return role == admin.RoleClients
	}
	for _, role := range admin.Roles {
		token, _, err := h.Tokens.Create(admintest.As(t, admin.RoleAll), "ci", []admin.Role{role}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
		for _, m := range rpcs(t) {
			code := status.Code(call(ctx, h.conn, m))
			if got := code != codes.PermissionDenied; got != allowed(m, role) || code == codes.Unauthenticated {
				t.Errorf("%s by %s: got %v", m.FullName(), role, code)
			}
		}
	}
	for what, ctx := range map[string]context.Context{
		"nobody":      t.Context(),
		"a bad token": metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer dexadmin_x_y"),
		"no bearer":   metadata.AppendToOutgoingContext(t.Context(), "authorization", "Basic eDp5"),
	} {
		for _, m := range rpcs(t) {
			wantError(t, call(ctx, h.conn, m), codes.Unauthenticated, "")
		}
		stream, err := reflectionv1.NewServerReflectionClient(h.conn).ServerReflectionInfo(ctx)
		if err == nil {
			_, err = stream.Recv()
		}
		wantError(t, err, codes.Unauthenticated, "")
		if _, err := healthv1.NewHealthClient(h.conn).Check(ctx, &healthv1.HealthCheckRequest{}); err != nil {
			t.Errorf("health by %s: %v", what, err)
		}
	}
	for _, e := range h.Events() {
		c, ok := e.(event.CallEnded)
		if !ok {
			continue
		}
		denied := c.Err != nil && slices.Contains([]admin.Reason{admin.Forbidden, admin.Unauthenticated}, admin.ReasonOf(c.Err))
		if c.Denied != denied || c.Err == nil && c.By != "ci" {
			t.Errorf("event %+v", c)
		}
	}
}

// Old clients look at the message only. Others can ask for codes that say what went wrong, and find details in any case.
func TestStatusCodes(t *testing.T) {
	h := open(t, nil)
	asking := metadata.AppendToOutgoingContext(t.Context(), "dex-status-codes", "standard")
	for _, c := range []struct {
		call   func(context.Context) error
		code   codes.Code
		reason string
	}{
		{func(ctx context.Context) error {
			_, err := h.dex.GetClient(ctx, &api.GetClientReq{Id: "a"})
			return err
		}, codes.NotFound, "NOT_FOUND"},
		{func(ctx context.Context) error { _, err := h.dex.CreateClient(ctx, &api.CreateClientReq{}); return err }, codes.InvalidArgument, "INVALID"},
		{func(ctx context.Context) error {
			_, err := h.dex.DeleteClient(ctx, &api.DeleteClientReq{Id: "configured"})
			return err
		}, codes.FailedPrecondition, "READ_ONLY"},
	} {
		wantError(t, c.call(t.Context()), codes.Unknown, "")
		wantError(t, c.call(asking), c.code, "")
		if info, ok := status.Convert(c.call(t.Context())).Details()[0].(*errdetails.ErrorInfo); !ok || info.GetReason() != c.reason || info.GetDomain() != "dex" {
			t.Errorf("details are %v", info)
		}
	}
	_, err := h.dex.CreateClient(t.Context(), &api.CreateClientReq{Client: &api.Client{RedirectUris: []string{"https://a.test", "data:x"}}})
	bad, ok := status.Convert(err).Details()[1].(*errdetails.BadRequest)
	if !ok || bad.GetFieldViolations()[0].GetField() != "redirectURIs[1]" {
		t.Errorf("details are %v", bad)
	}
	h.room.StandardCodes = true
	_, err = h.dex.GetClient(t.Context(), &api.GetClientReq{Id: "a"})
	wantError(t, err, codes.NotFound, "not found")
}
