package manifest_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"dex/internal/admin/manifest"
	"dex/internal/config"
)

const hash = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"

func read(t *testing.T, text string, env map[string]string) ([]*manifest.Thing, config.Problems) {
	t.Helper()
	return manifest.Read(config.Source{
		Name: "FILE", Data: []byte(text), Files: config.NewFiles(),
		Env: func(name string) (string, bool) { value, ok := env[name]; return value, ok },
	})
}

func TestReadsWhatTheConfigurationReads(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	things, found := read(t, `staticPasswords:
- {email: Jane@example.com, userID: 0123, hashFromEnv: HASH}
staticClients:
- id: app
  secretFile: `+file+`
  previousSecret: a$literal
  public: no
  redirectURIs: [https://app.example.com/cb]
---
connectors:
- id: corp
  type: oidc
  name: Corp
  order: 2
  config: {clientID: $ID, clientSecret: "${env:SECRET}", scopes: [a, b], insecureSkipEmailVerified: yes}
---
---
staticClients:
- {idEnv: ID, secretEnv: SECRET, origin: storage, revision: "7"}
`, map[string]string{"HASH": hash, "ID": "from-env", "SECRET": "s3cret"})
	if len(found) > 0 {
		t.Fatal(found)
	}
	want := []manifest.Thing{
		{Kind: manifest.Connectors, ID: "corp", Values: map[string]any{"id": "corp", "type": "oidc", "name": "Corp", "order": 2, "config": map[string]any{
			"clientID": "from-env", "clientSecret": "s3cret", "scopes": []any{"a", "b"}, "insecureSkipEmailVerified": true,
		}}},
		{Kind: manifest.Clients, ID: "app", Values: map[string]any{
			"id": "app", "secret": "from a file", "previousSecret": "a$literal", "public": false, "redirectURIs": []string{"https://app.example.com/cb"},
		}},
		{Kind: manifest.Clients, ID: "from-env", Origin: "storage", Values: map[string]any{"id": "from-env", "secret": "s3cret"}},
		{Kind: manifest.Users, ID: "Jane@example.com", Values: map[string]any{"email": "Jane@example.com", "userID": "0123", "hash": hash}},
	}
	if len(things) != len(want) {
		t.Fatalf("got %d things", len(things))
	}
	for i, w := range want {
		got := things[i]
		if got.Kind != w.Kind || got.ID != w.ID || got.Origin != w.Origin || !reflect.DeepEqual(got.Values, w.Values) {
			t.Errorf("%d: got %s %q of %q: %#v\nwant %#v", i, got.Kind.One, got.ID, got.Origin, got.Values, w.Values)
		}
	}
	if got := things[0].Secrets(); !reflect.DeepEqual(got, []string{"config.clientSecret"}) {
		t.Errorf("secrets of the connector: %q", got)
	}
	if got := things[1].Secrets(); !reflect.DeepEqual(got, []string{"previousSecret", "secret"}) {
		t.Errorf("secrets of the client: %q", got)
	}
	if got := things[2].Problem("secret", "is weak").String(); got != "FILE:19:26: staticClients[0].secretEnv: is weak" {
		t.Errorf("got %s", got)
	}
}

func TestMistakesInFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"another section": {"issuer: https://id.example.com\n", `FILE:1:1: issuer: unknown key; known here are staticClients, staticPasswords, connectors`},
		"unknown member":  {"staticClients:\n- {id: a, redirectURI: x}\n", `FILE:2:11: staticClients[0].redirectURI: unknown key; did you mean "redirectURIs"?`},
		"wrong type":      {"staticClients:\n- {id: a, redirectURIs: x}\n", "staticClients[0].redirectURIs: must be a list"},
		"no id":           {"staticClients:\n- {name: a}\n", "FILE:2:3: staticClients[0].id: is required"},
		"twice":           {"staticPasswords:\n- {email: a@b.c}\n---\nstaticPasswords:\n- {email: A@b.c}\n", "FILE:5:11: staticPasswords[0].email: another user in the file has it too"},
		"syntax":          {"staticClients: [\n", "FILE:2:1: not valid YAML"},
		"second document": {"staticClients: []\n---\nstaticClients: [\n", "FILE:4:1: not valid YAML"},
		"no variable":     {"staticClients:\n- {id: a, secretEnv: NONE}\n", "FILE:2:22: staticClients[0].secretEnv: "},
		"both":            {"staticClients:\n- {id: a, secret: b, secretEnv: C}\n", "give secret or secretEnv, not both"},
		"no file":         {"staticClients:\n- {id: a, secretFile: /none/such}\n", "FILE:2:23: staticClients[0].secretFile: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, found := read(t, c.text, map[string]string{"C": "c"})
			if err := found.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestDiffHasNoSecrets(t *testing.T) {
	t.Parallel()
	before := map[string]any{
		"id": "corp", "name": "Corp", "revision": "1", "origin": "storage", "logoURL": "x",
		"config": map[string]any{"host": "a", "clientSecret": "unspeakable", "root": map[string]any{"bindPW": "unspeakable", "port": 1.0}},
	}
	after := map[string]any{
		"id": "corp", "name": "<Corp>", "revision": "2", "domains": []any{"a", "b"},
		"config": map[string]any{"host": "b", "clientSecret": "unutterable", "root": map[string]any{"bindPW": "unutterable", "port": 1.0}},
	}
	got := manifest.Diff(manifest.Connectors, before, after, []string{"config.clientSecret"})
	want := []string{
		"~ config.clientSecret: (secret changed)", `~ config.host: "a" -> "b"`, `+ domains: ["a","b"]`, `- logoURL: "x"`, `~ name: "Corp" -> "<Corp>"`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	for kind, member := range map[*manifest.Kind]string{manifest.Clients: "secret", manifest.Users: "hash"} {
		lines := manifest.Diff(kind, nil, map[string]any{member: "unspeakable", "username": "n"}, []string{member})
		if !reflect.DeepEqual(lines, []string{"+ " + member + ": (secret changed)", `+ username: "n"`}) {
			t.Errorf("got %q", lines)
		}
	}
	if got := manifest.Diff(manifest.Clients, before, before, nil); len(got) > 0 {
		t.Errorf("no difference: %q", got)
	}
}
