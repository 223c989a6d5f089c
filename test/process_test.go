package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds waits for things that take a moment on an idle machine: the suite may share two cores with the race
// detector and a browser.
const patience = 30 * time.Second

// shutdownPatience is more than the 30 seconds that a stopping server gives its last requests.
const shutdownPatience = 40 * time.Second

// A process is a program under test.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   *transcript   // both streams
	ended chan struct{} // closed when it has
}

// startProcess starts a program and stops it with SIGTERM at the end of the test. Its exit status must be 0, then or
// whenever the test itself stops it, and its log must be free of races and panics.
func startProcess(t *testing.T, name, path string, args ...string) *process {
	t.Helper()
	return startCommand(t, name, exec.Command(path, args...))
}

// startCommand is startProcess for a prepared command. If the command's output is set already, it stays.
func startCommand(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, log: &transcript{}, ended: make(chan struct{})}
	if cmd.Env == nil {
		cmd.Env = cleanEnvironment()
	}
	if cmd.Stdout == nil {
		cmd.Stdout, cmd.Stderr = p.log, p.log
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		_ = cmd.Wait() // what it says is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() { p.finish(t) })
	return p
}

// cleanEnvironment has only PATH and HOME, so that feature flags in the tests' environment don't reach the programs.
func cleanEnvironment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
}

// finish stops the process if it is still running, and checks its log.
func (p *process) finish(t *testing.T) {
	t.Helper()
	if p.running() {
		p.stop(t)
	}
	log := p.log.String()
	for _, bad := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: ", "msg=panic", "http: panic serving"} {
		if strings.Contains(log, bad) {
			t.Errorf("%s: %q is in its log", p.name, bad)
		}
	}
	if t.Failed() {
		t.Logf("log of %s:\n%s", p.name, log)
	}
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// stop asks the process to end, and expects a clean end.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	p.wantStatus(t, 0)
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("send %v to %s: %v", s, p.name, err)
	}
}

// kill ends the process as a power failure would.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.ended
}

// wantStatus waits for the end of the process, and kills it if that takes too long.
func (p *process) wantStatus(t *testing.T, want int) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(shutdownPatience):
		p.kill(t)
		t.Errorf("%s did not end within %v", p.name, shutdownPatience)
		return
	}
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		t.Errorf("%s: exit status %d (%v), want %d", p.name, got, p.cmd.ProcessState, want)
	}
}

// A transcript is a process's output, readable while the process writes.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// eventually waits for a condition, and fails the test if it does not come true in time.
func eventually(t *testing.T, within time.Duration, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}
