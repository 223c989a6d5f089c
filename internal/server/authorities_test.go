package server_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"dex/internal/server"
)

// A socket that a process left behind makes room; one in use, and any other file, stays.
func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	first, err := server.ListenUnix(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if _, err := server.ListenUnix(t.Context(), path); err == nil {
		t.Error("a socket in use is taken over")
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := server.ListenUnix(t.Context(), path)
	if err != nil {
		t.Fatalf("an abandoned socket: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := server.ListenUnix(t.Context(), path); err == nil {
		t.Error("a file is taken for a socket")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("the file is %q, %v", text, err)
	}
}
