package app_test

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dex/internal/app"
	"dex/internal/config"
)

// closedPort returns a port at which nobody listens.
func closedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// A storage that can't be reached is waited for, a bounded time, and then the error says where and why, and no secret.
func TestUnreachableStorage(t *testing.T) {
	for kind, settings := range map[string]string{
		"postgres":   "{host: 127.0.0.1, port: %d, database: dex, user: dex, password: geheim, ssl: {mode: disable}}",
		"mysql":      "{host: 127.0.0.1, port: %d, database: dex, user: dex, password: geheim, ssl: {mode: 'false'}}",
		"etcd":       "{endpoints: ['http://127.0.0.1:%d'], username: dex, password: geheim}",
		"kubernetes": "{kubeConfigFile: KUBECONFIG}",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			port := closedPort(t)
			if kind == "kubernetes" {
				settings = strings.Replace(settings, "KUBECONFIG", kubeConfig(t, port), 1)
			} else {
				settings = fmt.Sprintf(settings, port)
			}
			plan, problems := app.Check(config.Source{Name: "dex.yaml", Data: fmt.Appendf(nil,
				"issuer: http://127.0.0.1/dex\nstorage: {type: %s, config: %s}\nweb: {http: 127.0.0.1:0}\nenablePasswordDB: true\n",
				kind, settings)})
			if plan == nil {
				t.Fatal(app.Report(problems))
			}
			plan.Patience = 7 * time.Second // etcd needs 5 for one try
			var log strings.Builder
			began := time.Now()
			_, err := plan.OpenStore(t.Context(), slog.New(slog.NewTextHandler(&log, nil)))
			took := time.Since(began)
			if err == nil {
				t.Fatal("opened")
			}
			t.Log(err)
			for _, want := range []string{"open storage " + kind, fmt.Sprint("127.0.0.1:", port), "refused", "gave up after 7s"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if strings.Contains(err.Error()+log.String(), "geheim") {
				t.Errorf("the password is in the error or the log: %v\n%s", err, log.String())
			}
			if tries := strings.Count(log.String(), "storage can't be opened yet"); tries < 1 || took > 30*time.Second {
				t.Errorf("%d tries in %v", tries, took)
			}
		})
	}
}

func kubeConfig(t *testing.T, port int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:%d"}}]
users: [{name: u, user: {token: geheim}}]
`, port)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is wrong with a storage's settings is found before anything is connected, all of it and where it is.
func TestStorageMistakes(t *testing.T) {
	for kind, c := range map[string]struct {
		settings string
		want     []string
	}{
		"postgres":   {"{ssl: {mode: always}, connectionTimeout: x}", []string{"storage.config.connectionTimeout"}},
		"mysql":      {"{host: db, ssl: {mode: always}}", []string{"storage.config.ssl.mode", "storage.config.database"}},
		"etcd":       {"{endpoints: []}", []string{"storage.config.endpoints"}},
		"kubernetes": {"{crdHandling: perhaps}", []string{"storage.config.crdHandling", "kubeConfigFile"}},
	} {
		_, problems := app.Check(config.Source{Name: "dex.yaml", Data: fmt.Appendf(nil,
			"issuer: http://127.0.0.1/dex\nstorage:\n  type: %s\n  config: %s\nweb: {http: 127.0.0.1:0}\nenablePasswordDB: true\n",
			kind, c.settings)})
		report := app.Report(problems)
		for _, want := range append(c.want, "error: dex.yaml:4:") {
			if !strings.Contains(report, want) {
				t.Errorf("%s: no %q in\n%s", kind, want, report)
			}
		}
	}
}
