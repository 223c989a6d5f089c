package e2e

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

// slowClients is how many connections each kind of slow client keeps open.
const slowClients = 25

// A slowKind is a way to keep a connection open without using it.
type slowKind struct {
	name  string
	limit time.Duration // after which the server drops the connection
	send  func(net.Conn) error
}

// TestSlowClientsAreDropped holds connections open as attackers do. The server must drop them by itself, serve others
// meanwhile, and not leak anything.
func TestSlowClientsAreDropped(t *testing.T) {
	t.Parallel()
	d := startDex(t, newConfiguration(t))
	issuer, err := url.Parse(d.issuer)
	if err != nil {
		t.Fatal(err)
	}
	before := d.metric(t, "go_goroutines")
	start := time.Now()
	kinds := []slowKind{
		{"slow header", 10 * time.Second, sendSlowHeader},
		{"slow body", 30 * time.Second, sendSlowBody},
		{"slow reader", 60 * time.Second, sendWithoutReading},
	}
	dropped := make([]chan struct{}, len(kinds))
	for i, kind := range kinds {
		dropped[i] = holdConnections(t, issuer.Host, kind)
	}
	eventually(t, patience, "the slow clients have a goroutine each", func() bool {
		return d.metric(t, "go_goroutines") >= before+float64(len(kinds)*slowClients)
	})
	d.mustLogin(t, "local")

	for i, kind := range kinds {
		end := time.After(time.Until(start.Add(kind.limit + patience)))
		for range slowClients {
			select {
			case <-dropped[i]:
			case <-end:
				t.Fatalf("%s: not dropped within %v of the limit, %v", kind.name, patience, kind.limit)
			}
		}
		took := time.Since(start).Round(time.Second)
		t.Logf("%s: dropped after %v", kind.name, took)
		if took < kind.limit-time.Second {
			t.Errorf("%s: dropped after %v, want %v", kind.name, took, kind.limit)
		}
	}
	const kept = 10 // connections of our own that are alive
	eventually(t, patience, "the server has as many goroutines as before", func() bool {
		return d.metric(t, "go_goroutines") <= before+kept
	})
}

// holdConnections starts slow clients. Each of them reports when its connection was dropped.
func holdConnections(t *testing.T, address string, kind slowKind) chan struct{} {
	t.Helper()
	dropped := make(chan struct{}, slowClients)
	for range slowClients {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // ends the sender, too
		go func() {
			_ = kind.send(conn) // it waits for the error
			dropped <- struct{}{}
		}()
	}
	return dropped
}

// sendSlowHeader never finishes a request's header. It returns when the connection is gone.
func sendSlowHeader(c net.Conn) error {
	if _, err := fmt.Fprintf(c, "GET /dex/healthz HTTP/1.1\r\nHost: %s\r\nX-Slow: ", c.RemoteAddr()); err != nil {
		return err
	}
	return trickle(c)
}

// sendSlowBody never finishes a request's body.
func sendSlowBody(c net.Conn) error {
	_, err := fmt.Fprintf(c, "POST /dex/token HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
		"Content-Length: 1000\r\n\r\ngrant_type=", c.RemoteAddr())
	if err != nil {
		return err
	}
	return trickle(c)
}

// trickle sends a byte now and then until that fails.
func trickle(c net.Conn) error {
	for {
		if _, err := c.Write([]byte("a")); err != nil {
			return err
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// sendWithoutReading requests pages one after the other without reading the answers.
func sendWithoutReading(c net.Conn) error {
	if tcp, ok := c.(*net.TCPConn); ok {
		if err := tcp.SetReadBuffer(4096); err != nil {
			return err
		}
	}
	request := strings.Repeat(fmt.Sprintf("GET /dex/static/main.css HTTP/1.1\r\nHost: %s\r\n\r\n", c.RemoteAddr()), 100)
	for {
		if _, err := c.Write([]byte(request)); err != nil {
			return err
		}
	}
}
