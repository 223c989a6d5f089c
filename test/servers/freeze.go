package servers

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Freeze stops a running server of a kind as if its machine hung: connections stay open, but nothing answers. Thaw lets it
// continue.
func (p *Pool) Freeze(kind string) (thaw func() error, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.started[kind]
	if !ok {
		return nil, fmt.Errorf("freeze: no server for storage %q has been started", kind)
	}
	return s.process().freeze()
}

// freeze stops the process and its children. Some servers' children have their own process groups.
func (p *process) freeze() (thaw func() error, err error) {
	var stopped []int
	thaw = func() error {
		var errs []error
		for _, pid := range stopped {
			// It may have ended for good.
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
	for next := []int{p.cmd.Process.Pid}; len(next) > 0; {
		pid := next[0]
		// First the parent, so that it starts no new children meanwhile.
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
			return nil, errors.Join(fmt.Errorf("freeze process %d: %w", pid, err), thaw())
		}
		stopped = append(stopped, pid)
		children, err := childrenOf(pid)
		if err != nil {
			return nil, errors.Join(err, thaw())
		}
		next = append(next[1:], children...)
	}
	return thaw, nil
}

// childrenOf returns a process's children; see proc_pid_stat(5).
func childrenOf(parent int) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var children []int
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // G304: of the kernel
		if err != nil {
			continue // it has ended
		}
		_, after, found := bytes.Cut(text[max(bytes.LastIndexByte(text, ')'), 0):], []byte(") ")) // its name may contain anything
		fields := bytes.Fields(after)
		if !found || len(fields) < 2 || string(fields[1]) != strconv.Itoa(parent) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		children = append(children, pid)
	}
	return children, nil
}
