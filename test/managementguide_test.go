package e2e

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The commands of docs/api.md, as they are printed, with the real grpcurl.
func TestManagementGuide(t *testing.T) {
	t.Parallel()
	m := startManaged(t, func(c *configuration) { // the application "cli" is one of the guide
		c.root["staticClients"] = c.root["staticClients"].([]section)[:2]
	})
	dir, tools := t.TempDir(), t.TempDir()
	if err := goBuild("servers/grpcurl", "CGO_ENABLED=0", "-o", filepath.Join(tools, "grpcurl"), "github.com/fullstorydev/grpcurl/cmd/grpcurl"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binaries.dex, filepath.Join(tools, "dex")); err != nil {
		t.Fatal(err)
	}
	cert, key := m.authority.issueTo(t, 3, func(template *x509.Certificate) {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	for name, content := range map[string]string{
		"ca.crt": m.authority.pem(), "client.crt": cert, "client.key": key,
		"settings.json": `{"issuer":"https://idp.example.com","clientID":"dex","clientSecret":"s","redirectURI":"` + m.endpoint("/callback") + `"}`,
	} {
		writeFile(t, dir, name, content)
	}
	m.tokens(t, "openid offline_access")
	text, err := os.ReadFile(filepath.Join(repository, "docs/api.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, guide, _ := strings.Cut(string(text), "\n## Examples\n")
	guide, _, _ = strings.Cut(guide, "\n## ")
	_, setup, _ := strings.Cut(guide, "```sh\n")
	setup, _, _ = strings.Cut(setup, "```")
	// The application of the examples with a secret; the guide's own ones have names of their own, or none.
	script := setup + "A=" + m.address + "\n$G -d '{\"client\":{\"id\":\"app\"}}' $A api.Dex/CreateClient >/dev/null\n"
	rows := regexp.MustCompile("(?m)^\\| ([^|]+) \\| `(\\$G .*?)`(?:, (?:with|then)[^`]*(?:`([A-Z]=[^`]*)`)?.*)? \\|$").FindAllStringSubmatch(guide, -1)
	for _, row := range rows {
		unescape := strings.NewReplacer(`\|`, "|", "SUB", "CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs", `"clientId":"app"`, `"clientId":"`+clientID+`"`)
		command := unescape.Replace(row[2])
		if row[3] != "" {
			command = unescape.Replace(row[3]) + "; " + command
		}
		script += "echo '== " + strings.ReplaceAll(row[1], "'", "") + "'; " + command + " || echo FAILED\n"
	}
	run := exec.CommandContext(t.Context(), "sh", "-c", script)
	run.Dir, run.Env = dir, append(cleanEnvironment(), "PATH="+tools+":"+os.Getenv("PATH"))
	out, err := run.CombinedOutput()
	if err != nil || strings.Contains(string(out), "FAILED") || strings.Contains(string(out), "notFound") || strings.Contains(string(out), "alreadyExists") {
		t.Errorf("%v\n%s", err, out)
	}
	if len(rows) != 22 {
		t.Errorf("found %d commands", len(rows))
	}
	for _, want := range []string{`"verified": true`, `"clientId": "example-app"`, `"name": "Command line"`, `"api": 3`, `"secret": "`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no answer has %s:\n%s", want, out)
		}
	}
}
