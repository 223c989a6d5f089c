package etcd_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"dex/internal/store/etcd"
)

// A relay stands between a store and its server, like a network that can fail.
type relay struct {
	listener net.Listener
	server   string

	mu      sync.Mutex
	refuses bool // accepts no connections
	mute    bool // drops what the server sends
	conns   map[net.Conn]bool
}

// through puts a relay between a store and the server in its settings.
func through(t *testing.T, config *etcd.Config) *relay {
	t.Helper()
	server, err := url.Parse(config.Endpoints[0])
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, server: server.Host, conns: make(map[net.Conn]bool)}
	config.Endpoints = []string{server.Scheme + "://" + listener.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() { r.accept(&serving) })
	t.Cleanup(func() {
		_ = listener.Close()
		r.cut()
		serving.Wait()
	})
	return r
}

func (r *relay) accept(serving *sync.WaitGroup) {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.server)
		if err != nil || !r.adopt(client, server) {
			_ = client.Close()
			continue
		}
		serving.Go(func() { r.pipe(server, client, server) })
		serving.Go(func() { r.pipe(talker{r, client}, server, client) })
	}
}

// adopt reports whether a connection is accepted.
func (r *relay) adopt(client, server net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuses {
		_ = server.Close()
		return false
	}
	r.conns[client], r.conns[server] = true, true
	return true
}

func (r *relay) pipe(to io.Writer, from, other net.Conn) {
	_, _ = io.Copy(to, from)
	_ = from.Close()
	_ = other.Close()
}

// A talker writes to a client unless the relay is mute.
type talker struct {
	relay  *relay
	client net.Conn
}

func (t talker) Write(p []byte) (int, error) {
	t.relay.mu.Lock()
	mute := t.relay.mute
	t.relay.mu.Unlock()
	if mute {
		return len(p), nil
	}
	return t.client.Write(p)
}

// set changes how the network fails.
func (r *relay) set(refuses, mute bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuses, r.mute = refuses, mute
}

// cut ends all connections.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
	clear(r.conns)
}
