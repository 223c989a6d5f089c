// Package servers starts the real servers that storages and connectors are tested and measured against. Each listens on a free
// port of 127.0.0.1 and keeps all of its files in a new folder, which Close removes. A server ends with the process that
// started it, even if that is killed.
package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	// readyWithin is how long a server may take to answer after its start.
	readyWithin = 60 * time.Second
	// readyEvery is how often it is asked.
	readyEvery = 20 * time.Millisecond
	// stopWithin is how long a server may take to shut down before it is killed. It flushes its memory to disk, and the disk
	// may be busy.
	stopWithin = 60 * time.Second
	// shownOutput is how many bytes of a server's last output an error shows.
	shownOutput = 4096
)

// An account is the user that a server runs as, and its folder for all of the server's files.
type account struct {
	folder     string
	uid, gid   uint32
	impersonal bool // not the user that runs this process
}

// newAccount creates a new folder that belongs to the user. Most servers refuse to run as root. If this process is not root,
// the server runs as the same user as this process, whatever the name.
func newAccount(name string) (*account, error) {
	// Short, because the path of a Unix socket has at most 107 bytes.
	folder, err := os.MkdirTemp("", "dex-"+name+"-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", name, err)
	}
	a := &account{folder: folder}
	if os.Getuid() != 0 {
		return a, nil
	}
	if err := a.become(name); err != nil {
		return nil, errors.Join(err, a.remove())
	}
	return a, nil
}

func (a *account) become(name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("find the user that the server runs as: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return fmt.Errorf("user %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return fmt.Errorf("user %s: %w", name, err)
	}
	a.uid, a.gid, a.impersonal = uint32(uid), uint32(gid), true
	return a.own(a.folder)
}

// own gives a file or folder to the account.
func (a *account) own(path string) error {
	if !a.impersonal {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// path returns the path of a file in the account's folder.
func (a *account) path(name string) string { return filepath.Join(a.folder, name) }

// write creates a file in the account's folder that only the account (and root) may read, and returns its path.
func (a *account) write(name string, content []byte) (string, error) {
	path := a.path(name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return "", err
	}
	return path, a.own(path)
}

// remove removes the account's folder and everything in it.
func (a *account) remove() error { return os.RemoveAll(a.folder) }

// run runs a command to its end. An error includes the command's output.
func (a *account) run(ctx context.Context, program string, args ...string) error {
	c := exec.CommandContext(ctx, program, args...) //nolint:gosec // G204: the commands are this package's
	a.prepare(c, syscall.SIGKILL)
	// The parent-death signal is sent when the thread that started the child ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, out)
	}
	return nil
}

func (a *account) prepare(c *exec.Cmd, atParentsDeath syscall.Signal) {
	c.Dir = a.folder
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + a.folder, "TMPDIR=" + a.folder, "LANG=C", "TZ=UTC"}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: atParentsDeath}
	if a.impersonal {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
}

// A command is a server's command line.
type command struct {
	program string
	args    []string
	env     []string // "NAME=value", besides PATH, HOME, TMPDIR, LANG and TZ
	// stop is the signal that shuts the server down; SIGTERM if zero.
	stop syscall.Signal
	// atParentsDeath is the signal that the server gets when this process dies; SIGKILL if zero.
	atParentsDeath syscall.Signal
	// ready returns nil when the server answers. It is called repeatedly until it does.
	ready func(context.Context) error
}

// A process is a running server.
type process struct {
	command command
	cmd     *exec.Cmd
	log     string        // the file of its output
	ended   chan struct{} // closed when it has ended and outcome is set
	outcome error
}

// start starts a server and waits until it is ready or ctx ends. Its output goes to the file server.log in the account's
// folder.
func (a *account) start(ctx context.Context, c command) (*process, error) {
	if c.stop == 0 {
		c.stop = syscall.SIGTERM
	}
	if c.atParentsDeath == 0 {
		c.atParentsDeath = syscall.SIGKILL
	}
	p := &process{command: c, log: a.path("server.log"), ended: make(chan struct{})}
	p.cmd = exec.Command(c.program, c.args...) //nolint:gosec,noctx // the commands are this package's; it outlives ctx
	a.prepare(p.cmd, c.atParentsDeath)
	p.cmd.Env = append(p.cmd.Env, c.env...)
	if err := p.begin(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(c.program), err)
	}
	if err := p.await(ctx); err != nil {
		err = fmt.Errorf("%s does not get ready: %w; its last output: %s", filepath.Base(c.program), err, p.output())
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// begin starts the process from a thread that lives as long as the process: the parent-death signal is sent when the thread
// that started the child ends.
func (p *process) begin() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		defer func() { _ = log.Close() }()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.outcome = p.cmd.Wait()
			close(p.ended)
		}
	}()
	return <-started
}

func (p *process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		err := p.command.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("it ended: %w", p.outcome)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// stop shuts the server down, and kills it with all of its children if that takes too long. It is an error if the server ended
// before.
func (p *process) stop() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s had ended already: %w; its last output: %s", p.cmd.Path, p.outcome, p.output())
	default:
	}
	_ = p.cmd.Process.Signal(p.command.stop) // fails only if it has ended by now
	select {
	case <-p.ended:
		p.killGroup()
		return nil
	case <-time.After(stopWithin):
		p.kill()
		return fmt.Errorf("%s did not stop within %v and was killed; its last output: %s", p.cmd.Path, stopWithin, p.output())
	}
}

// kill ends the server as a crash would.
func (p *process) kill() {
	p.killGroup()
	<-p.ended
}

// killGroup kills the process and its children, including those that have outlived it.
func (p *process) killGroup() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // fails if nobody is left
}

// output returns the last output of the server.
func (p *process) output() string {
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > shownOutput {
		_, _ = f.Seek(-shownOutput, io.SeekEnd)
	}
	out, _ := io.ReadAll(f)
	return string(out)
}

// freePort returns a free TCP port of 127.0.0.1. It is below those that the system gives to outgoing connections and to
// listeners on port 0, so that it is still free when the server is started, or started again.
func freePort(ctx context.Context) (int, error) {
	const first, last, attempts = 20000, 32000, 100
	var err error
	for range attempts {
		port := first + rand.IntN(last-first) //nolint:gosec // not a secret
		var l net.Listener
		if l, err = new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}
