package postgres

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dex/internal/store/postgres"
	"dex/test/servers"
)

func tryOpen(t *testing.T, c postgres.Config) (*postgres.Store, error) {
	t.Helper()
	s, err := postgres.Open(t.Context(), c, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

// encrypted reports whether the server sees the store's connection encrypted.
func encrypted(t *testing.T, s *postgres.Store) bool {
	t.Helper()
	is, _ := ask(t, s, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").(bool)
	return is
}

// ask returns the only value that a query finds.
func ask(t *testing.T, s *postgres.Store, text string, args ...any) any {
	t.Helper()
	_, rows, err := s.Query(t.Context(), text, args...)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		t.Fatalf("%s finds %v, want one value", text, rows)
	}
	return rows[0][0]
}

// strangersFile is the certificate of an authority unrelated to the server.
func strangersFile(t *testing.T) string {
	t.Helper()
	stranger, err := servers.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, stranger.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// asRole gives a role the rights of the configured database's owner.
func asRole(t *testing.T, c postgres.Config, role string) postgres.Config {
	t.Helper()
	admin(t, c.Database, "GRANT "+c.User+" TO "+role)
	c.User, c.Password = role, role
	return c
}

func TestTLS(t *testing.T) {
	t.Parallel()
	// The certificate is for localhost, and not for 127.0.0.1.
	ca, stranger := server.CAFile, strangersFile(t)
	for _, test := range []struct {
		name, mode, host, caFile, role string

		refused string // a part of the error; empty if it connects
		plain   bool   // not encrypted
	}{
		{name: "default verifies", host: "localhost", caFile: ca},
		{name: "default without authority", host: "localhost", refused: "certificate"},
		{name: "verify-full", mode: "verify-full", host: "localhost", caFile: ca},
		{name: "verify-full, another name", mode: "verify-full", host: "127.0.0.1", caFile: ca, refused: "127.0.0.1"},
		{name: "verify-full, another authority", mode: "verify-full", host: "localhost", caFile: stranger, refused: "ssl.caFile"},
		{name: "verify-ca, another name", mode: "verify-ca", host: "127.0.0.1", caFile: ca},
		{name: "verify-ca, another authority", mode: "verify-ca", host: "127.0.0.1", caFile: stranger, refused: "ssl.caFile"},
		{name: "require", mode: "require", host: "127.0.0.1"},
		{name: "require, authority", mode: "require", host: "127.0.0.1", caFile: ca},
		{name: "require, another authority", mode: "require", host: "127.0.0.1", caFile: stranger, refused: "ssl.caFile"},
		{name: "prefer", mode: "prefer", host: "127.0.0.1"},
		{name: "allow", mode: "allow", host: "127.0.0.1", plain: true},
		{name: "disable", mode: "disable", host: "127.0.0.1", plain: true},
		{name: "disable where it must be", mode: "disable", host: "127.0.0.1", role: servers.PostgresTLSOnly, refused: "pg_hba.conf"},
		{name: "allow where it must be", mode: "allow", host: "127.0.0.1", role: servers.PostgresTLSOnly},
		{name: "file is not there", host: "localhost", caFile: "/nowhere/ca.pem", refused: "ssl.caFile"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newConfig(t)
			if test.role != "" {
				c = asRole(t, c, test.role)
			}
			c.Host, c.SSL = test.host, postgres.SSL{Mode: test.mode, CAFile: test.caFile}
			s, err := tryOpen(t, c)
			if test.refused != "" {
				if err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("got error %v, want one that says %q", err, test.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := encrypted(t, s); got == test.plain {
				t.Errorf("encrypted: %v", got)
			}
		})
	}
}

func TestClientCertificate(t *testing.T) {
	t.Parallel()
	c := asRole(t, newConfig(t), servers.PostgresCertified)
	c.Host, c.Password, c.SSL = "localhost", "", postgres.SSL{CAFile: server.CAFile}
	if _, err := tryOpen(t, c); err == nil {
		t.Error("connected without a certificate")
	}
	var err error
	if c.SSL.CertFile, c.SSL.KeyFile, err = server.WriteClientFiles(c.User); err != nil {
		t.Fatal(err)
	}
	if err := open(t, c).Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.Host, c.SSL = server.SocketDir, postgres.SSL{} // never encrypted, whatever the mode
	if encrypted(t, open(t, c)) {
		t.Error("encrypted")
	}
}

func TestHostWithPort(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.Host, c.Port = net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), 1
	open(t, c)
}

func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.Host = "nowhere.invalid,127.0.0.1"
	open(t, c)
}

func TestEnvironmentFillsIn(t *testing.T) {
	c := newConfig(t)
	for name, value := range map[string]string{
		"PGHOST": c.Host, "PGPORT": strconv.Itoa(int(c.Port)), "PGDATABASE": c.Database, "PGUSER": c.User,
		"PGPASSWORD": c.Password,
	} {
		t.Setenv(name, value)
	}
	open(t, postgres.Config{SSL: c.SSL})
	t.Setenv("PGHOST", "nowhere.invalid")
	t.Setenv("PGPASSWORD", "wrong")
	open(t, c) // settings take precedence
}

// refuseTLS starts a server that says that it has no TLS, and returns its port.
func refuseTLS(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, 8)) // the request for TLS
			_, _ = c.Write([]byte("N"))
			_ = c.Close()
		}
	}()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// A silent server accepts connections and sends nothing.
func silent(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func TestErrorsOfOpen(t *testing.T) {
	t.Parallel()
	good := newConfig(t)
	address := net.JoinHostPort(good.Host, strconv.Itoa(int(good.Port)))
	for name, test := range map[string]struct {
		change func(c *postgres.Config)
		want   []string
	}{
		"wrong password": {func(c *postgres.Config) { c.Password = "s3cret" },
			[]string{address, good.Database, good.User, "password authentication failed", "28P01"}},
		"no password":      {func(c *postgres.Config) { c.Password = "" }, []string{address, "password"}},
		"unknown user":     {func(c *postgres.Config) { c.User = "nobody" }, []string{address, `"nobody"`}},
		"unknown database": {func(c *postgres.Config) { c.Database = "nothing" }, []string{address, `"nothing"`, "does not exist"}},
		"unknown host":     {func(c *postgres.Config) { c.Host = "nowhere.invalid" }, []string{"nowhere.invalid"}},
		"nobody listens":   {func(c *postgres.Config) { c.Port = 1 }, []string{"127.0.0.1:1", "connection refused"}},
		"no socket": {func(c *postgres.Config) { c.Host = "/nowhere" },
			[]string{"/nowhere/.s.PGSQL.", "no such file or directory"}},
		"server without TLS": {func(c *postgres.Config) { c.Port, c.SSL.Mode = refuseTLS(t), "" }, []string{"ssl.mode", "disable"}},
		"server is silent": {func(c *postgres.Config) { c.Port, c.ConnectionTimeout = silent(t), 1 },
			[]string{"127.0.0.1:", "timeout"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			test.change(&c)
			start := time.Now()
			_, err := tryOpen(t, c)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error %q does not say %q", err, part)
				}
			}
			for _, secret := range []string{good.Password, "s3cret", "\n"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error %q says %q", err, secret)
				}
			}
			if waited := time.Since(start); waited > 9*time.Second {
				t.Errorf("failed after %v", waited)
			}
		})
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := postgres.Open(ctx, postgres.Config{Host: "127.0.0.1", Port: silent(t)}, slog.New(slog.DiscardHandler))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v", err)
	}
	if waited := time.Since(start); waited > 5*time.Second {
		t.Errorf("failed after %v", waited)
	}
}
