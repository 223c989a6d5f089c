package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// reload writes the configuration to the server's file, and waits until SIGHUP has brought this line into the log once more.
func (d *dex) reload(t *testing.T, line string) {
	t.Helper()
	text, err := json.MarshalIndent(d.root, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	d.reloadText(t, string(text), line)
}

func (d *dex) reloadText(t *testing.T, text, line string) {
	t.Helper()
	file := d.cmd.Args[len(d.cmd.Args)-1]
	writeFile(t, filepath.Dir(file), filepath.Base(file), text)
	before := strings.Count(d.log.String(), line)
	d.signal(t, syscall.SIGHUP)
	eventually(t, patience, "the log says "+line, func() bool { return strings.Count(d.log.String(), line) > before })
}

// TestHangupAppliesTheConfiguration shows that SIGHUP puts a changed configuration in force, and that one with mistakes changes
// nothing.
func TestHangupAppliesTheConfiguration(t *testing.T) {
	t.Parallel()
	const applied, unchanged = `msg="configuration applied"`, "configuration is not applied: the one before stays in force"
	d := startDex(t, newConfiguration(t).withReuseInterval("30s"))
	token := d.mustLogin(t, "mock").RefreshToken
	start := func(client string) int {
		t.Helper()
		status, _ := d.fetch(t, d.authURL("/auth", url.Values{"client_id": {client}}))
		return status
	}
	clients := d.root["staticClients"].([]section)

	d.with("staticClients", append(clients[:1:1], clients[2], section{
		"id": "fresh", "name": "Fresh App", "secret": "fresh-secret", "redirectURIs": []string{callbackURL},
	})).with("frontend", section{"issuer": "Second edition"})
	d.reload(t, applied)
	if status := start(otherClientID); status != http.StatusBadRequest {
		t.Errorf("a client that was removed: status %d", status)
	}
	if status, page := d.fetch(t, d.authURL("/auth", url.Values{"client_id": {"fresh"}})); status != http.StatusOK || !strings.Contains(page, "Second edition") {
		t.Errorf("a client that was added: status %d\n%s", status, page)
	}
	token = d.mustRefresh(t, token).RefreshToken

	// Mistakes are told one by one, as at the start.
	d.reloadText(t, "{issuer: \""+d.issuer+"\", storage: {type: punchcards}, web: {http: 5556}}", unchanged)
	for _, want := range []string{"storage.type: ", "web.http: "} {
		if !strings.Contains(d.log.String(), "level=ERROR msg=\"configuration: "+d.cmd.Args[len(d.cmd.Args)-1]) || !strings.Contains(d.log.String(), want) {
			t.Errorf("the log does not say %s", want)
		}
	}
	issuer := d.issuer
	d.with("issuer", "http://127.0.0.1:1/other")
	d.reload(t, unchanged)
	if !strings.Contains(d.log.String(), "issuer: can't change from "+issuer+" to http://127.0.0.1:1/other without a restart") {
		t.Error("the log does not name the issuer")
	}
	if err := os.Remove(d.cmd.Args[len(d.cmd.Args)-1]); err != nil {
		t.Fatal(err)
	}
	d.signal(t, syscall.SIGHUP)
	eventually(t, patience, "the missing file is in the log", func() bool { return strings.Contains(d.log.String(), "no such file") })
	if status := start("fresh"); status != http.StatusOK {
		t.Errorf("the configuration before is no longer in force: status %d", status)
	}

	// What needs a restart is named, and the rest is applied.
	d.with("issuer", issuer).with("logger", section{"level": "debug"}).with("staticClients", clients)
	d.reload(t, applied)
	eventually(t, patience, "the log names logger.level", func() bool {
		return strings.Contains(d.log.String(), "take effect after a restart only") && strings.Contains(d.log.String(), "[logger.level]")
	})
	if status := start(otherClientID); status != http.StatusOK {
		t.Errorf("a client that is back: status %d", status)
	}
	d.mustRefresh(t, token)
}

// TestWatchedConfiguration shows that a changed file, or a changed secret beside it, is applied without a signal, that the metrics and
// the health say what is wrong with one that isn't, and that --watch=false leaves files alone.
func TestWatchedConfiguration(t *testing.T) {
	t.Parallel()
	c := newConfiguration(t)
	secrets := t.TempDir()
	secret := writeFile(t, secrets, "secret", "first\n")
	clients := append(c.root["staticClients"].([]section), section{
		"id": "watched", "name": "Watched", "secretFile": secret, "redirectURIs": []string{callbackURL},
	})
	c.with("staticClients", clients)
	d := startDex(t, c)
	write := func(d *dex, text string) {
		t.Helper()
		file := d.cmd.Args[len(d.cmd.Args)-1]
		writeFile(t, filepath.Dir(file), filepath.Base(file), text)
	}
	says := func(d *dex, line string) {
		t.Helper()
		eventually(t, patience, "the log says "+line, func() bool { return strings.Contains(d.log.String(), line) })
	}
	quiet := newConfiguration(t)
	file := quiet.write(t)
	still := startProcess(t, "dex", binaries.dex, "serve", "--watch=false", file)
	eventually(t, patience, "it listens", func() bool { return strings.Contains(still.log.String(), "server=http") })
	writeFile(t, filepath.Dir(file), filepath.Base(file), `{"issuer": 1`)

	writeFile(t, secrets, "secret", "second\n")
	says(d, `changed_clients="watched (secret)"`)
	write(d, `{"issuer": 1`)
	d.eventuallySays(t, "/metrics", "dex_config_last_reload_successful 0")
	d.eventuallySays(t, "/healthz/ready", d.cmd.Args[len(d.cmd.Args)-1]+":1:")
	d.mustLogin(t, "mock")

	text, err := json.Marshal(d.with("staticClients", clients[:1]).root)
	if err != nil {
		t.Fatal(err)
	}
	write(d, string(text))
	says(d, "removed_clients=")
	d.eventuallySays(t, "/metrics", "dex_config_last_reload_successful 1")
	d.eventuallySays(t, "/healthz/ready?type=short", `"configuration": "PASS"`)
	if strings.Contains(d.log.String(), "second") {
		t.Error("the log has a secret")
	}

	// Meanwhile the other one had time enough.
	const refused = "configuration is not applied"
	if strings.Contains(still.log.String(), refused) {
		t.Error("files are watched with --watch=false")
	}
	still.signal(t, syscall.SIGHUP)
	eventually(t, patience, "the log says "+refused, func() bool { return strings.Contains(still.log.String(), refused) })
}
