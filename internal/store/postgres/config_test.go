package postgres

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/store"
)

func TestMistakes(t *testing.T) {
	for name, test := range map[string]struct {
		config Config
		want   []string // the keys
	}{
		"nothing set":    {Config{}, nil},
		"everything set": {Config{Host: "db:5433", ConnectionTimeout: 1, MaxOpenConns: 1, SSL: SSL{Mode: "allow"}}, nil},
		"unknown mode":   {Config{SSL: SSL{Mode: "verify_full"}}, []string{"ssl.mode"}},
		"mode of MySQL":  {Config{SSL: SSL{Mode: "true"}}, []string{"ssl.mode"}},
		"negative numbers": {
			Config{ConnectionTimeout: -1, MaxOpenConns: -1, MaxIdleConns: -1, ConnMaxLifetime: -1},
			[]string{"connectionTimeout"}, // to upstream, the others mean no limit, and that none is kept
		},
		"numbers too large": {
			Config{ConnectionTimeout: 1 << 40, ConnMaxLifetime: 1 << 40}, []string{"connMaxLifetime", "connectionTimeout"},
		},
		"port in host is a word": {Config{Host: "db:postgres"}, []string{"host"}},
		"port in host too large": {Config{Host: "db:65536"}, []string{"host"}},
		"port in host is zero":   {Config{Host: "db:0"}, []string{"host"}},
		"colon in a socket path": {Config{Host: "/run/a:b"}, nil},
		"list with ports":        {Config{Host: "a:5432, b:5433,c"}, nil},
		"bad port in a list":     {Config{Host: "a:5432,b:x"}, []string{"host"}},
		"empty entry of a list":  {Config{Host: "a:5432,"}, []string{"host"}},
	} {
		got := slices.Sorted(maps.Keys(test.config.Mistakes()))
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got mistakes in %q, want %q", name, got, test.want)
		}
	}
}

func TestPoolWithoutLimits(t *testing.T) {
	for _, n := range []int{-1, math.MinInt} {
		c := Config{MaxOpenConns: n, ConnMaxLifetime: n}
		p, err := c.pool()
		if err != nil {
			t.Fatal(err)
		}
		if p.open != 100 || p.lifetime < 10*365*24*time.Hour {
			t.Errorf("%d: got %d connections for %v, want 100 for ever", n, p.open, p.lifetime)
		}
	}
}

func TestEveryModeOfSSLIsUnderstood(t *testing.T) {
	for _, mode := range append(sslModes, "") {
		c := Config{Host: "db.example", SSL: SSL{Mode: mode}}
		if got := c.Mistakes(); len(got) > 0 {
			t.Errorf("mode %q: %q", mode, got)
		}
		if _, err := c.pool(); err != nil {
			t.Errorf("mode %q: %v", mode, err)
		}
	}
}

func TestPlace(t *testing.T) {
	for _, name := range []string{"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE"} {
		t.Setenv(name, "")
	}
	for name, test := range map[string]struct {
		config Config
		want   string
	}{
		"default":           {Config{}, "localhost:5432"},
		"port":              {Config{Port: 5433}, "localhost:5433"},
		"host":              {Config{Host: "db"}, "db:5432"},
		"host and port":     {Config{Host: "db", Port: 5433}, "db:5433"},
		"port in host wins": {Config{Host: "db:5434", Port: 5433}, "db:5434"},
		"IPv6":              {Config{Host: "2001:db8::1"}, "[2001:db8::1]:5432"},
		"IPv6 in brackets":  {Config{Host: "[2001:db8::1]"}, "[2001:db8::1]:5432"},
		"IPv6 and port":     {Config{Host: "[2001:db8::1]:5433"}, "[2001:db8::1]:5433"},
		"socket":            {Config{Host: "/run/postgresql"}, "the socket /run/postgresql/.s.PGSQL.5432"},
		"socket and port":   {Config{Host: "/run/postgresql", Port: 5433}, "the socket /run/postgresql/.s.PGSQL.5433"},
		"several":           {Config{Host: "a,b"}, "a:5432, b:5432"},
		"with their ports":  {Config{Host: "a:5433, b:5434"}, "a:5433, b:5434"},
		"one with its port": {Config{Host: "a,[2001:db8::1]:5434,/run/pg", Port: 5433},
			"a:5433, [2001:db8::1]:5434, the socket /run/pg/.s.PGSQL.5433"},
		"one with its port, and no other": {Config{Host: "a:5433,b"}, "a:5433, b:5432"},
		"quotes":                          {Config{Host: `a'b\c`}, `a'b\c:5432`},
	} {
		test.config.User, test.config.Database = "us er", `d'b\ `
		c, err := test.config.pool()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := placeOf(c.connect); got != (place{test.want, `d'b\ `, "us er"}) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestPasswordIsNotQuoted(t *testing.T) {
	c := Config{User: "dex", Password: "s3cret'\\ host=evil", SSL: SSL{CertFile: "config.go"}}
	_, err := c.pool()
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("certificate without key: got error %v", err)
	}
	c.SSL = SSL{}
	p, err := c.pool()
	if err != nil {
		t.Fatal(err)
	}
	if p.connect.Password != c.Password || p.connect.Host != defaultHost {
		t.Errorf("got password %q for host %q", p.connect.Password, p.connect.Host)
	}
}

func TestPayload(t *testing.T) {
	longest := strings.Repeat("\xff", store.MaxKey)
	for _, want := range []store.Change{{Kind: "client", Key: "a b"}, {Kind: "\x00", Key: " "}, {Kind: longest, Key: longest}} {
		text := payload(want.Kind, want.Key)
		if got := parsePayload(text); got != want || len(text) >= 8000 || strings.ContainsRune(text, 0) {
			t.Errorf("payload of %d bytes: got %+v, want %+v", len(text), got, want)
		}
	}
	for _, foreign := range []string{"", "?", "YQ", "YQ ?", "? YQ"} {
		got := parsePayload(foreign)
		if got != (store.Change{}) && got.Key != "" {
			t.Errorf("parsePayload(%q): got %+v, want what stands for more than one record", foreign, got)
		}
	}
}
