package e2e

import (
	"debug/elf"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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

// TestReleaseIsSmall bounds the size of the shipped binary. docs/dependencies.md says what keeps it small.
func TestReleaseIsSmall(t *testing.T) {
	t.Parallel()
	const limit = 40 << 20 // bytes
	file, err := os.Stat(binaries.release)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the binary has %.1f MiB", float64(file.Size())/(1<<20))
	if file.Size() > limit {
		t.Errorf("the binary has %d bytes, want at most %d", file.Size(), limit)
	}
}

// TestReleaseCallsMethods shows that operators' templates can call the methods of what they come by, although the shipped binary
// lacks the methods that nothing calls.
func TestReleaseCallsMethods(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "templates")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c := newConfiguration(t).with("frontend", section{"dir": filepath.Dir(dir)})
	for template, want := range map[string]string{
		`{{ $t := toDate "2006-01-02" "2030-01-31" }}{{ $t.Year }} {{ ($t.AddDate 0 1 0).Format "Jan" }} {{ $t.Weekday.String }}`:                 "",
		`{{ (semver "1.2.3").IncMinor.String }} {{ .T "Log in" }} {{ .Dir }} {{ with .Choice }}{{ (index .Languages 0).Text "Log in" }}{{ end }}`: "",
		`{{ now.Yearly }}`: "can't evaluate field Yearly in type time.Time",
	} {
		if err := os.WriteFile(filepath.Join(dir, "footer.html"), []byte(template), 0o600); err != nil {
			t.Fatal(err)
		}
		outcome := runDex(t, "", "check", c.write(t))
		if well := outcome.status == 0; well != (want == "") || !strings.Contains(outcome.stdout+outcome.stderr, want) {
			t.Errorf("check of %s says\n%s%s", template, outcome.stdout, outcome.stderr)
		}
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

// TestIdleServerIsSmall measures the resident memory of an idle server after a login, once it has given back what only the login has
// needed, which takes it a few seconds. How much of the file the kernel maps around each page that is used varies by some MiB, so
// the best of a few servers counts.
func TestIdleServerIsSmall(t *testing.T) {
	const (
		servers = 5
		limit   = 25 << 20 // bytes; some 10 MiB are the program's own, the rest is the part of its file that it uses
	)
	resting := math.MaxInt
	for range servers {
		if resting = min(resting, restingMemory(t, limit)); resting <= limit {
			return
		}
	}
	t.Errorf("the server rests with %.1f MiB, want less than %d", float64(resting)/(1<<20), limit>>20)
}

// restingMemory returns how many bytes a server uses a few seconds after it has come below a limit.
func restingMemory(t *testing.T, limit int) int {
	t.Helper()
	d := startServer(t, binaries.release, newConfiguration(t), nil)
	d.mustLogin(t, "local")
	busy := int(d.memory(t, "VmRSS"))
	for begun := time.Now(); int(d.memory(t, "VmRSS")) > limit && time.Since(begun) < patience; {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(5 * time.Second) // it stays so
	resting := int(d.memory(t, "VmRSS"))
	t.Logf("resident memory %.1f MiB after a login, %.1f MiB at rest, of which %.1f MiB are the program's own",
		float64(busy)/(1<<20), float64(resting)/(1<<20), float64(d.memory(t, "RssAnon"))/(1<<20))
	d.stop(t)
	return resting
}
