package audit

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dex/internal/event"
)

var testKey = []byte(strings.Repeat("k", MinKey))

// A syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// begin opens an audit with one output.
func begin(t *testing.T, o Output) (*Audit, *syncBuffer) {
	t.Helper()
	log := &syncBuffer{}
	a, err := Open(Config{Key: testKey, Outputs: []Output{o}, Required: true}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return a, log
}

func toFile(path string) Output {
	return Output{Type: File, Path: path, MaxSize: 1 << 30, MaxFiles: 3}
}

func happen(t *testing.T, a *Audit, n int) {
	t.Helper()
	for i := range n {
		a.Emit(t.Context(), event.UnknownClient{ClientID: "client " + strconv.Itoa(i)})
	}
}

// eventually waits for something that another goroutine does.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 seconds: %s", what)
		}
	}
}

func closed(t *testing.T, a *Audit) {
	t.Helper()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// verify returns the breaks of files.
func verify(t *testing.T, files ...string) (breaks []string, v *Verifier) {
	t.Helper()
	v, err := NewVerifier(testKey, func(b Break) {
		breaks = append(breaks, fmt.Sprintf("%s:%d: %s", filepath.Base(b.File), b.Line, b.What))
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range InOrder(files) {
		if err := v.File(name); err != nil {
			t.Fatal(err)
		}
	}
	return breaks, v
}

func wantWhole(t *testing.T, lines int, files ...string) *Verifier {
	t.Helper()
	breaks, v := verify(t, files...)
	if len(breaks) > 0 || v.Lines != lines {
		t.Errorf("%d records, want %d; breaks %v", v.Lines, lines, breaks)
	}
	return v
}

func TestConcurrentEventsKeepTheChainWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a, _ := begin(t, toFile(path))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { happen(t, a, 500) })
	}
	all.Wait()
	closed(t, a)
	wantWhole(t, 8*500+2, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode of the file is %v, %v", info.Mode(), err)
	}
}

func TestFilesAreRotatedAndGoOnAfterRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	o := toFile(path)
	o.MaxSize, o.MaxFiles = 64<<10, 100
	for range 3 {
		a, _ := begin(t, o)
		happen(t, a, 400)
		closed(t, a)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 4 {
		t.Fatalf("files are %v, %v", files, err)
	}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.Size() > o.MaxSize {
			t.Errorf("%s has %d bytes, %v", name, info.Size(), err)
		}
	}
	wantWhole(t, 3*402, files...)
	// What logrotate does, and a file that was removed.
	a, _ := begin(t, o)
	happen(t, a, 1)
	eventually(t, "the records are written", func() bool { return a.outlets[0].left() == 0 })
	moved := path + ".0"
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	happen(t, a, 1)
	closed(t, a)
	breaks, _ := verify(t, append(slices.DeleteFunc(files, func(f string) bool { return f == path }), moved, path)...)
	if len(breaks) > 0 {
		t.Errorf("after the file was moved the chain breaks: %v", breaks)
	}
}

func TestOnlySoManyRotatedFilesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	o := toFile(path)
	o.MaxSize, o.MaxFiles = 64<<10, 2
	a, _ := begin(t, o)
	happen(t, a, 1500)
	closed(t, a)
	files, _ := filepath.Glob(path + "*")
	if len(files) != 3 {
		t.Errorf("files are %v", files)
	}
	breaks, v := verify(t, files...)
	if len(breaks) > 0 || !strings.Contains(strings.Join(v.Notes(), "\n"), "the first record follows one with the hash") {
		t.Errorf("breaks %v, notes %v", breaks, v.Notes())
	}
}

func TestVerifyFindsWhatWasChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a, _ := begin(t, toFile(path))
	happen(t, a, 8)
	closed(t, a)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	whole[len(whole)-1] += "\n"
	for name, c := range map[string]struct {
		change func(lines []string) []string
		want   []string
	}{
		"nothing": {func(l []string) []string { return l }, nil},
		"a changed record": {func(l []string) []string {
			l[3] = strings.Replace(l[3], "client 2", "client 3", 1)
			return l
		}, []string{"4: the hash doesn't fit"}},
		"a removed record": {func(l []string) []string { return slices.Delete(l, 3, 4) }, []string{"4: 1 record is missing"}},
		"an added record": {func(l []string) []string {
			return slices.Insert(l, 3, strings.Replace(l[3], "client 2", "client 9", 1))
		}, []string{"4: the hash doesn't fit"}},
		"an added record after its original": {func(l []string) []string {
			return slices.Insert(l, 4, strings.Replace(l[3], "client 2", "client 9", 1))
		}, []string{"5: the hash doesn't fit the record: it was changed, or its chain was made with another key or with none; record 4 comes after record 4"}},
		"swapped records":   {func(l []string) []string { l[3], l[4] = l[4], l[3]; return l }, []string{"4: 1 record is missing", "5: record 4 comes after record 5", "6: 1 record is missing"}},
		"no text":           {func(l []string) []string { l[3] = "nonsense\n"; return l }, []string{"4: this is not a record of an audit", "5: 1 record is missing"}},
		"a huge line":       {func(l []string) []string { return slices.Insert(l, 3, strings.Repeat("x", 3*maxLine)+"\n") }, []string{"4: the line is longer"}},
		"a missing end":     {func(l []string) []string { return l[:5] }, nil},
		"a record repeated": {func(l []string) []string { return slices.Insert(l, 4, l[3]) }, nil},
	} {
		changed := c.change(slices.Clone(whole))
		if err := os.WriteFile(path, []byte(strings.Join(changed, "")), 0o600); err != nil {
			t.Fatal(err)
		}
		breaks, _ := verify(t, path)
		ok := len(breaks) == len(c.want)
		for i := range min(len(breaks), len(c.want)) {
			ok = ok && strings.HasPrefix(breaks[i], "audit.log:"+c.want[i])
		}
		if !ok {
			t.Errorf("%s: breaks %q, want %q", name, breaks, c.want)
		}
	}
}

func TestFullDiskIsToldOnce(t *testing.T) {
	a, log := begin(t, toFile("/dev/full"))
	start := time.Now()
	happen(t, a, maxQueued+50)
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("events took %v", took)
	}
	eventually(t, "the log tells", func() bool { return strings.Contains(log.String(), "no space left on device") })
	eventually(t, "it blocks", func() bool { return a.Blocked() != nil })
	if dropped := a.outlets[0].dropped; dropped != 51 {
		t.Errorf("%d records are lost, want 51", dropped)
	}
	began := time.Now()
	if err := a.Close(); err == nil || !strings.Contains(err.Error(), "are not written") {
		t.Errorf("closed with %v", err)
	}
	if took := time.Since(began); took > closeTimeout+20*time.Second {
		t.Errorf("it closed within %v", took)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("the log has %d lines:\n%s", n, log)
	}
}

func TestTwoProcessesDontShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a, _ := begin(t, toFile(path))
	happen(t, a, 1)
	b, log := begin(t, toFile(path))
	happen(t, b, 1)
	eventually(t, "the log tells", func() bool { return strings.Contains(log.String(), "another process writes to it") })
	closed(t, a)
	eventually(t, "the second one writes", func() bool { return b.outlets[0].left() == 0 })
	closed(t, b)
	wantWhole(t, 6, path)
}
