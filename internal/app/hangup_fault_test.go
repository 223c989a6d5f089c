package app_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dex/internal/faulttest"
	"dex/internal/store"
)

// A pausing storage waits, once it is armed, after the next write of a kind, until whoever wrote it is gone. It waits for the
// write's own context: the request's may be canceled a moment before those that come from it.
type pausing struct {
	store.Store
	kind  string
	armed atomic.Bool
	wrote chan struct{}
}

func (p *pausing) Create(ctx context.Context, r store.Record) (string, error) {
	revision, err := p.Store.Create(ctx, r)
	p.after(ctx, r.Kind)
	return revision, err
}

func (p *pausing) Replace(ctx context.Context, r store.Record) (string, error) {
	revision, err := p.Store.Replace(ctx, r)
	p.after(ctx, r.Kind)
	return revision, err
}

func (p *pausing) after(ctx context.Context, kind string) {
	if kind == p.kind && p.armed.CompareAndSwap(true, false) {
		p.wrote <- struct{}{}
		<-ctx.Done()
	}
}

// Whoever closed one half of the connection while a stolen code was being redeemed had the tokens by the other, and the
// rightful client, which came second, had them too and noticed nothing.
var _ = faulttest.Add("A-half-closed", func(t *testing.T) {
	for _, scope := range []string{"openid offline_access", "openid"} {
		p := &pausing{kind: "code", wrote: make(chan struct{})}
		if strings.Contains(scope, "offline_access") {
			p.kind = "refresh"
		}
		s := startOn(t, configuration, func(inner store.Store) store.Store { p.Store = inner; return p })
		overTCP := httptest.NewServer(s.handler)
		code := s.code("scope", scope)
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", overTCP.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		body := codeForm(code).Encode()
		p.armed.Store(true)
		_, _ = fmt.Fprintf(conn, "POST /dex/token HTTP/1.1\r\nHost: dex.test\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
			"Authorization: Basic YXBwOmFwcC1zZWNyZXQ=\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		<-p.wrote
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		got, _ := io.ReadAll(conn)
		if strings.Contains(string(got), "token\":") {
			t.Errorf("%s: whoever has hung up gets tokens: %s", scope, got)
		}
		_ = conn.Close()
		overTCP.Close()
		s.token(codeForm(code)).wantStatus(http.StatusOK)
		s.token(codeForm(code)).wantError(http.StatusBadRequest, "invalid_grant")
	}
})
