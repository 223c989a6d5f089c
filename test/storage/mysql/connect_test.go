package mysql_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"dex/internal/store"
	"dex/internal/store/mysql"
)

// cipher returns the cipher of a store's connections; empty if they are not encrypted.
func cipher(t *testing.T, s *mysql.Store) string {
	t.Helper()
	var name, value string
	if err := s.DB().QueryRowContext(t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestTLS(t *testing.T) {
	ca := mysql.SSL{CAFile: server.CAFile}
	for name, c := range map[string]struct {
		host      string
		ssl       mysql.SSL
		encrypted bool
		refused   []string // what the error says; none if it connects
	}{
		"own authority":             {"localhost", ca, true, nil},
		"files force custom":        {"localhost", mysql.SSL{Mode: "false", CAFile: server.CAFile}, true, nil},
		"own authority, other name": {"127.0.0.1", ca, false, []string{"127.0.0.1", "host"}},
		"unknown authority":         {"localhost", mysql.SSL{Mode: "true"}, false, []string{"unknown authority", "ssl.caFile"}},
		"verified by default":       {"localhost", mysql.SSL{}, false, []string{"unknown authority", "ssl.caFile"}},
		"skip-verify":               {"127.0.0.1", mysql.SSL{Mode: "skip-verify"}, true, nil},
		"preferred":                 {"127.0.0.1", mysql.SSL{Mode: "preferred"}, true, nil},
		"false":                     {"127.0.0.1", mysql.SSL{Mode: "false"}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			config := newDatabase(t)
			config.Host, config.SSL = c.host, c.ssl
			if c.refused != nil {
				wantRefused(t, config, c.refused...)
				return
			}
			s := open(t, config)
			if got := cipher(t, s); (got != "") != c.encrypted {
				t.Errorf("the cipher is %q, want one: %v", got, c.encrypted)
			}
		})
	}
}

// wantRefused checks that a store can't be opened, and that the error says these things and where, but no password.
func wantRefused(t *testing.T, config mysql.Config, says ...string) {
	t.Helper()
	s, err := mysql.Open(t.Context(), config, quiet)
	if err == nil {
		_ = s.Close()
		t.Fatal("Open succeeded")
	}
	for _, text := range append(says, config.Database, config.Host) {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q: %v", text, err)
		}
	}
	if strings.Contains(err.Error(), config.Password) {
		t.Errorf("the error holds the password: %v", err)
	}
}

func TestServerThatWantsTLS(t *testing.T) {
	setGlobal(t, "require_secure_transport = 1")
	config := newDatabase(t)
	wantRefused(t, config, "ssl.mode")
	config.SSL.Mode = "skip-verify"
	open(t, config)
}

func TestUserWithAClientCertificate(t *testing.T) {
	config := newDatabase(t)
	exec(t, "ALTER USER "+config.User+" REQUIRE SUBJECT '/CN="+config.User+"'")
	config.Host, config.SSL = "localhost", mysql.SSL{CAFile: server.CAFile}
	wantRefused(t, config, "user")
	var err error
	if config.SSL.CertFile, config.SSL.KeyFile, err = server.WriteClientFiles(config.User); err != nil {
		t.Fatal(err)
	}
	open(t, config)
}

// withoutTLS forwards connections to the server, and removes TLS from its greeting.
func withoutTLS(t *testing.T) (port uint16) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go forwardWithoutTLS(client)
		}
	}()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func forwardWithoutTLS(client net.Conn) {
	defer func() { _ = client.Close() }()
	behind, err := net.Dial("unix", server.Socket)
	if err != nil {
		return
	}
	defer func() { _ = behind.Close() }()
	greeting := make([]byte, 4096)
	n, err := behind.Read(greeting)
	if err != nil {
		return
	}
	// A packet's header of 4 bytes, the protocol's version, the server's version up to a NUL, then a thread's number of 4
	// bytes, 8 of a challenge and a filler before the lower two bytes of the capabilities.
	const sslAmongUpperBits = 0x08
	flags := 5 + strings.IndexByte(string(greeting[5:n]), 0) + 1 + 4 + 8 + 1
	greeting[flags+1] &^= sslAmongUpperBits
	if _, err := client.Write(greeting[:n]); err != nil {
		return
	}
	go func() { _, _ = io.Copy(behind, client); _ = behind.Close() }()
	_, _ = io.Copy(client, behind)
}

func TestServerWithoutTLS(t *testing.T) {
	config := newDatabase(t)
	config.Port = withoutTLS(t)
	for _, ssl := range []mysql.SSL{{}, {Mode: "true"}, {Mode: "skip-verify"}, {CAFile: server.CAFile}} {
		config.SSL = ssl
		wantRefused(t, config, "no encryption", "ssl.mode")
	}
	config.SSL = mysql.SSL{Mode: "preferred"}
	if got := cipher(t, open(t, config)); got != "" {
		t.Errorf("the cipher is %q", got)
	}
}

func TestUnixSocket(t *testing.T) {
	config := newDatabase(t)
	config.Host, config.SSL = server.Socket, mysql.SSL{} // the default verifies the host, and there is none
	s := open(t, config)
	create(t, s, store.Record{Kind: "k", Key: "a", Data: []byte("data")})
	wantData(t, s, "k", "a", "data")
	config.Host = "/nonexistent.sock"
	wantRefused(t, config)
}

func TestRefusalsSayWhy(t *testing.T) {
	config := newDatabase(t)
	change := func(change func(*mysql.Config)) mysql.Config {
		c := config
		change(&c)
		return c
	}
	closed := closedPort(t)
	t.Run("password", func(t *testing.T) {
		wantRefused(t, change(func(c *mysql.Config) { c.Password = "not-the-password" }), "password", config.User)
	})
	t.Run("user", func(t *testing.T) {
		wantRefused(t, change(func(c *mysql.Config) { c.User = "nobody" }), "nobody")
	})
	t.Run("database", func(t *testing.T) {
		wantRefused(t, change(func(c *mysql.Config) { c.Database = "dex_none" }), "database")
	})
	t.Run("port", func(t *testing.T) {
		wantRefused(t, change(func(c *mysql.Config) { c.Port = closed }), fmt.Sprint(closed), "refused")
	})
	t.Run("host", func(t *testing.T) {
		wantRefused(t, change(func(c *mysql.Config) { c.Host = "no-such-host.invalid" }))
	})
	t.Run("mode", func(t *testing.T) {
		wantRefused(t, change(func(c *mysql.Config) { c.SSL.Mode = "require" }), "ssl.mode")
	})
}

func closedPort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// The connection is accepted, but no greeting comes.
func TestConnectionTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	config := newDatabase(t)
	config.Port, config.ConnectionTimeout = uint16(l.Addr().(*net.TCPAddr).Port), 1
	began := time.Now()
	wantRefused(t, config)
	if took := time.Since(began); took < time.Second || took > 5*time.Second {
		t.Errorf("it took %v, want 1s", took)
	}
}

func TestTheFileOfCAsIsRead(t *testing.T) {
	config := newDatabase(t)
	config.Host, config.SSL.CAFile = "localhost", t.TempDir()+"/ca.pem"
	wantRefused(t, config, "ssl.caFile")
	pem, err := os.ReadFile(server.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config.SSL.CAFile, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, config)
}
