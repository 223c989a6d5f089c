package e2e

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// auditKey chains the audits of the tests.
const auditKey = "a key that only the tests of the audit have"

// withAudit keeps an audit in outputs. The log tells only what went wrong: thousands of requests are refused.
func (c *configuration) withAudit(outputs ...section) *configuration {
	return c.with("audit", section{"key": auditKey, "outputs": outputs}).with("logger", section{"level": "warn"})
}

// An auditRecord is what the tests read of a record.
type auditRecord struct {
	Seq, Count                              int
	Stream, Time, Type, Outcome             string
	Reason, Login, Address, UserAgent, Prev string
}

// auditRecords reads lines of an audit, each of which must be a record.
func auditRecords(t *testing.T, text string) (records []auditRecord) {
	t.Helper()
	for line := range strings.Lines(text) {
		var r auditRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		records = append(records, r)
	}
	return records
}

// verifyAudit runs dex audit verify on files.
func verifyAudit(t *testing.T, files ...string) outcome {
	t.Helper()
	key := writeFile(t, t.TempDir(), "audit.key", auditKey)
	return runDex(t, "", append([]string{"audit", "verify", "--key-file", key}, files...)...)
}

// fromAddress returns a server as somebody at another address of this machine sees it.
func (d *dex) fromAddress(t *testing.T, address string) *dex {
	t.Helper()
	transport := newTransport(nil)
	transport.DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext
	t.Cleanup(transport.CloseIdleConnections)
	elsewhere := *d
	elsewhere.transport = transport
	return &elsewhere
}

// TestAuditPage runs the commands of docs/audit.md about a refresh token that was stolen, on the audit of a theft.
func TestAuditPage(t *testing.T) {
	t.Parallel()
	const owner, thief = "127.0.0.1", "127.0.0.66"
	file := filepath.Join(t.TempDir(), "audit.log")
	d := startDex(t, newConfiguration(t).withoutConsent().withReuseInterval("0s").withAudit(section{"type": "file", "path": file}))
	d.mustLogin(t, "mock") // of somebody else
	first := d.mustLogin(t, "mock").RefreshToken
	second := d.mustRefresh(t, first).RefreshToken
	if stolen := d.fromAddress(t, thief).mustRefresh(t, second); stolen.status != http.StatusOK {
		t.Fatalf("the thief gets status %d", stolen.status)
	}
	wantRefused(t, "the token that the thief has used", d.mustRefresh(t, second))
	d.stop(t)

	run := func(command string, pairs ...string) string {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", replaced(t, command, append(pairs, "audit.log", file)...))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		return string(out)
	}
	const page = "docs/audit.md"
	reused := strings.Fields(run(blockWith(t, page, "sh", `.type == "refresh.reused"`)))
	if len(reused) != 4 || reused[1] != clientID {
		t.Fatalf("what was used twice is told as %q", reused)
	}
	login := reused[3]
	trail := run(blockWith(t, page, "sh", "LOGIN"), "LOGIN", login)
	addresses := strings.NewReplacer("203.0.113.9", owner, "198.51.100.66", thief)
	shown := addresses.Replace(blockWith(t, page, "text", "Jane signs in"))
	time := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d `)
	remark := regexp.MustCompile(`(?m) {3,}.*$`)
	if got, want := time.ReplaceAllString(trail, ""), remark.ReplaceAllString(time.ReplaceAllString(shown, ""), ""); got != want {
		t.Errorf("the trail is\n%s\nand %s shows\n%s", got, page, want)
	}
	if n := len(time.FindAllString(trail, -1)); n != strings.Count(trail, "\n") {
		t.Errorf("%d lines have a time:\n%s", n, trail)
	}
	there := run(blockWith(t, page, "sh", "198.51.100.66"), "198.51.100.66", thief)
	if lines := strings.Split(strings.TrimSpace(there), "\n"); len(lines) != 1 || !strings.Contains(there, " token.issued ") || !strings.HasSuffix(lines[0], login) {
		t.Errorf("from the thief's address came\n%s", there)
	}
	verifyAudit(t, file).want(t, 0)
}

// misbehave sends requests that a server refuses, and so records, until it no longer answers or their number is reached.
func (d *dex) misbehave(ctx context.Context, n int) error {
	address := d.authURL("/auth", url.Values{"response_type": {"nonsense"}})
	return crowd(ctx, n, func(ctx context.Context, _ int) error {
		_, err := newVisitor(d.transport).get(ctx, address)
		return err
	})
}

// readAll reads files one after the other.
func readAll(t *testing.T, files ...string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
