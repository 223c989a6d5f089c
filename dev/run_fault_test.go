package dev_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dex/internal/faulttest"
)

// If another Dex was running, make run printed its address and then ended.
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

// The first make run compiled for minutes without saying so.
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

// runScript runs run.sh in a folder where nothing is built, with a configuration for the port.
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

// Closing the terminal's window left Dex and the example application running, and the next make run found its port taken.
var _ = faulttest.Add("N14", func(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"dev", "bin"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile("run.sh")
	if err != nil {
		t.Fatal(err)
	}
	program := "#!/bin/sh\necho $$ >\"$0.tmp\" && mv \"$0.tmp\" \"$0.pid\"\nexec sleep 60\n"
	for name, text := range map[string]string{
		"dev/run.sh": string(script), "config.dev.yaml": "", "bin/dex": program, "bin/example-app": program,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.CommandContext(t.Context(), "bash", filepath.Join(dir, "dev/run.sh"))
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	pids := []int{startedPID(t, filepath.Join(dir, "bin/dex.pid")), startedPID(t, filepath.Join(dir, "bin/example-app.pid"))}
	if err := run.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait()
	for _, pid := range pids {
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			t.Errorf("process %d was still running", pid)
		}
	}
})

// startedPID waits for a program to write its process id.
func startedPID(t *testing.T, file string) int {
	t.Helper()
	for t.Context().Err() == nil {
		text, err := os.ReadFile(file)
		if err == nil {
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("did not start")
	return 0
}
