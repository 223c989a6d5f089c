package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// TestKillKeepsTheAuditWhole kills the server while it writes and rotates its audit, several times. Every line is a record whatever
// the kill has cut off, the chain goes on, and what was lost is what each stream lacks at its end.
func TestKillKeepsTheAuditWhole(t *testing.T) {
	t.Parallel()
	const rounds = 4
	path := filepath.Join(t.TempDir(), "audit.log")
	c := newConfiguration(t).withAudit(section{"type": "file", "path": path, "maxSize": "64KiB", "maxFiles": 1000})
	for round := range rounds {
		d := startServer(t, binaries.release, c, nil)
		killInTheMiddle(t, d, path)
		if round == 0 { // as if the kill had come in the middle of a write
			tear(t, path)
		}
	}
	d := startServer(t, binaries.release, c, nil)
	d.mustLogin(t, "mock")
	d.stop(t)

	files := rotatedFiles(t, path)
	if len(files) < 2*rounds {
		t.Errorf("only the files %v", files)
	}
	out := verifyAudit(t, files...)
	out.want(t, 0)
	if n := strings.Count(out.stdout, "its process was killed, or its last records are missing"); n != rounds {
		t.Errorf("%d processes were killed:\n%s", n, out.stdout)
	}
	records := auditRecords(t, readAll(t, files...))
	last := map[string]int{}
	for _, r := range records {
		if r.Seq != last[r.Stream]+1 {
			t.Errorf("record %d of %s comes after record %d", r.Seq, r.Stream, last[r.Stream])
		}
		last[r.Stream] = r.Seq
	}
	if len(last) != rounds+1 {
		t.Errorf("%d processes have written", len(last))
	}
}

// killInTheMiddle keeps a server busy until it has rotated its audit twice, and kills it.
func killInTheMiddle(t *testing.T, d *dex, path string) {
	t.Helper()
	before := len(rotatedFiles(t, path))
	var killed atomic.Bool
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	busy := make(chan error, 1)
	go func() {
		err := d.misbehave(ctx, 1_000_000)
		if killed.Load() {
			err = nil
		}
		busy <- err
	}()
	eventually(t, 2*patience, "two rotations", func() bool { return len(rotatedFiles(t, path)) >= before+2 })
	killed.Store(true)
	d.kill(t)
	cancel()
	if err := <-busy; err != nil {
		t.Fatalf("before the kill: %v", err)
	}
}

// rotatedFiles returns the files of an audit, the oldest first.
func rotatedFiles(t *testing.T, path string) (files []string) {
	t.Helper()
	for n := 1; ; n++ {
		name := path + "." + strconv.Itoa(n)
		if _, err := os.Stat(name); err != nil {
			break
		}
		files = append(files, name)
	}
	slices.Reverse(files)
	if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		files = append(files, path)
	}
	return files
}

// tear leaves half a record at the end of a file. dex audit verify tells that as long as nobody has mended it.
func tear(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(`{"v":1,"seq":1000,"stream":"5f0c2e8d9b1a`)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	out := verifyAudit(t, rotatedFiles(t, path)...)
	out.want(t, 2)
	if !strings.Contains(out.stdout, "the last line is incomplete: the process or the machine died") {
		t.Errorf("of half a record it says:\n%s", out.stdout)
	}
}
