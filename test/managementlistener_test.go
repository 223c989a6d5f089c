package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// plainConn connects without TLS.
func plainConn(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Where nothing says who may call, strangers can't reach the management API, and the log says so.
func TestManagementAPIForThisMachine(t *testing.T) {
	t.Parallel()
	w := readWire(t)
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	d := startDex(t, newConfiguration(t).with("grpc", section{"addr": "0.0.0.0:" + port}))
	for _, want := range []string{"server=grpc address=" + address, "it listens on " + address + " only", "asks nobody who they are"} {
		if !strings.Contains(d.log.String(), want) {
			t.Errorf("the log doesn't say %q", want)
		}
	}
	if _, err := w.call(t.Context(), plainConn(t, address), "ListClients", "{}"); err != nil {
		t.Error(err)
	}
	// A token that is wrong is refused even where none is needed.
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer x")
	if _, err := w.call(ctx, plainConn(t, address), "ListClients", "{}"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a token that is wrong: %v", err)
	}

	socket := filepath.Join(t.TempDir(), "admin.sock")
	startDex(t, newConfiguration(t).with("grpc", section{"addr": "unix://" + socket}))
	if _, err := w.call(t.Context(), plainConn(t, "unix://"+socket), "ListClients", "{}"); err != nil {
		t.Error(err)
	}
}

// Another configuration says anew who may call. Without any such rule a listener for strangers lets nobody in.
func TestManagementAccessIsReloaded(t *testing.T) {
	t.Parallel()
	w := readWire(t)
	address := freeAddress(t)
	c := newConfiguration(t).with("grpc", section{"addr": "0.0.0.0" + address[strings.Index(address, ":"):]}).with("api", section{"adminTokens": true})
	file := c.write(t)
	d := &dex{process: startProcess(t, "dex", binaries.dex, "serve", file), configuration: c, transport: newTransport(nil)}
	d.waitReady(t)
	conn := plainConn(t, address)
	call := func() codes.Code {
		_, err := w.call(t.Context(), conn, "GetVersion", "{}")
		return status.Code(err)
	}
	apply := func(settings section, grpcSettings section) {
		before := strings.Count(d.log.String(), "configuration applied")
		text, err := os.ReadFile(c.with("api", settings).with("grpc", grpcSettings).write(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		d.signal(t, syscall.SIGHUP)
		eventually(t, patience, "the configuration is applied", func() bool {
			return strings.Count(d.log.String(), "configuration applied") > before
		})
	}
	if got := call(); got != codes.Unauthenticated {
		t.Errorf("at the start: %v", got)
	}
	apply(section{"adminTokens": false}, section{})
	if got := call(); got != codes.Unauthenticated {
		t.Errorf("when nothing says who may call any more: %v", got)
	}
	apply(section{}, section{"insecureAnonymous": true})
	if got := call(); got != codes.OK {
		t.Errorf("when everybody may: %v", got)
	}
}

// The check looks at the files too.
func TestCheckOfTheManagementAPIsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := newAuthority(t).issue(t, 2)
	c := newConfiguration(t).with("grpc", section{
		"addr": "0.0.0.0:5557", "tlsCert": writeFile(t, dir, "grpc.crt", cert), "tlsKey": writeFile(t, dir, "grpc.key", key),
		"tlsClientCA": writeFile(t, dir, "ca.crt", "nonsense"),
	})
	got := runDex(t, "", "check", c.write(t))
	got.want(t, 2)
	if !strings.Contains(got.stdout+got.stderr, "grpc.tlsClientCA: ") || !strings.Contains(got.stdout+got.stderr, "no certificate in PEM form") {
		t.Errorf("the check says %s%s", got.stdout, got.stderr)
	}
	c.with("grpc", section{"tlsKey": filepath.Join(dir, "absent")})
	if got := runDex(t, "", "check", c.write(t)); !strings.Contains(got.stdout+got.stderr, "grpc.tlsKey: can't open") {
		t.Errorf("the check says %s%s", got.stdout, got.stderr)
	}
}
