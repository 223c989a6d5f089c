package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// A dex is a running server.
type dex struct {
	*process
	*configuration
	transport http.RoundTripper // trusts its certificate
}

// startDex starts the race-detecting server and waits until it answers.
func startDex(t *testing.T, c *configuration) *dex {
	t.Helper()
	return startServer(t, binaries.dex, c, nil)
}

// startServer starts a server from a binary and waits until it answers. Its certificate must come from the roots; nil means
// the system's.
func startServer(t *testing.T, binary string, c *configuration, roots *x509.CertPool) *dex {
	t.Helper()
	transport := newTransport(roots)
	d := &dex{process: startProcess(t, "dex", binary, "serve", c.write(t)), configuration: c, transport: transport}
	// Registered after the process, so it runs before the process is stopped: an unused open connection would delay the end
	// for some seconds.
	t.Cleanup(transport.CloseIdleConnections)
	d.waitReady(t)
	return d
}

// newTransport returns a transport for many clients' requests.
func newTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		MaxIdleConnsPerHost: 64,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
}

// waitReady waits until the server answers.
func (d *dex) waitReady(t *testing.T) {
	t.Helper()
	client := &http.Client{Transport: d.transport, Timeout: patience}
	eventually(t, patience, "dex answers at "+d.issuer, func() bool {
		if !d.running() {
			t.Fatalf("dex ended at start:\n%s", d.log)
		}
		resp, err := client.Get(d.endpoint("/healthz"))
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// metric returns the value of a metric without labels.
func (d *dex) metric(t *testing.T, name string) float64 {
	t.Helper()
	status, body := d.fetch(t, d.telemetry+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics answers %d", status)
	}
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatalf("metric %s: %v", name, err)
			}
			return number
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// memory returns a figure of /proc/PID/status, such as VmRSS or VmHWM, in bytes.
func (p *process) memory(t *testing.T, name string) int {
	t.Helper()
	status, err := readProc(p.cmd.Process.Pid, "status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return kib << 10
		}
	}
	t.Fatalf("/proc has no %s", name)
	return 0
}

// readProc reads a file of /proc about a process.
func readProc(pid int, name string) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	return string(text), err
}
