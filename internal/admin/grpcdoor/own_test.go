package grpcdoor_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"dex/internal/admin/api"
	"dex/internal/admin/api/dexv1"
)

func TestOwnMethods(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	for i := range 5 {
		if _, err := h.dex.CreateClient(ctx, &api.CreateClientReq{Client: &api.Client{Id: fmt.Sprint("c", i), Public: true}}); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	req := &dexv1.ListRequest{PageSize: 2}
	for {
		page, err := h.own.ListClients(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.GetClients() {
			ids = append(ids, c.GetId())
		}
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"c0", "c1", "c2", "c3", "c4", "configured"}, ids); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	if users, err := h.own.ListUsers(ctx, &dexv1.ListRequest{}); err != nil || len(users.GetUsers()) != 1 {
		t.Errorf("users are %v, %v", users, err)
	}
	_, err := h.own.ListUsers(ctx, &dexv1.ListRequest{PageSize: -1})
	wantError(t, err, codes.InvalidArgument, "page_size")
	_, err = h.own.ListUsers(ctx, &dexv1.ListRequest{PageToken: "nonsense"})
	wantError(t, err, codes.InvalidArgument, "")
	_, err = h.dex.CreateConnector(ctx, &api.CreateConnectorReq{Connector: &api.Connector{
		Id: "corp", Type: "mockPassword", Name: "Corp", Config: []byte(`{"username":"u","password":"hidden"}`),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := h.own.ListConnectors(ctx, &dexv1.ListRequest{}); err != nil || strings.Contains(found.String(), "hidden") || !strings.Contains(found.String(), "username") {
		t.Errorf("connectors are %v, %v", found, err)
	}
	made, err := h.dex.CreateClient(ctx, &api.CreateClientReq{Client: &api.Client{Id: "app"}})
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := h.own.RotateClientSecret(ctx, &dexv1.RotateClientSecretRequest{Id: "app"})
	if err != nil || rotated.GetSecret() == "" || rotated.GetSecret() == made.GetClient().GetSecret() {
		t.Errorf("rotated %v, %v", rotated, err)
	}
	if _, err := h.own.EndPreviousSecret(ctx, &dexv1.EndPreviousSecretRequest{Id: "app"}); err != nil {
		t.Error(err)
	}
	_, err = h.own.RotateClientSecret(ctx, &dexv1.RotateClientSecretRequest{Id: "absent"})
	wantError(t, err, codes.NotFound, "")
}

func TestServer(t *testing.T) {
	h, ctx := open(t, nil), t.Context()
	if v, err := h.dex.GetVersion(ctx, &api.VersionReq{}); err != nil || v.GetServer() != "v1" || v.GetApi() != 4 {
		t.Errorf("version is %v, %v", v, err)
	}
	d, err := h.dex.GetDiscovery(ctx, &api.DiscoveryReq{})
	want := &api.DiscoveryResp{Issuer: "https://dex.test", GrantTypesSupported: []string{"implicit"}}
	if err != nil || !proto.Equal(d, want) {
		t.Errorf("discovery is %v, %v", d, err)
	}
	check, err := healthv1.NewHealthClient(h.conn).Check(ctx, &healthv1.HealthCheckRequest{})
	if err != nil || check.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health is %v, %v", check, err)
	}
	if got := handled(t, h, "GetVersion", "OK"); got != 1 {
		t.Errorf("%v calls are counted, want 1", got)
	}
	_, _ = h.dex.GetClient(ctx, &api.GetClientReq{})
	if got := handled(t, h, "GetClient", "Unknown"); got != 1 {
		t.Errorf("%v failed calls are counted, want 1", got)
	}
}

// handled returns how many calls of one of upstream's methods have ended with a code.
func handled(t *testing.T, h *house, method, code string) float64 {
	t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "grpc_server_handled_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["grpc_service"] == "api.Dex" && labels["grpc_method"] == method && labels["grpc_code"] == code && labels["grpc_type"] == "unary" {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// Reflection tells tools what there is, under upstream's names.
func TestReflection(t *testing.T) {
	h := open(t, nil)
	stream, err := reflectionv1.NewServerReflectionClient(h.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileByFilename{FileByFilename: "api/v2/api.proto"},
	}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil || len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) != 1 {
		t.Errorf("got %v, %v", answer, err)
	}
}

// A request that is too large is refused by its length, before it is read.
func TestLargeRequest(t *testing.T) {
	h := open(t, nil)
	_, err := h.dex.CreateClient(t.Context(), &api.CreateClientReq{Client: &api.Client{Id: "a", Name: strings.Repeat("n", 3<<20)}})
	wantError(t, err, codes.ResourceExhausted, "")
	_, err = h.dex.CreateClient(t.Context(), &api.CreateClientReq{Client: &api.Client{Id: "a", Name: strings.Repeat("n", 1<<20)}})
	wantError(t, err, codes.Unknown, "create client: client \"a\" is not valid: it has ")
}

// FuzzEveryMessage sends arbitrary requests to every method. None may panic, and no error may be one of ours.
func FuzzEveryMessage(f *testing.F) {
	h := open(f, nil)
	all := rpcs(f)
	for i := range all {
		f.Add(i, []byte{})
		f.Add(i, []byte("\n\x01a\x12\x01b\x1a\x01c\x22\x01d"))
		f.Add(i, []byte("\n\x10\n\x01a\x12\x01b\x1a\x01c\x22\x01{\x2a\x01e"))
	}
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		m := all[(which%len(all)+len(all))%len(all)]
		req := dynamicpb.NewMessage(m.Input())
		if proto.Unmarshal(data, req) != nil {
			return
		}
		name := fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
		err := h.conn.Invoke(t.Context(), name, req, dynamicpb.NewMessage(m.Output()))
		if code := status.Code(err); code == codes.Internal || code == codes.Unavailable || code == codes.Unimplemented {
			t.Errorf("%s %v: %v\n%s", name, req, err, h.log.String())
		}
	})
}
