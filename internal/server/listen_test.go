package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"dex/internal/server"
)

// patience is how long a test waits for something that should happen soon.
const patience = 10 * time.Second

// running is a group that is serving.
type running struct {
	addresses []string // of the listeners, in their order
	stop      func()   // begins to drain
	result    chan error
}

// serve runs the group until the test ends or stop is called.
func serve(t *testing.T, g *server.Group) running {
	t.Helper()
	if g.Log == nil {
		g.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(t.Context())
	bound := make(chan string, len(g.Listeners))
	for i := range g.Listeners {
		g.Listeners[i].Address = "127.0.0.1:0"
		g.Listeners[i].OnBound = func(a net.Addr) { bound <- a.String() }
	}
	run := running{stop: cancel, result: make(chan error, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run.result <- g.Serve(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	for range g.Listeners {
		run.addresses = append(run.addresses, receive(t, bound))
	}
	return run
}

// receive waits for a value.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing happened")
		panic("unreachable")
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// ends waits for the server to end the connection.
func ends(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the server kept the connection")
	}
}

func TestServeLogsTheBoundAddressAndStops(t *testing.T) {
	var log logBuffer
	run := serve(t, &server.Group{Log: log.logger(), Listeners: []server.Listener{
		{Name: "http", Handler: text("web")},
		{Name: "telemetry", Handler: text("telemetry")},
	}})
	for i, want := range []string{"web", "telemetry"} {
		if _, body := do(t, "GET", "http://"+run.addresses[i]+"/", nil); body != want {
			t.Errorf("%q, want %q", body, want)
		}
	}
	run.stop()
	if err := receive(t, run.result); err != nil {
		t.Errorf("a clean stop: %v", err)
	}
	for _, want := range []string{
		`msg="listening on" server=http address=` + run.addresses[0],
		`msg="listening on" server=telemetry address=` + run.addresses[1],
		`level=DEBUG msg="starting graceful shutdown" server=http`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", run.addresses[0]); err == nil {
		t.Error("the listener is still there")
	}
}

func TestAnAddressInUse(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	called := false
	g := &server.Group{Log: slog.New(slog.DiscardHandler), Listeners: []server.Listener{
		{Name: "http", Key: "web.http", Address: "127.0.0.1:0", OnBound: func(net.Addr) { called = true }},
		{Name: "telemetry", Key: "telemetry.http", Address: taken.Addr().String()},
	}}
	err = g.Serve(t.Context())
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{"telemetry", "telemetry.http", taken.Addr().String()} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if called {
		t.Error("one listener was announced although another could not be bound")
	}
}

func TestDrainLetsRequestsEnd(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		if r.Context().Err() != nil {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, "whole")
	})
	draining := make(chan struct{})
	run := serve(t, &server.Group{
		Listeners: []server.Listener{
			{Name: "http", Handler: slow},
		},
		OnDrain: func() { close(draining) },
	})
	conn := dial(t, run.addresses[0])
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	receive(t, entered)
	run.stop()
	receive(t, draining)
	eventually(t, "the listener to close", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", run.addresses[0])
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	close(release)
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.0 200") || !strings.HasSuffix(string(answer), "whole") {
		t.Errorf("the request in progress got %q, %v", answer, err)
	}
	if err := receive(t, run.result); err != nil {
		t.Errorf("a clean drain: %v", err)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestDrainEndsAtItsDeadline(t *testing.T) {
	entered, cut := make(chan struct{}, 2), make(chan struct{}, 2)
	hang := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
		cut <- struct{}{}
	})
	run := serve(t, &server.Group{
		Listeners:    []server.Listener{{Name: "http", Handler: hang}, {Name: "other", Handler: hang}},
		DrainTimeout: 50 * time.Millisecond,
	})
	for _, address := range run.addresses {
		if _, err := io.WriteString(dial(t, address), "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, entered)
	receive(t, entered)
	run.stop()
	err := receive(t, run.result)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "http") || !strings.Contains(err.Error(), "other") {
		t.Errorf("%v", err)
	}
	receive(t, cut)
	receive(t, cut)
}

func TestAListenerThatFailsStopsAll(t *testing.T) {
	_, certificate := newCertificate(t)
	config, err := certificate.TLSConfig("", "")
	if err != nil {
		t.Fatal(err)
	}
	config.GetCertificate = nil // ServeTLS finds nothing to show
	run := serve(t, &server.Group{Listeners: []server.Listener{
		{Name: "http", Handler: text("web")},
		{Name: "https", Handler: text("web"), TLS: config},
	}})
	if err := receive(t, run.result); err == nil || !strings.Contains(err.Error(), "listener https") {
		t.Errorf("%v", err)
	}
}

func TestClientsThatAreTooSlow(t *testing.T) {
	short := 100 * time.Millisecond
	t.Run("header", func(t *testing.T) {
		t.Parallel()
		run := serve(t, &server.Group{Listeners: []server.Listener{{Timeouts: server.Timeouts{Header: short}, Handler: text("")}}})
		conn := dial(t, run.addresses[0])
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow"); err != nil {
			t.Fatal(err)
		}
		ends(t, conn)
	})
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		run := serve(t, &server.Group{Listeners: []server.Listener{{Timeouts: server.Timeouts{Header: short}, Handler: text("")}}})
		ends(t, dial(t, run.addresses[0]))
	})
	t.Run("body", func(t *testing.T) {
		t.Parallel()
		read := make(chan error, 1)
		run := serve(t, &server.Group{Listeners: []server.Listener{{
			Timeouts: server.Timeouts{Read: short},
			Handler: server.New(options(""), []server.Route{{Pattern: "/token", Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				read <- err
			})}}),
		}}})
		conn := dial(t, run.addresses[0])
		if _, err := io.WriteString(conn, "POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"); err != nil {
			t.Fatal(err)
		}
		if err := receive(t, read); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the handler read: %v", err)
		}
		ends(t, conn)
	})
	t.Run("reading the answer", func(t *testing.T) {
		t.Parallel()
		written := make(chan error, 1)
		run := serve(t, &server.Group{Listeners: []server.Listener{{
			Timeouts: server.Timeouts{Write: short},
			Handler: server.New(options(""), []server.Route{{Pattern: "/", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				part := make([]byte, 1<<20)
				var err error
				for err == nil {
					_, err = w.Write(part)
				}
				written <- err
			})}}),
		}}})
		conn := dial(t, run.addresses[0])
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := receive(t, written); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the handler wrote: %v", err)
		}
	})
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		run := serve(t, &server.Group{Listeners: []server.Listener{{Timeouts: server.Timeouts{Idle: short}, Handler: text("hello")}}})
		conn := dial(t, run.addresses[0])
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		ends(t, conn)
	})
}

func TestRequestsThatAreTooLarge(t *testing.T) {
	called := make(chan struct{}, 1)
	run := serve(t, &server.Group{Listeners: []server.Listener{{
		Handler: server.New(options(""), []server.Route{{Pattern: "/token", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			called <- struct{}{}
		})}}),
	}}})
	status := func(t *testing.T, request string) int {
		t.Helper()
		conn := dial(t, run.addresses[0])
		go func() { _, _ = io.WriteString(conn, request) }() // the server may hang up before it has read all
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if !resp.Close {
			t.Error("the server wants to keep the connection")
		}
		ends(t, conn)
		return resp.StatusCode
	}
	t.Run("gigabyte of body", func(t *testing.T) {
		// The body never comes: the refusal does not wait for it.
		if got := status(t, fmt.Sprintf("POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 1<<30)); got != 413 {
			t.Errorf("%d", got)
		}
	})
	t.Run("more of a header than the route takes", func(t *testing.T) {
		request := "GET /token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Large: " + strings.Repeat("a", server.DefaultMaxHeader) + "\r\n\r\n"
		if got := status(t, request); got != 431 {
			t.Errorf("%d", got)
		}
	})
	t.Run("megabyte of header", func(t *testing.T) {
		if got := status(t, "GET /token HTTP/1.1\r\nHost: x\r\nX-Large: "+strings.Repeat("a", 1<<20)+"\r\n\r\n"); got != 431 {
			t.Errorf("%d", got)
		}
	})
	if len(called) > 0 {
		t.Error("the handler was called")
	}
}

func TestServerMessagesGoToTheLog(t *testing.T) {
	var log logBuffer
	_, certificate := newCertificate(t)
	config, err := certificate.TLSConfig("", "")
	if err != nil {
		t.Fatal(err)
	}
	run := serve(t, &server.Group{Log: log.logger(), Listeners: []server.Listener{
		{Name: "https", TLS: config, Handler: text("")},
		{Name: "http", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/panic" {
				panic("boom")
			}
			w.WriteHeader(200)
			w.WriteHeader(200)
		})},
	}})
	for i, request := range []string{"no handshake\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "GET /panic HTTP/1.0\r\n\r\n"} {
		conn := dial(t, run.addresses[min(i, 1)])
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		ends(t, conn)
	}
	for _, want := range []string{
		`level=DEBUG msg="message of the HTTP server" server=https err="http: TLS handshake error`,
		`level=WARN msg="message of the HTTP server" server=http err="http: superfluous response.WriteHeader`,
		`level=ERROR msg="message of the HTTP server" server=http err="http: panic serving`,
	} {
		eventually(t, want, func() bool { return strings.Contains(log.String(), want) })
	}
}

func TestAsteriskRequestHasTheHeaders(t *testing.T) {
	run := serve(t, &server.Group{Listeners: []server.Listener{{Handler: server.New(options(""), nil)}}})
	conn := dial(t, run.addresses[0])
	if _, err := io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 404 || resp.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("%d %q", resp.StatusCode, resp.Header)
	}
}
