package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStrictClient runs all flows with an independent client, which accepts only what the standards allow.
func TestStrictClient(t *testing.T) {
	t.Parallel()
	dir := strictClient(t)
	for _, algorithm := range []string{"RS256", "ES256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			c := newConfiguration(t)
			c.with("signer", section{"type": "local", "config": section{"algorithm": algorithm, "keysRotationPeriod": "6h"}})
			d := startDex(t, everyGrant(c))
			run := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "client.js"), d.issuer, callbackURL)
			out, err := run.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, out, d.log)
			}
			t.Logf("%s", out)
			if steps := strings.Count(string(out), "ok "); steps != 13 {
				t.Errorf("%d steps, want 13", steps)
			}
		})
	}
}

// everyGrant serves all grants and response types, without pages for users of the mock.
func everyGrant(c *configuration) *configuration {
	c.with("oauth2", section{
		"skipApprovalScreen": true,
		"responseTypes":      []string{"code", "token", "id_token"},
		"passwordConnector":  "local",
		"grantTypes": []string{
			"authorization_code", "implicit", "refresh_token", "password", "client_credentials",
			"urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange",
		},
	})
	c.with("enablePasswordDB", true)
	return c.with("staticClients", []section{
		{"id": clientID, "name": "Example App", "secret": clientSecret, "redirectURIs": []string{callbackURL}},
		{
			"id": "strict app", "name": "Strict App", "secret": "s+%cret: of /the app",
			"redirectURIs": []string{callbackURL}, "allowedConnectors": []string{"mock"},
		},
		{
			"id": "public", "name": "Public", "public": true, "redirectURIs": []string{callbackURL},
			"allowedConnectors": []string{"mock"},
		},
		{"id": "audience", "name": "Audience", "secret": "x", "trustedPeers": []string{"strict app"}},
	})
}

// strictClient installs the client in a new folder, and returns the folder.
func strictClient(t *testing.T) string {
	t.Helper()
	return npmInstall(t, "strictclient", "webcrypto.js", "client.js")
}

// npmInstall installs in a new folder what one of ours depends on, as its lock file says, copies files there, and returns the
// folder.
func npmInstall(t *testing.T, from string, files ...string) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("there is no %s, and nothing here is skipped: install nodejs and npm, or run make test, which does: %v",
				program, err)
		}
	}
	dir := t.TempDir()
	for _, name := range append(files, "package.json", "package-lock.json", ".npmrc") {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, name, string(text))
	}
	install := exec.CommandContext(t.Context(), "npm", "ci")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return dir
}
