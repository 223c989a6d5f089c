package outbound_test

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"dex/internal/outbound"
)

// Settings may name any file of the machine: none of them uses up the memory, or keeps somebody waiting.
func TestFilesThatAreNotRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	good := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	large, pipe, small := filepath.Join(dir, "large"), filepath.Join(dir, "pipe"), filepath.Join(dir, "small")
	for _, name := range []string{large, small} {
		if err := os.WriteFile(name, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(large, 1<<21); err != nil { // with nothing but zeros behind
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{large, pipe, dir, "/dev/null", filepath.Join(dir, "none")} {
		if _, err := outbound.ReadFile(name); err == nil {
			t.Errorf("%s was read", name)
		}
		if _, err := outbound.Pool([]string{name}); err == nil {
			t.Errorf("%s was taken for an authority", name)
		}
	}
	if _, err := outbound.Pool([]string{small}); err != nil {
		t.Error(err)
	}
}
