package servers

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"sync"
)

// A Relay stands between a client and a local server, like a network that can fail.
type Relay struct {
	Port int // where clients connect

	listener net.Listener
	server   string
	running  sync.WaitGroup

	mu    sync.Mutex
	mute  bool   // drops what the server sends
	after string // becomes mute when the client has sent this
	conns map[net.Conn]bool
	epoch int // connections of earlier epochs are dead
}

// NewRelay returns a relay in front of a port.
func NewRelay(ctx context.Context, port int) (*Relay, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Relay{
		Port: listener.Addr().(*net.TCPAddr).Port, listener: listener,
		server: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), conns: make(map[net.Conn]bool),
	}
	r.running.Go(func() { r.accept(context.WithoutCancel(ctx)) })
	return r, nil
}

func (r *Relay) accept(ctx context.Context) {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(ctx, "tcp", r.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		epoch := r.adopt(client, server)
		r.running.Go(func() { r.pipe(epoch, client, server, false) })
		r.running.Go(func() { r.pipe(epoch, server, client, true) })
	}
}

func (r *Relay) adopt(conns ...net.Conn) (epoch int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		r.conns[c] = true
	}
	return r.epoch
}

func (r *Relay) pipe(epoch int, from, to net.Conn, answers bool) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if !r.passes(epoch, answers, buffer[:n]) {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// passes reports whether data is forwarded.
func (r *Relay) passes(epoch int, answer bool, said []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !answer && r.after != "" && bytes.Contains(said, []byte(r.after)) {
		r.mute, r.after = true, ""
	}
	return epoch == r.epoch && (!answer || !r.mute)
}

// Freeze silently disconnects the existing connections: neither side is told.
func (r *Relay) Freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch++
}

// Mute starts or stops dropping what the server sends.
func (r *Relay) Mute(mute bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mute = mute
}

// MuteAfter starts dropping what the server sends once a client has sent a text.
func (r *Relay) MuteAfter(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.after = text
}

// Cut ends all connections.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
	clear(r.conns)
}

// Close stops the relay.
func (r *Relay) Close() error {
	err := r.listener.Close()
	r.Cut()
	r.running.Wait()
	return err
}
