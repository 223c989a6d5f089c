package e2e

import (
	"debug/elf"
	"net/http"
	"testing"
	"time"
)

// TestReleaseIsStatic shows that the shipped binary needs nothing from the system.
func TestReleaseIsStatic(t *testing.T) {
	t.Parallel()
	file, err := elf.Open(binaries.release)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read from
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary asks for a dynamic linker")
		}
	}
	libraries, err := file.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	if len(libraries) > 0 {
		t.Errorf("the binary needs %v", libraries)
	}
}

// TestStartIsFast measures the start with an existing database. It is not parallel, so that other tests don't disturb it, and
// takes the best of a few starts because the machine may be shared.
func TestStartIsFast(t *testing.T) {
	const (
		starts = 5
		limit  = 100 * time.Millisecond
	)
	c := newConfiguration(t)
	d := startServer(t, binaries.release, c, nil)
	d.mustLogin(t, "mock")
	d.stop(t)
	best := time.Hour
	for range starts {
		best = min(best, timeToFirstAnswer(t, c))
	}
	t.Logf("first answer %v after the start, at best of %d", best.Round(time.Millisecond), starts)
	if best > limit {
		t.Errorf("the start took %v, want less than %v", best, limit)
	}
}

// timeToFirstAnswer starts and stops a server.
func timeToFirstAnswer(t *testing.T, c *configuration) time.Duration {
	t.Helper()
	file := c.write(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	start := time.Now()
	p := startProcess(t, "dex", binaries.release, "serve", file)
	for {
		resp, err := client.Get(c.endpoint("/healthz"))
		if err == nil {
			took := time.Since(start)
			_ = resp.Body.Close()
			p.stop(t)
			return took
		}
		if time.Since(start) > patience || !p.running() {
			t.Fatalf("no answer: %v", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestIdleServerIsSmall measures the resident memory of an idle server after a login.
func TestIdleServerIsSmall(t *testing.T) {
	const limit = 34 << 20 // bytes; some 7 MiB are the program's own, the rest is the part of its file that was used
	d := startServer(t, binaries.release, newConfiguration(t), nil)
	started := d.memory(t, "VmRSS")
	d.mustLogin(t, "local")
	resting := d.memory(t, "VmRSS")
	t.Logf("resident memory %.1f MiB after the start, %.1f MiB after a login", float64(started)/(1<<20), float64(resting)/(1<<20))
	if resting > limit {
		t.Errorf("the server rests with %d MiB, want less than %d", resting>>20, limit>>20)
	}
}
