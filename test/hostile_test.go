package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

const (
	gigabyte = 1 << 30
	// earlyEnough is how much of a body the client may have sent when it is refused, in bytes: what fits into a connection's
	// buffers, with room to spare.
	earlyEnough = 32 << 20
	// maxMemory is the server's maximum peak memory, in bytes. The race detector multiplies what the server uses.
	maxMemory = 200 << 20
)

// TestTooMuchIsRefused sends far too much, and checks what that costs the server.
func TestTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	d := startDex(t, newConfiguration(t))
	v := newVisitor(d.transport)
	form, err := v.get(t.Context(), d.authURL("/auth/local", nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []struct{ name, url string }{
		{"token endpoint", d.endpoint("/token")},
		{"password form", form.url.String()},
		{"authorization endpoint", d.endpoint("/auth")},
	} {
		t.Run("body for the "+target.name, func(t *testing.T) { checkLargeBody(t, v, target.url, -1) })
		t.Run("announced body for the "+target.name, func(t *testing.T) { checkLargeBody(t, v, target.url, gigabyte) })
	}
	t.Run("header of a megabyte", func(t *testing.T) { checkLargeHeader(t, d) })
	t.Run("path of a megabyte", func(t *testing.T) { checkLargePath(t, d) })

	peak := d.memory(t, "VmHWM")
	t.Logf("peak of the server's memory: %d MiB", peak>>20)
	if peak > maxMemory {
		t.Errorf("the server needed %d MiB, more than %d", peak>>20, maxMemory>>20)
	}
}

// checkLargeBody posts a gigabyte; length is the Content-Length, -1 for none.
func checkLargeBody(t *testing.T, v *visitor, address string, length int64) {
	t.Helper()
	body := &endless{}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, io.LimitReader(body, gigabyte))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = length
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p, err := v.visit(r)
	if err == nil && p.status != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413 or a closed connection", p.status)
	}
	if isTimeout(err) {
		t.Errorf("the server did not refuse: %v", err)
	}
	if sent := body.sent.Load(); sent > earlyEnough {
		t.Errorf("%d MiB were taken before the refusal", sent>>20)
	}
}

// endless is a form with one field that never ends.
type endless struct{ sent atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	e.sent.Add(int64(len(p)))
	return len(p), nil
}

func checkLargeHeader(t *testing.T, d *dex) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.endpoint("/healthz"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Large", strings.Repeat("a", 1<<20))
	p, err := newVisitor(d.transport).visit(r)
	if err == nil && p.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d, want 431 or a closed connection", p.status)
	}
	if isTimeout(err) {
		t.Errorf("the server did not refuse: %v", err)
	}
}

func checkLargePath(t *testing.T, d *dex) {
	t.Helper()
	p, err := newVisitor(d.transport).get(t.Context(), d.endpoint("/"+strings.Repeat("a", 1<<20)))
	if err == nil && (p.status < 400 || p.status >= 500) {
		t.Errorf("status %d, want 4xx or a closed connection", p.status)
	}
	if isTimeout(err) {
		t.Errorf("the server did not refuse: %v", err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout()
}
