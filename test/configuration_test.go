package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// The people and applications in every configuration of the tests.
const (
	adminEmail    = "admin@example.com"
	adminPassword = "password"
	adminName     = "Admin User"
	// adminHash is the bcrypt hash of adminPassword, of cost 10.
	adminHash = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"

	clientID     = "example-app"
	clientSecret = "ZXhhbXBsZS1hcHAtc2VjcmV0"
	// callbackURL is where the tests' applications get answers. Nothing needs to listen there.
	callbackURL = "http://127.0.0.1:5555/callback"

	otherClientID     = "other-app"
	otherClientSecret = "b3RoZXItYXBwLXNlY3JldA"
	publicClientID    = "cli"
)

// A section is a mapping in a configuration file.
type section = map[string]any

// A configuration is for one of the tests' servers. It is written as JSON, which is YAML.
type configuration struct {
	issuer    string
	telemetry string // base URL
	database  string // the SQLite file
	root      section
}

// newConfiguration returns a configuration for a free port and an empty database: the password database and the mock
// connector, consent asked for.
func newConfiguration(t *testing.T) *configuration {
	t.Helper()
	web, telemetry := freeAddress(t), freeAddress(t)
	c := &configuration{
		issuer:    "http://" + web + "/dex",
		telemetry: "http://" + telemetry,
		database:  filepath.Join(t.TempDir(), "dex.db"),
	}
	c.root = section{
		"issuer":    c.issuer,
		"storage":   section{"type": "sqlite3", "config": section{"file": c.database}},
		"web":       section{"http": web},
		"telemetry": section{"http": telemetry},
		"staticClients": []section{
			{"id": clientID, "name": "Example App", "secret": clientSecret, "redirectURIs": []string{callbackURL}},
			{"id": otherClientID, "name": "Other App", "secret": otherClientSecret, "redirectURIs": []string{callbackURL}},
			{"id": publicClientID, "name": "Command Line", "public": true},
		},
		"connectors":       []section{{"type": "mockCallback", "id": "mock", "name": "Example"}},
		"enablePasswordDB": true,
		"staticPasswords": []section{{
			"email": adminEmail, "hash": adminHash, "username": "admin", "name": adminName,
			"preferredUsername": "admin", "emailVerified": true, "groups": []string{"team-a", "team-a/admins"},
			"userID": "08a8684b-db88-4b73-90a9-3cd1661f5466",
		}},
	}
	return c
}

// with sets a section at the top level, or merges it into the existing one.
func (c *configuration) with(key string, value any) *configuration {
	was, mapping := c.root[key].(section)
	more, alsoMapping := value.(section)
	if mapping && alsoMapping {
		merged := maps.Clone(was)
		maps.Copy(merged, more)
		value = merged
	}
	c.root[key] = value
	return c
}

// withIssuer changes the issuer.
func (c *configuration) withIssuer(issuer string) *configuration {
	c.issuer = issuer
	return c.with("issuer", issuer)
}

// withReuseInterval sets how long a refresh token may be reused.
func (c *configuration) withReuseInterval(d string) *configuration {
	return c.with("expiry", section{"refreshTokens": section{"reuseInterval": d}})
}

// withoutConsent goes straight back to the application after a login.
func (c *configuration) withoutConsent() *configuration {
	return c.with("oauth2", section{"skipApprovalScreen": true})
}

// write writes the configuration to a new file.
func (c *configuration) write(t *testing.T) string {
	t.Helper()
	text, err := json.MarshalIndent(c.root, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, t.TempDir(), "config.yaml", string(text))
}

// endpoint returns the URL of a path below the issuer.
func (c *configuration) endpoint(path string) string { return strings.TrimSuffix(c.issuer, "/") + path }

// authURL returns an authorization request of the example application; more parameters replace or add to it.
func (c *configuration) authURL(path string, more url.Values) string {
	params := url.Values{
		"client_id":     {clientID},
		"redirect_uri":  {callbackURL},
		"response_type": {"code"},
		"scope":         {"openid profile email groups offline_access"},
		"state":         {"some state"},
	}
	maps.Copy(params, more)
	return c.endpoint(path) + "?" + params.Encode()
}

// nextPort iterates over ports below those that the kernel gives to outgoing connections, which could otherwise take a port
// between its choice and its use. It starts at a random one, for parallel test runs.
var nextPort atomic.Uint32

func init() { nextPort.Store(rand.Uint32N(8000)) }

// freeAddress returns an address where nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+nextPort.Add(1)%8000)
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("no port is free")
	return ""
}

func writeFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
