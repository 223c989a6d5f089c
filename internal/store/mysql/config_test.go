package mysql

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/config"
)

// read returns the configuration that stands in a file.
func read(t *testing.T, text string) Config {
	t.Helper()
	section, err := config.SectionFromJSON("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var c Config
	if problems := section.Decode(&c); len(problems) > 0 {
		t.Fatalf("%s: %v", text, problems)
	}
	return c
}

func TestEveryKeyOfAFileIsRead(t *testing.T) {
	got := read(t, `{"host": "db", "port": 3307, "database": "dex", "user": "u", "password": "p", "connectionTimeout": 1,
		"maxOpenConns": 2, "maxIdleConns": 3, "connMaxLifetime": 4,
		"ssl": {"mode": true, "caFile": "ca", "certFile": "cert", "keyFile": "key"}}`)
	want := Config{
		Host: "db", Port: 3307, Database: "dex", User: "u", Password: "p", ConnectionTimeout: 1,
		MaxOpenConns: 2, MaxIdleConns: 3, ConnMaxLifetime: 4,
		SSL: SSL{Mode: "true", CAFile: "ca", CertFile: "cert", KeyFile: "key"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if found := got.Mistakes(); len(found) > 0 {
		t.Errorf("mistakes: %v", found)
	}
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                 "tcp 127.0.0.1:3306",
		`{"port": 3307}`:                     "tcp 127.0.0.1:3307",
		`{"host": "db"}`:                     "tcp db:3306",
		`{"host": "db", "port": 3307}`:       "tcp db:3307",
		`{"host": "db:3307"}`:                "tcp db:3307",
		`{"host": "db:3307", "port": 3307}`:  "tcp db:3307",
		`{"host": "db:"}`:                    "tcp db:3306",
		`{"host": ":3307"}`:                  "tcp 127.0.0.1:3307",
		`{"host": "::1"}`:                    "tcp [::1]:3306",
		`{"host": "[::1]", "port": 3307}`:    "tcp [::1]:3307",
		`{"host": "[::1]:3307"}`:             "tcp [::1]:3307",
		`{"host": "/run/mysql.sock"}`:        "unix /run/mysql.sock",
		`{"host": "/run/m.sock", "port": 1}`: "unix /run/m.sock",
	} {
		c := read(t, text)
		at := c.addresses()[0]
		if got := at.network + " " + at.dial; got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestSeveralServers(t *testing.T) {
	c := read(t, `{"hosts": ["db1", "db2:3308", "[::1]", "/run/mysql.sock"], "port": 3307}`)
	want := []address{
		{"tcp", "db1:3307", "db1"}, {"tcp", "db2:3308", "db2"}, {"tcp", "[::1]:3307", "::1"}, {"unix", "/run/mysql.sock", ""},
	}
	if got := c.addresses(); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, at := range want { // each shows a certificate for its own name
		d, err := c.forDriver(at, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if at.network == "tcp" && d.TLS.ServerName != at.name || at.network == "unix" && d.TLS != nil {
			t.Errorf("%s: TLS is %+v", at.dial, d.TLS)
		}
	}
}

func TestWhatIsLeftOutGetsADefault(t *testing.T) {
	var c Config
	if c.connectionTimeout() != 10*time.Second || c.connMaxLifetime() != 5*time.Minute {
		t.Errorf("connectionTimeout %v, connMaxLifetime %v", c.connectionTimeout(), c.connMaxLifetime())
	}
	if c.maxOpenConns() < 10 || c.maxIdleConns() != c.maxOpenConns() {
		t.Errorf("maxOpenConns %d, maxIdleConns %d; want at least 10, and all of them kept", c.maxOpenConns(), c.maxIdleConns())
	}
	c = Config{ConnectionTimeout: 1, MaxOpenConns: 2, MaxIdleConns: 3, ConnMaxLifetime: 4}
	if c.connectionTimeout() != time.Second || c.connMaxLifetime() != 4*time.Second {
		t.Errorf("connectionTimeout %v, connMaxLifetime %v", c.connectionTimeout(), c.connMaxLifetime())
	}
	if c.maxOpenConns() != 2 || c.maxIdleConns() != 3 {
		t.Errorf("maxOpenConns %d, maxIdleConns %d", c.maxOpenConns(), c.maxIdleConns())
	}
}

func TestNegativeNumbersMeanNoLimit(t *testing.T) {
	c := read(t, `{"database": "dex", "maxOpenConns": -1, "maxIdleConns": -1, "connMaxLifetime": -9223372036854775808}`)
	if found := c.Mistakes(); len(found) > 0 {
		t.Errorf("mistakes: %v", found)
	}
	if c.maxOpenConns() >= 0 || c.maxIdleConns() >= 0 || c.connMaxLifetime() >= 0 {
		t.Errorf("maxOpenConns %d, maxIdleConns %d, connMaxLifetime %v; want less than 0, as database/sql takes them",
			c.maxOpenConns(), c.maxIdleConns(), c.connMaxLifetime())
	}
	c.MaxIdleConns = 0
	if c.maxIdleConns() < 10 {
		t.Errorf("%d of any number of connections are kept, want at least 10", c.maxIdleConns())
	}
}

func TestMistakesAreFoundByKey(t *testing.T) {
	for text, key := range map[string]string{
		`{}`: "database",
		`{"database": "dex", "host": "db:3307", "port": 3306}`:          "host",
		`{"database": "dex", "host": "a,b"}`:                            "host",
		`{"database": "dex", "host": "a", "hosts": ["b", "c"]}`:         "host",
		`{"database": "dex", "hosts": ["a", ""]}`:                       "hosts",
		`{"database": "dex", "connectionTimeout": -1}`:                  "connectionTimeout",
		`{"database": "dex", "connectionTimeout": 9223372036854775807}`: "connectionTimeout",
		`{"database": "dex", "connMaxLifetime": 9223372036854775807}`:   "connMaxLifetime",
		`{"database": "dex", "ssl": {"mode": "require"}}`:               "ssl.mode",
		`{"database": "dex", "ssl": {"mode": "custom"}}`:                "ssl.mode",
	} {
		c := read(t, text)
		if found := c.Mistakes(); len(found) != 1 || found[key] == "" {
			t.Errorf("%s: got mistakes %v, want one of %s", text, found, key)
		}
	}
}

func TestModes(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                         modeVerify,
		`{"mode": true}`:                             modeVerify,
		`{"mode": "TRUE"}`:                           modeVerify,
		`{"mode": 1}`:                                modeVerify,
		`{"mode": false}`:                            modePlain,
		`{"mode": "false"}`:                          modePlain,
		`{"mode": "skip-verify"}`:                    modeSkipVerify,
		`{"mode": "Preferred"}`:                      modePreferred,
		`{"mode": "custom", "caFile": "ca"}`:         modeCustom,
		`{"mode": false, "caFile": "ca"}`:            modeCustom,
		`{"mode": "skip-verify", "certFile": "crt"}`: modeCustom,
		`{"mode": "nonsense", "keyFile": "key"}`:     modeCustom,
	} {
		c := read(t, `{"database": "dex", "ssl": `+text+`}`)
		if got := c.SSL.mode(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
		if found := c.Mistakes(); len(found) > 0 {
			t.Errorf("%s: mistakes %v", text, found)
		}
	}
}

func TestUnreadableFilesAreNamedByTheirKey(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notPEM, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for key, ssl := range map[string]SSL{
		"ssl.caFile: open " + missing:          {CAFile: missing},
		"ssl.caFile: no certificate":           {CAFile: notPEM},
		"ssl.certFile and ssl.keyFile: open":   {CertFile: missing, KeyFile: notPEM},
		"ssl.certFile and ssl.keyFile: tls: f": {CertFile: notPEM, KeyFile: notPEM},
	} {
		config := Config{Database: "dex", SSL: ssl}
		_, err := Open(t.Context(), config, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%+v: got error %v, want %s", ssl, err, key)
		}
	}
}

func TestHalfAClientCertificateIsOnlyAWarning(t *testing.T) {
	var out strings.Builder
	c := Config{Database: "dex", SSL: SSL{CertFile: "cert"}}
	if _, err := c.forDriver(c.addresses()[0], slog.New(slog.NewTextHandler(&out, nil))); err != nil {
		t.Errorf("got error %v", err)
	}
	if !strings.Contains(out.String(), "ssl.keyFile") {
		t.Errorf("the log is: %s", out.String())
	}
}
