package e2e

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// TestMakeRun runs what newcomers run first, on a terminal, and ends it with Ctrl-C, which is not a failure. It runs in a copy,
// so that it leaves a developer's database alone, but on the fixed ports of the development configuration.
func TestMakeRun(t *testing.T) {
	requireFreePorts(t)
	keyboard, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = keyboard.Close(), terminal.Close() })
	cmd := exec.Command("make", "--old-file=build", "run")
	cmd.Dir = copyForMakeRun(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // standard input
	p := startCommand(t, "make run", cmd)
	go func() { _, _ = io.Copy(p.log, keyboard) }() // the screen's content, until the terminal is closed
	checkMakeRun(t, p)

	if _, err := keyboard.WriteString("\x03"); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	checkMakeRunEnds(t, p)
}

// TestRunScript does the same without a terminal, and ends it with the signal that a terminal would send.
func TestRunScript(t *testing.T) {
	requireFreePorts(t)
	cmd := exec.Command("dev/run.sh")
	cmd.Dir = copyForMakeRun(t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := startCommand(t, "dev/run.sh", cmd)
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // what a failed test leaves running
	checkMakeRun(t, p)

	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	checkMakeRunEnds(t, p)
	eventually(t, patience, "all processes have ended", func() bool {
		return errors.Is(syscall.Kill(-cmd.Process.Pid, 0), syscall.ESRCH)
	})
}

// checkMakeRunEnds waits for the end of everything that was started.
func checkMakeRunEnds(t *testing.T, p *process) {
	t.Helper()
	p.wantStatus(t, 0)
	eventually(t, patience, "dex says that it ended in good order", func() bool {
		return strings.Contains(p.log.String(), "shutdown now")
	})
	requireFreePorts(t)
}

// requireFreePorts fails the test if the development configuration's ports are in use.
func requireFreePorts(t *testing.T) {
	t.Helper()
	for _, address := range []string{"127.0.0.1:5555", "127.0.0.1:5556", "127.0.0.1:5558"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("the ports of config.dev.yaml must be free; end what uses them: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// copyForMakeRun returns a folder with everything the target needs, already built.
func copyForMakeRun(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"Makefile", "config.dev.yaml", "dev/run.sh"} {
		content, err := os.ReadFile(filepath.Join(repository, name))
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, content, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"bin", "var/sqlite"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, binary := range map[string]string{"dex": binaries.release, "example-app": binaries.exampleApp} {
		if err := os.Symlink(binary, filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// checkMakeRun waits until everything is reported to run, and checks that it does.
func checkMakeRun(t *testing.T, p *process) {
	t.Helper()
	eventually(t, patience, "it says how to end it", func() bool {
		if !p.running() {
			t.Fatal("it ended")
		}
		return strings.Contains(p.log.String(), "Ctrl-C")
	})
	for _, want := range []string{"http://127.0.0.1:5555/", "http://localhost:5556/dex", adminEmail, adminPassword} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("%q is not printed", want)
		}
	}
	for _, address := range []string{
		"http://127.0.0.1:5555/", "http://localhost:5556/dex", "http://localhost:5556/dex/.well-known/openid-configuration", "http://127.0.0.1:5558/healthz",
	} {
		resp, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s answers %d", address, resp.StatusCode)
		}
	}
}
