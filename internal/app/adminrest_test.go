package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dex/internal/app"
)

// startREST runs a whole server and returns where it serves the management API over HTTP, and its configuration file.
func startREST(t *testing.T, more, listener string) (address, file string) {
	t.Helper()
	in := app.Input{File: filepath.Join(t.TempDir(), "dex.yaml")}
	if err := os.WriteFile(in.File, []byte(configuration+more), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := in.Read()
	if err != nil || found.Plan == nil {
		t.Fatal(err, app.Report(found.Problems))
	}
	bound := make(chan string, 1)
	core, err := app.New(t.Context(), found.Plan, app.Options{
		Log: slog.New(slog.DiscardHandler), Input: in, WrapStore: withKeys(t, found.Plan, nil),
		Bound: func(name string, at net.Addr) {
			if name == listener {
				bound <- at.String()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- core.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, core.Close()); err != nil {
			t.Error(err)
		}
	})
	return <-bound, in.File
}

func askREST(t *testing.T, method, address, path, body string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/api/v2"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	w.Code = resp.StatusCode
	defer resp.Body.Close() //nolint:errcheck // it was read
	if _, err := w.Body.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return answer{t, w.Code, resp.Header, w.Body.String()}
}

// A client that is made over HTTP is known at once, at a listener of its own and beside the metrics.
func TestRESTListeners(t *testing.T) {
	t.Parallel()
	for listener, more := range map[string]string{
		"api":       "api: {addr: '127.0.0.1:0'}\n",
		"telemetry": "telemetry: {http: '127.0.0.1:0'}\napi: {telemetry: true}\n",
	} {
		address, _ := startREST(t, more, listener)
		askREST(t, "PUT", address, "/clients/new", `{"name":"New","redirectURIs":["https://new.test"]}`).wantStatus(http.StatusCreated)
		askREST(t, "GET", address, "/clients/app", "").wantStatus(http.StatusOK)
		if got := askREST(t, "GET", address, "/keys", "").wantStatus(http.StatusOK); strings.Contains(got.body, `"d"`) {
			t.Error("a private key is shown")
		}
		before := askREST(t, "GET", address, "/keys", "").body
		after := askREST(t, "POST", address, "/keys/rotate", `{"mode":"now"}`).wantStatus(http.StatusOK).body
		if before == after {
			t.Error("the keys are the same")
		}
	}
}

// The examples of the guide, as they are printed.
func TestRESTExamples(t *testing.T) {
	t.Parallel()
	address, _ := startREST(t, "api: {addr: '127.0.0.1:0'}\nsessions: {}\n", "api")
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(guide), "A=https://127.0.0.1:5559/api/v2\nC=\"curl --fail-with-body --silent --cacert ca.crt --oauth2-bearer $TOKEN\"\n")
	commands, _, end := strings.Cut(rest, "```")
	if !ok || !end || strings.Count(commands, "$C ") < 12 {
		t.Fatal("the examples are not found")
	}
	script := "set -e\nA=http://" + address + "/api/v2\nC=\"curl --fail-with-body --silent\"\n" + commands
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, part := range []string{`"id":"grafana"`, `"valid":true`, `"id":"corp"`, `"ended":0`} {
		if !strings.Contains(string(out), part) {
			t.Errorf("no %s in\n%s", part, out)
		}
	}
	d := json.NewDecoder(strings.NewReader(string(out)))
	for d.More() {
		var v map[string]any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
	}
}

// The configuration is checked, and put in force, by a call; what is wrong has its place.
func TestRESTReload(t *testing.T) {
	t.Parallel()
	address, file := startREST(t, "api: {addr: '127.0.0.1:0'}\nsessions: {}\n", "api")
	write := func(more string) {
		text := configuration + "api: {addr: '127.0.0.1:0'}\n" + more
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const added = "- {id: added, secret: added-secret, name: Added, redirectURIs: ['https://added.test']}\n"
	text := strings.Replace(configuration, "staticClients:\n", "staticClients:\n"+added, 1)
	if err := os.WriteFile(file, []byte(text+"api: {addr: '127.0.0.1:0'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dry := askREST(t, "POST", address, "/configuration/reload?dryRun=true", "").wantStatus(http.StatusOK)
	if !strings.Contains(dry.body, "added") || strings.Contains(dry.body, "added-secret") {
		t.Errorf("a trial says %s", dry.body)
	}
	askREST(t, "GET", address, "/clients/added", "").wantStatus(http.StatusNotFound)
	askREST(t, "POST", address, "/configuration/reload", "").wantStatus(http.StatusOK)
	askREST(t, "GET", address, "/clients/added", "").wantStatus(http.StatusOK)
	write("oauth2: {responseTypes: [king]}\n")
	wrong := askREST(t, "POST", address, "/configuration/reload", "").wantStatus(http.StatusUnprocessableEntity)
	if !strings.Contains(wrong.body, "dex.yaml:") || !strings.Contains(wrong.body, "oauth2.responseTypes[0]") {
		t.Errorf("the mistake is %s", wrong.body)
	}
	askREST(t, "GET", address, "/clients/added", "").wantStatus(http.StatusOK)
	if got := askREST(t, "GET", address, "/configuration", "").wantStatus(http.StatusOK); !strings.Contains(got.body, `"current":false`) {
		t.Errorf("the configuration is %s", got.body)
	}
}
