package dev_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dex/internal/faulttest"
)

// Beside another Dex, make run printed the address of that one, and then ended.
var _ = faulttest.Add("N7", func(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close() //nolint:errcheck // only read from
	port := taken.Addr().(*net.TCPAddr).Port
	for _, argument := range []string{"check", ""} {
		out, err := runScript(t, port, argument)
		if want := fmt.Sprintf("Port %d is taken", port); err == nil || !strings.HasPrefix(out, want) || strings.Contains(out, "Open ") {
			t.Errorf("run.sh %s: want %q, got %v:\n%s", argument, want, err, out)
		}
	}
})

// The first make run compiled for minutes without a word.
var _ = faulttest.Add("N13", func(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := runScript(t, port, "check")
	if err != nil || !strings.Contains(out, "first time takes a few minutes and downloads about 70 MB") {
		t.Errorf("%v:\n%s", err, out)
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil || !strings.Contains(string(makefile), "\nrun: ready build ") {
		t.Errorf("make run does not begin with the check: %v", err)
	}
})

// runScript runs run.sh in a folder where nothing is built, for a configuration with a port.
func runScript(t *testing.T, port int, argument string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	script, err := os.ReadFile("run.sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "dev"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"dev/run.sh": string(script), "config.dev.yaml": fmt.Sprintf("web:\n  http: 127.0.0.1:%d\n", port),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("bash", filepath.Join(dir, "dev/run.sh"), argument).CombinedOutput()
	return string(out), err
}
