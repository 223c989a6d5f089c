package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

func TestAuditSchemaIsPrinted(t *testing.T) {
	out, err := runAudit("schema")
	if err != nil || !json.Valid([]byte(out)) || !strings.Contains(out, "urn:dex:schema:audit") {
		t.Errorf("%v: %.200s", err, out)
	}
}
