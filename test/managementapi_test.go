package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
)

// A managed server has the management API, over mutual TLS.
type managed struct {
	*dex
	address   string
	authority *authority
	files     section // of the server's certificate and the authority
	wire      *wire
}

// startManaged starts a server with the management API; change may change its configuration.
func startManaged(t *testing.T, change func(*configuration)) *managed {
	t.Helper()
	m := &managed{address: freeAddress(t), authority: newAuthority(t), wire: readWire(t)}
	cert, key := m.authority.issue(t, 2)
	dir := t.TempDir()
	m.files = section{
		"addr": m.address, "reflection": true, "tlsCert": writeFile(t, dir, "grpc.crt", cert), "tlsKey": writeFile(t, dir, "grpc.key", key),
		"tlsClientCA": writeFile(t, dir, "ca.crt", m.authority.pem()),
	}
	c := newConfiguration(t).with("grpc", m.files).with("oauth2", section{"passwordConnector": "local"})
	if change != nil {
		change(c)
	}
	program := exec.Command(binaries.dex, "serve", c.write(t))
	program.Env = append(cleanEnvironment(), "DEX_API_CONNECTORS_CRUD=true", "DEX_API_SESSIONS_IDENTITIES_CRUD=true")
	m.dex = &dex{process: startCommand(t, "dex", program), configuration: c, transport: newTransport(nil)}
	m.waitReady(t)
	return m
}

// clientCertificate returns a certificate of an authority for a client.
func clientCertificate(t *testing.T, a *authority, name string) *tls.Certificate {
	t.Helper()
	cert, key := a.issueTo(t, 3, func(template *x509.Certificate) {
		template.Subject = pkix.Name{CommonName: name}
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

// dial connects with a certificate; nil for none.
func (m *managed) dial(t *testing.T, certificate *tls.Certificate) *grpc.ClientConn {
	t.Helper()
	config := &tls.Config{RootCAs: m.authority.pool(), MinVersion: tls.VersionTLS12}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	conn, err := grpc.NewClient(m.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// A client that knows the wire only from the numbers calls every method over mutual TLS.
func TestManagementAPI(t *testing.T) {
	t.Parallel()
	m := startManaged(t, nil)
	conn := m.dial(t, clientCertificate(t, m.authority, "terraform"))
	encoded := base64.StdEncoding.EncodeToString
	sub := "CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs" // the administrator's
	m.tokens(t, "openid offline_access")
	called := map[string]bool{}
	for _, step := range []struct{ rpc, request, want string }{
		{"CreateClient", `{"client":{"id":"app","secret":"s3cret","name":"App","redirectUris":["https://a.test/"]}}`,
			`{"client":{"id":"app","secret":"s3cret","redirectUris":["https://a.test/"],"name":"App"}}`},
		{"CreateClient", `{"client":{"id":"app","public":true}}`, `{"alreadyExists":true}`},
		{"UpdateClient", `{"id":"app","name":"Other","backchannelLogoutUri":"https://a.test/out"}`, `{}`},
		{"UpdateClient", `{"id":"app","backchannelLogoutUri":"","refreshTokenLifetime":"session","trustedPeers":["p"]}`, `{}`},
		{"UpdateClient", `{"id":"absent"}`, `{"notFound":true}`},
		{"GetClient", `{"id":"app"}`, `{"client":{"id":"app","redirectUris":["https://a.test/"],"trustedPeers":["p"],"name":"Other",` +
			`"refreshTokenLifetime":"session"}}`},
		{"ListClients", `{}`, `"id":"app"`},
		{"DeleteClient", `{"id":"app"}`, `{}`},
		{"DeleteClient", `{"id":"app"}`, `{"notFound":true}`},
		{"CreatePassword", `{"password":{"email":"Jane@example.com","hash":"` + encoded([]byte(adminHash)) + `","username":"jane","userId":"u-1"}}`, `{}`},
		{"UpdatePassword", `{"email":"jane@example.com","newUsername":"janet"}`, `{}`},
		{"ListPasswords", `{}`, `{"email":"Jane@example.com","username":"janet","userId":"u-1"}`},
		{"VerifyPassword", `{"email":"jane@example.com","password":"password"}`, `{"verified":true}`},
		{"VerifyPassword", `{"email":"jane@example.com","password":"wrong"}`, `{}`},
		{"VerifyPassword", `{"email":"nobody@example.com","password":"wrong"}`, `{"notFound":true}`},
		{"DeletePassword", `{"email":"jane@example.com"}`, `{}`},
		{"CreateConnector", `{"connector":{"id":"corp","type":"mockCallback","name":"Corp","config":"` + encoded([]byte("{}")) + `"}}`, `{}`},
		{"UpdateConnector", `{"id":"corp","newGrantTypes":{"grantTypes":["refresh_token"]}}`, `{}`},
		{"ListConnectors", `{}`, `{"id":"corp","type":"mockCallback","name":"Corp","config":"e30=","grantTypes":["refresh_token"]}`},
		{"DeleteConnector", `{"id":"corp"}`, `{}`},
		{"GetVersion", `{}`, `"api":4`},
		{"GetDiscovery", `{}`, `"tokenEndpoint":"` + m.endpoint("/token") + `"`},
		{"ListRefresh", `{"userId":"` + sub + `"}`, `"clientId":"` + clientID + `"`},
		{"RevokeRefresh", `{"userId":"` + sub + `","clientId":"` + clientID + `"}`, `{}`},
		{"RevokeRefresh", `{"userId":"` + sub + `","clientId":"` + clientID + `"}`, `{"notFound":true}`},
		{"ListRefresh", `{"userId":"` + sub + `"}`, `{}`},
		{"ListAuthSessions", `{}`, `{}`},
		{"DeleteAuthSession", `{"id":"a"}`, `{"notFound":true}`},
		{"TerminateSessionsByConnector", `{"connectorId":"a"}`, `{}`},
		{"TerminateSessionsByUser", `{"userId":"a"}`, `{}`},
		{"ListUserIdentities", `{}`, `{}`},
		{"DeleteUserIdentity", `{"userId":"a","connectorId":"b"}`, `{"notFound":true}`},
		{"ResetMFA", `{"userId":"a","connectorId":"b"}`, `{"notFound":true}`},
		{"DeleteWebAuthnCredential", `{"userId":"a","connectorId":"b","credentialId":"Yw=="}`, `{"notFound":true}`},
		{"DeleteMFASecret", `{"userId":"a","connectorId":"b","authenticatorId":"c"}`, `{"notFound":true}`},
		{"RevokeConsent", `{"userId":"a","connectorId":"b","clientId":"c"}`, `{"notFound":true}`},
	} {
		called[step.rpc] = true
		got, err := m.wire.call(t.Context(), conn, step.rpc, step.request)
		if got != step.want && (len(step.want) < 4 || strings.HasPrefix(step.want, `{"notFound`) || !strings.Contains(got, step.want)) || err != nil {
			t.Errorf("%s %s: got %s, %v, want %s", step.rpc, step.request, got, err, step.want)
		}
	}
	for rpc, request := range map[string]string{
		"GetAuthSession": `{"id":"a"}`, "GetUserIdentity": `{"userId":"a","connectorId":"b"}`, "ListMFADevices": `{"userId":"a","connectorId":"b"}`,
	} {
		called[rpc] = true
		if _, err := m.wire.call(t.Context(), conn, rpc, request); status.Code(err) != codes.Unknown || status.Convert(err).Message() != "not found" {
			t.Errorf("%s: %v", rpc, err)
		}
	}
	methods := m.wire.file.Services().ByName("Dex").Methods()
	for i := range methods.Len() {
		if name := string(methods.Get(i).Name()); !called[name] {
			t.Errorf("nobody has called %s", name)
		}
	}
	if n := m.metric(t, `grpc_server_handled_total{grpc_code="OK",grpc_method="ListRefresh",grpc_service="api.Dex",grpc_type="unary"}`); n != 2 {
		t.Errorf("%v calls are counted, want 2", n)
	}
	checkReflection(t, m, conn)
}

// tokens signs the administrator in with a password, and returns the answer.
func (d *dex) tokens(t *testing.T, scope string) map[string]any {
	t.Helper()
	form := url.Values{"grant_type": {"password"}, "username": {adminEmail}, "password": {adminPassword}, "scope": {scope}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.endpoint("/token"), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, clientSecret)
	resp, err := (&http.Client{Transport: d.transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	answer := map[string]any{}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("token: %s, %v, %v", resp.Status, answer, err)
	}
	return answer
}

// checkReflection asks the server what there is, as grpcurl does, and compares that with the wire.
func checkReflection(t *testing.T, m *managed, conn *grpc.ClientConn) {
	t.Helper()
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	list := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	names := map[string]bool{}
	for _, s := range list.GetListServicesResponse().GetService() {
		names[s.GetName()] = true
	}
	if !names["api.Dex"] || !names["dex.v1.Admin"] || !names["grpc.health.v1.Health"] {
		t.Errorf("services are %v", names)
	}
	answer := ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "api.Dex"},
	})
	served := &descriptorpb.FileDescriptorProto{}
	if err := proto.Unmarshal(answer.GetFileDescriptorResponse().GetFileDescriptorProto()[0], served); err != nil {
		t.Fatal(err)
	}
	if served.GetName() != "api/v2/api.proto" || served.GetOptions().GetJavaPackage() != "com.coreos.dex.api" {
		t.Errorf("the file is %s, with options %v", served.GetName(), served.GetOptions())
	}
	file, err := protodesc.NewFile(served, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.wire.lines, linesOf(file)); diff != "" {
		t.Errorf("the wire (-want +got):\n%s", diff)
	}
}

// Who may call, by certificates, ID tokens and admin tokens, and who may not.
func TestManagementAccess(t *testing.T) {
	t.Parallel()
	var file string
	m := startManaged(t, func(c *configuration) {
		c.with("api", section{"adminTokens": true, "access": []section{
			{"name": "reader", "roles": []string{"read"}, "certificate": section{"commonName": "reader"}},
			{"name": "people", "roles": []string{"clients"}, "token": section{"client": clientID, "groups": []string{"team-a/admins"}}},
			{"name": "strangers", "roles": []string{"all"}, "token": section{"client": otherClientID, "groups": []string{"team-a"}}},
		}})
		file = c.write(t)
	})
	made := runDex(t, "", "admin", "token", "create", "--config", file, "--name", "ci", "--role", "users", "--expires", "1h")
	made.want(t, 0)
	token := strings.TrimSpace(made.stdout)
	if list := runDex(t, "", "admin", "token", "list", "--config", file); !strings.Contains(list.stdout, "  ci    users") || strings.Contains(list.stdout, token[len(token)-20:]) {
		t.Errorf("the list of tokens is %s", list.stdout)
	}
	signedIn := m.tokens(t, "openid groups")
	idToken, accessToken := signedIn["id_token"].(string), signedIn["access_token"].(string)
	reader, stranger := clientCertificate(t, m.authority, "reader"), clientCertificate(t, m.authority, "stranger")
	for _, c := range []struct {
		who         string
		certificate *tls.Certificate
		bearer      string
		want        map[string]codes.Code
	}{
		{"a certificate", reader, "", map[string]codes.Code{"ListClients": codes.OK, "CreateClient": codes.PermissionDenied, "ListConnectors": codes.PermissionDenied}},
		{"a certificate that nobody has named", stranger, "", map[string]codes.Code{"GetVersion": codes.PermissionDenied}},
		{"nobody", nil, "", map[string]codes.Code{"GetVersion": codes.Unauthenticated}},
		{"an ID token", nil, idToken, map[string]codes.Code{"CreateClient": codes.Unknown, "ListPasswords": codes.PermissionDenied}},
		{"an access token", nil, accessToken, map[string]codes.Code{"GetVersion": codes.Unauthenticated}},
		{"an ID token that was changed", nil, idToken[:len(idToken)-6] + "AAAAAA", map[string]codes.Code{"GetVersion": codes.Unauthenticated}},
		{"an admin token", nil, token, map[string]codes.Code{"ListPasswords": codes.OK, "ListClients": codes.PermissionDenied}},
		{"an admin token beside a certificate", reader, token, map[string]codes.Code{"ListPasswords": codes.OK, "ListClients": codes.PermissionDenied}},
		{"an admin token that was changed", nil, token[:len(token)-1] + "!", map[string]codes.Code{"GetVersion": codes.Unauthenticated}},
	} {
		conn := m.dial(t, c.certificate)
		ctx := t.Context()
		if c.bearer != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.bearer)
		}
		for rpc, want := range c.want {
			if _, err := m.wire.call(ctx, conn, rpc, "{}"); status.Code(err) != want {
				t.Errorf("%s calls %s: got %v, want %v", c.who, rpc, err, want)
			}
		}
	}
	// Of another authority.
	_, err := m.wire.call(t.Context(), m.dial(t, clientCertificate(t, newAuthority(t), "reader")), "GetVersion", "{}")
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a certificate of another authority: %v", err)
	}
	runDex(t, "", "admin", "token", "revoke", "--config", file, strings.Split(token, "_")[1]).want(t, 0)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
	if _, err := m.wire.call(ctx, m.dial(t, nil), "ListPasswords", "{}"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a token that was revoked: %v", err)
	}
	for _, text := range []string{token, idToken, accessToken, strings.Split(token, "_")[2]} {
		if strings.Contains(m.log.String(), text) {
			t.Error("a token is in the log")
		}
	}
	if !strings.Contains(m.log.String(), `msg="call of the management API denied" by="certificate CN=stranger"`) {
		t.Error("the log doesn't say who was refused")
	}
}

// Another certificate and another authority count for the next connections; what can't be read changes nothing.
func TestManagementCertificatesAreReplaced(t *testing.T) {
	t.Parallel()
	m := startManaged(t, nil)
	replace := func(key, content string) {
		if err := os.WriteFile(m.files[key].(string), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	works := func(a *authority) bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := m.wire.call(ctx, m.dial(t, clientCertificate(t, a, "x")), "GetVersion", "{}")
		return err == nil
	}
	before, after := m.authority, newAuthority(t)
	if !works(before) || works(after) {
		t.Fatal("it doesn't begin as it should")
	}
	replace("tlsClientCA", "nonsense")
	eventually(t, patience, "the log says that the file can't be used", func() bool { return strings.Contains(m.log.String(), "no certificate in PEM form") })
	if !works(before) {
		t.Error("a file that can't be used replaced the one before")
	}
	replace("tlsClientCA", after.pem())
	eventually(t, patience, "the other authority counts", func() bool { return works(after) })
	if works(before) {
		t.Error("the authority before still counts")
	}
	cert, key := after.issue(t, 4)
	replace("tlsKey", key)
	replace("tlsCert", cert)
	m.authority = after // of the server's certificate, for clients
	eventually(t, patience, "the other certificate is served", func() bool { return works(after) })
}

// npm's gRPC client, with a proto file that is made from the numbers.
func TestManagementAPIFromNode(t *testing.T) {
	t.Parallel()
	m := startManaged(t, nil)
	dir := npmInstall(t, "managementapi", "client.js")
	writeFile(t, dir, "api.proto", m.wire.protoSource())
	writeFile(t, dir, "ca.crt", m.authority.pem())
	cert, key := m.authority.issueTo(t, 3, func(template *x509.Certificate) {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	writeFile(t, dir, "client.crt", cert)
	writeFile(t, dir, "client.key", key)
	run := exec.CommandContext(t.Context(), "node", "client.js", m.address, base64.StdEncoding.EncodeToString([]byte(adminHash)))
	run.Dir = dir
	out, err := run.CombinedOutput()
	if err != nil || strings.Count(string(out), "ok ") != 9 {
		t.Errorf("%v\n%s", err, out)
	}
}
