package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dex/internal/audit"
	"dex/internal/event"
)

func runAudit(args ...string) (string, error) {
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(append([]string{"audit"}, args...))
	root.SetOut(&out)
	err := root.Execute()
	return out.String(), err
}

func TestAuditVerify(t *testing.T) {
	dir := t.TempDir()
	path, keyFile, key := filepath.Join(dir, "audit.log"), filepath.Join(dir, "key"), strings.Repeat("k", audit.MinKey)
	if err := os.WriteFile(keyFile, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := audit.Open(audit.Config{
		Key: []byte(key), Outputs: []audit.Output{{Type: audit.File, Path: path, MaxSize: 1 << 20, MaxFiles: 1}},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a.Emit(t.Context(), event.UnknownClient{ClientID: "somebody"})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := runAudit("verify", "--key-file", keyFile, path); err != nil || !strings.Contains(out, "3 records are whole and in order") {
		t.Errorf("%v: %s", err, out)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte("somebody"), []byte("nobody"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runAudit("verify", "--key-file", keyFile, path)
	if err == nil || !strings.Contains(err.Error(), "broken in 1 place;") || !strings.HasPrefix(out, path+":2: the hash doesn't fit") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = runAudit("verify", path) // without the key
	want := path + ":3: the same in every line up to this one\nnote: "
	if err == nil || !strings.Contains(err.Error(), "none of the 3 records is right: check --key-file") || strings.Count(out, "the hash doesn't fit") != 1 ||
		!strings.Contains(out, want) {
		t.Errorf("%v: %s", err, out)
	}
}

// The names that a shell lists are read in the order in which they were written, whether logrotate numbers files or dates them.
func TestAuditVerifyReadsDatedFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	open := func() *audit.Audit {
		a, err := audit.Open(audit.Config{Outputs: []audit.Output{{Type: audit.File, Path: path, MaxSize: 1 << 20, MaxFiles: 1}}}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		a.Emit(t.Context(), event.UnknownClient{ClientID: "somebody"})
		return a
	}
	stop := func(a *audit.Audit) {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files := []string{path + "-20261128", path + "-20261129", path + "-20261129-1764392400", path}
	rotate := func(to string) {
		if err := os.Rename(path, to); err != nil {
			t.Fatal(err)
		}
	}
	running := open()
	waitForRecords(t, path, 2)
	rotate(files[0])
	running.Emit(t.Context(), event.UnknownClient{ClientID: "somebody else"})
	stop(running)
	rotate(files[1])
	stop(open())
	rotate(files[2])
	stop(open())
	slices.Sort(files)
	if files[0] != path {
		t.Fatalf("the shell lists %q", files)
	}
	if out, err := runAudit(append([]string{"verify"}, files...)...); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// Whoever can write to an audit can't tell the terminal of whoever verifies it anything, such as to hide what is broken.
func TestAuditVerifyPrintsNoControls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	lines := `{"v":1,"seq":1,"stream":"a","prev":"","hash":"` + strings.Repeat("0", 64) + `"}` + "\n" +
		`{"v":1,"seq":2,"stream":"\u001b[2J\u009b1;1H","prev":"","hash":"` + strings.Repeat("\x1b", 64) + `"}` + "\n" +
		`{"v":1,"seq":3,"stream":"\u001b[2J","prev":"","hash":"` + strings.Repeat("\u009b", 32) + `"}` + "\n"
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runAudit("verify", path)
	if err == nil || !strings.Contains(out, path+":3: the hash doesn't fit") || strings.ContainsAny(out, "\x1b\u009b") {
		t.Errorf("%v: %q", err, out)
	}
}

// waitForRecords waits until a file has so many lines.
func waitForRecords(t *testing.T, path string, lines int) {
	t.Helper()
	for range 1000 {
		if text, err := os.ReadFile(path); err == nil && bytes.Count(text, []byte("\n")) >= lines {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s has fewer than %d records", path, lines)
}

func TestAuditSchemaIsPrinted(t *testing.T) {
	out, err := runAudit("schema")
	if err != nil || !json.Valid([]byte(out)) || !strings.Contains(out, "urn:dex:schema:audit") {
		t.Errorf("%v: %.200s", err, out)
	}
}
