package audit

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A process that is killed leaves a stream without an end, and perhaps the beginning of a record, which the next process removes.
func TestStreamOfAProcessThatWasKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a, _ := begin(t, toFile(path))
	happen(t, a, 3)
	closed(t, a)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for name, c := range map[string]struct {
		last    string // in place of the last record
		records int    // of both processes
		breaks  []string
		warns   bool
	}{
		"nothing":                      {"", 4 + 4, nil, false},
		"half a record":                {lines[4][:40], 4 + 4, nil, true},
		"one byte of a record":         {"{", 4 + 4, nil, true},
		"a record without end of line": {strings.TrimSuffix(lines[4], "\n"), 5 + 4, nil, false},
		"bytes that a machine lost":    {"\x00\x00\x00", 5 + 4, []string{"audit.log:5: this is not a record of an audit"}, false},
	} {
		if err := os.WriteFile(path, []byte(strings.Join(lines[:4], "")+c.last), 0o600); err != nil {
			t.Fatal(err)
		}
		b, log := begin(t, toFile(path))
		happen(t, b, 2)
		closed(t, b)
		breaks, v := verify(t, path)
		if !slices.Equal(breaks, c.breaks) || v.Lines != c.records {
			t.Errorf("%s: %d records, want %d; breaks %q, want %q", name, v.Lines, c.records, breaks, c.breaks)
		}
		killed := strings.Contains(strings.Join(v.Notes(), "\n"), "audit.log:4: the stream")
		if whole := c.records == 5+4 && c.breaks == nil; killed == whole {
			t.Errorf("%s: the notes are %q", name, v.Notes())
		}
		if warns := strings.Contains(log.String(), "a crash had cut it off, and it was removed"); warns != c.warns {
			t.Errorf("%s: the log says %s", name, log)
		}
	}
}

// What isn't the audit's stays: somebody may have named another file by mistake.
func TestFileOfSomebodyElseKeepsItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	const notes = "{\"v\": 1}\nbuy milk"
	if err := os.WriteFile(path, []byte(notes), 0o600); err != nil {
		t.Fatal(err)
	}
	a, _ := begin(t, toFile(path))
	closed(t, a)
	text, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(text), notes+"\n"+lineStart) {
		t.Errorf("the file has %q, %v", text, err)
	}
}

// Half a record that nobody has removed is told from text that was never one.
func TestVerifyTellsWhatACrashLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a, _ := begin(t, toFile(path))
	closed(t, a)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(string(text)+string(text[:50])+"\nnonsense\n"+string(text[:50])), 0o600); err != nil {
		t.Fatal(err)
	}
	breaks, _ := verify(t, path)
	for i, want := range []string{"audit.log:3: this is only the beginning of a record", "audit.log:4: this is not a record of an audit", "audit.log:5: the last line is incomplete"} {
		if i >= len(breaks) || !strings.HasPrefix(breaks[i], want) {
			t.Errorf("breaks %q, want one that begins %q", breaks, want)
		}
	}
}

// A process that is killed while it renames files loses none of them, and the next one goes on with its chain.
func TestRotationThatWasInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	o := toFile(path)
	o.MaxSize, o.MaxFiles = 64<<10, 100
	a, _ := begin(t, o)
	happen(t, a, 1000)
	closed(t, a)
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 5 || len(files) > 6 {
		t.Fatalf("files are %v, %v", files, err)
	}
	before := wantWhole(t, 1002, files...).Lines
	for n := len(files); n >= 2; n-- { // .1 is free now, and audit.log has not moved
		if err := os.Rename(path+"."+strconv.Itoa(n-1), path+"."+strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
	}
	o.MaxFiles = len(files) // so many are there now
	b, _ := begin(t, o)
	more := 0
	eventually(t, "the next rotation", func() bool {
		happen(t, b, 5)
		more += 5
		_, err := os.Stat(path + ".1")
		return err == nil
	})
	closed(t, b)
	files, _ = filepath.Glob(path + "*")
	wantWhole(t, before+more+2, files...)
}
