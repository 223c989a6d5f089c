package e2e

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// names lets programs reach servers by names and ports that guides print, whatever they are here: it is an HTTP proxy that knows
// only them. Programs find it by their environment.
type names struct {
	listener net.Listener

	mu   sync.Mutex
	real map[string]string // the address for a name and port
}

// newNames starts a proxy that knows no names yet.
func newNames(t *testing.T) *names {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{listener: l, real: map[string]string{}}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() {
		stop()
		_ = l.Close()
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go n.serve(ctx, c)
		}
	}()
	return n
}

// is tells the proxy where a name and port are.
func (n *names) is(name, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.real[name] = address
}

// environment makes a program use the proxy, except for servers on this machine.
func (n *names) environment() []string {
	return []string{"HTTPS_PROXY=http://" + n.listener.Addr().String(), "NO_PROXY=127.0.0.1,localhost"}
}

// dial reaches a name as the proxy does.
func (n *names) dial(ctx context.Context, network, name string) (net.Conn, error) {
	n.mu.Lock()
	address, ok := n.real[name]
	n.mu.Unlock()
	if !ok {
		address = name
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// serve connects a client to the name that it asks for.
func (n *names) serve(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	asked, err := http.ReadRequest(bufio.NewReader(client))
	if err != nil || asked.Method != http.MethodConnect {
		return
	}
	n.mu.Lock()
	_, known := n.real[asked.Host]
	n.mu.Unlock()
	server, err := n.dial(ctx, "tcp", asked.Host)
	if !known || err != nil {
		_, _ = io.WriteString(client, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer func() { _ = server.Close() }()
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

// browserRules make Chromium reach the same servers by the same names.
func (n *names) browserRules() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var rules []string
	for name, address := range n.real {
		rules = append(rules, "MAP "+name+" "+address)
	}
	return strings.Join(rules, ",")
}
