package e2e

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
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
		c.with("localUsers", section{"invitations": true})
	})
	m.tokens(t, "openid offline_access")
	setup, rows := guideRows(t, "Examples")
	// The application of the examples with a secret; the guide's own ones have names of their own, or none.
	script := setup + "A=" + m.address + "\n$G -d '{\"client\":{\"id\":\"app\"}}' $A api.Dex/CreateClient >/dev/null\n"
	for _, row := range rows {
		script += row.script("SUB", "CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs", `"clientId":"app"`, `"clientId":"`+clientID+`"`)
	}
	out := newGuide(t, m).run(t, script)
	if strings.Contains(out, "alreadyExists") || len(rows) != 23 {
		t.Errorf("%d commands\n%s", len(rows), out)
	}
	for _, want := range []string{`"verified": true`, `"clientId": "example-app"`, `"name": "Command line"`, `"api": 4`, `"secret": "`} {
		if !strings.Contains(out, want) {
			t.Errorf("no answer has %s:\n%s", want, out)
		}
	}
}

// The same for the sessions of a user, who signs in before each command, unless the one before has blocked them.
func TestManagementGuideOfSessions(t *testing.T) {
	t.Parallel()
	m := startManaged(t, func(c *configuration) { c.with("sessions", section{}) })
	setup, _ := guideRows(t, "Examples")
	_, rows := guideRows(t, "Sessions")
	guide, out := newGuide(t, m), ""
	blocked := false
	for _, row := range rows {
		texts := []string{"u-1", "0-385-28089-0", `"local"`, `"mock"`, `"corp"`, `"mock"`, `"app"`, `"` + clientID + `"`}
		var tokens *tokenAnswer
		if !blocked {
			tokens = m.mustLogin(t, "mock")
			texts = append(texts, "SID", sessionOf(t, tokens.IDToken))
		}
		out += guide.run(t, setup+"A="+m.address+"\n"+row.script(texts...))
		if strings.Contains(row.command, "UnblockUser") {
			blocked = false // which the next login shows
			continue
		}
		blocked = strings.Contains(row.command, "/BlockUser")
		if answer := m.mustRefresh(t, tokens.RefreshToken); (answer.Error == "") == row.ends() {
			t.Errorf("%s: the refresh token gives %d %s", row.task, answer.status, answer.Error)
		}
	}
	if len(rows) != 11 {
		t.Errorf("found %d commands", len(rows))
	}
	for _, want := range []string{`"userAgent": `, `"consents": [`, `"sessionsTerminated": "`, `"sessions": "1"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no answer has %s:\n%s", want, out)
		}
	}
}

// A guideRow is a command of docs/api.md.
type guideRow struct{ task, command, before string }

// ends says whether a command ends the user's logins.
func (r *guideRow) ends() bool {
	return regexp.MustCompile("/(Delete|Terminate|EndSessions|BlockUser)").MatchString(r.command)
}

// guideRows returns what a section of docs/api.md sets up, and the commands of its tables.
func guideRows(t *testing.T, heading string) (setup string, rows []guideRow) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "docs/api.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, guide, _ := strings.Cut(string(text), "\n## "+heading+"\n")
	guide, _, _ = strings.Cut(guide, "\n## ")
	_, setup, _ = strings.Cut(guide, "```sh\n")
	setup, _, _ = strings.Cut(setup, "```")
	for _, row := range regexp.MustCompile("(?m)^\\| ([^|]+) \\| `(\\$G .*?)`(?:, (?:with|then)[^`]*(?:`([A-Z]=[^`]*)`)?.*)? \\|$").FindAllStringSubmatch(guide, -1) {
		rows = append(rows, guideRow{strings.ReplaceAll(row[1], "'", ""), row[2], row[3]})
	}
	return setup, rows
}

// script returns the lines of a shell for a row, with other texts instead of some.
func (r *guideRow) script(texts ...string) string {
	replaced := strings.NewReplacer(append([]string{`\|`, "|"}, texts...)...)
	command := replaced.Replace(r.command)
	if r.before != "" {
		command = replaced.Replace(r.before) + "; " + command
	}
	return "echo '== " + r.task + "'; " + command + " || echo FAILED\n"
}

// sessionOf returns the session that an ID token names.
func sessionOf(t *testing.T, idToken string) string {
	t.Helper()
	var claims struct {
		SessionID string `json:"sid"`
	}
	parts := strings.Split(idToken, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[len(parts)/2])
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil || claims.SessionID == "" {
		t.Fatalf("no session in %s: %v", payload, err)
	}
	return claims.SessionID
}

// A guide has the files that docs/api.md speaks of, and its programs.
type guide struct{ dir, tools string }

func newGuide(t *testing.T, m *managed) guide {
	t.Helper()
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
	return guide{dir, tools}
}

// run runs a script.
func (g guide) run(t *testing.T, script string) string {
	t.Helper()
	run := exec.CommandContext(t.Context(), "sh", "-c", script)
	run.Dir, run.Env = g.dir, append(cleanEnvironment(), "PATH="+g.tools+":"+os.Getenv("PATH"))
	out, err := run.CombinedOutput()
	if err != nil || strings.Contains(string(out), "FAILED") || strings.Contains(string(out), "notFound") {
		t.Errorf("%v\n%s", err, out)
	}
	return string(out)
}
