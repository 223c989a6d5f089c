package postgres

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

const (
	// pingAfter is how long a connection may be idle before it has to show that it still leads to the server.
	pingAfter = time.Second
	// pingTimeout is how long that may take before another is tried: after a network or a server went away without a word, the
	// operation has time left to succeed.
	pingTimeout = time.Second
	// idleLifetime is how long a connection is kept for later.
	idleLifetime = 30 * time.Minute
	// lookEvery is the pause between looks for connections to close.
	lookEvery = time.Minute
	// closeTimeout bounds saying goodbye to the server.
	closeTimeout = 15 * time.Second
)

// A pool keeps connections for later, and bounds how many there are.
type pool struct {
	settings poolSettings
	conns    *puddle.Pool[*conn]
	wanted   atomic.Int32 // how many callers wait for a connection
	closing  chan struct{}
	looked   chan struct{} // closed when look has returned
}

// poolSettings say how to connect, how many connections there may be, and how long each may live.
type poolSettings struct {
	connect  *pgconn.Config
	open     int32
	idle     int32
	lifetime time.Duration
}

// A conn is a connection of a pool.
type conn struct {
	*pgconn.PgConn
	prepared map[string]*pgconn.StatementDescription // what the server knows, by name
	until    time.Time                               // it is replaced afterwards
}

func newPool(settings poolSettings) (*pool, error) {
	p := &pool{settings: settings, closing: make(chan struct{}), looked: make(chan struct{})}
	var err error
	p.conns, err = puddle.NewPool(&puddle.Config[*conn]{Constructor: p.connect, Destructor: disconnect, MaxSize: settings.open})
	if err != nil {
		return nil, err
	}
	go p.look()
	return p, nil
}

// connect makes a connection. It goes on if the caller leaves, within the time limit of the settings.
func (p *pool) connect(ctx context.Context) (*conn, error) {
	c, err := pgconn.ConnectConfig(ctx, p.settings.connect)
	if err != nil {
		return nil, err
	}
	if err := prepareSession(ctx, c); err != nil {
		_ = c.Close(ctx) // the first error says why
		return nil, err
	}
	lifetime := p.settings.lifetime + rand.N(p.settings.lifetime/10+1) //nolint:gosec // so that they are not all replaced at once
	return &conn{PgConn: c, prepared: map[string]*pgconn.StatementDescription{}, until: time.Now().Add(lifetime)}, nil
}

// prepareSession makes a new connection independent of the isolation level that the database or the role is set to.
func prepareSession(ctx context.Context, c *pgconn.PgConn) error {
	return c.Exec(ctx, "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED").Close()
}

// disconnect ends a connection. The driver would wait for the server to say something yet on one that broke, or whose server did
// not answer in time, and the pool has no room for another until then: such a connection is just closed.
func disconnect(c *conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if c.IsClosed() {
		_ = c.Conn().Close() // the failure itself was told already
	}
	_ = c.Close(ctx)
	select {
	case <-c.CleanupDone():
	case <-ctx.Done():
	}
}

// acquire returns a connection that leads to the server, as far as can be told.
func (p *pool) acquire(ctx context.Context) (*puddle.Resource[*conn], error) {
	for { // each round ends with one idle connection less
		p.wanted.Add(1)
		r, err := p.conns.Acquire(ctx)
		p.wanted.Add(-1)
		if err != nil {
			return nil, err
		}
		if !p.aged(r) && (r.IdleDuration() <= pingAfter || ping(ctx, r.Value())) {
			return r, nil
		}
		r.Destroy()
	}
}

func ping(ctx context.Context, c *conn) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return c.Ping(ctx) == nil
}

func (p *pool) aged(r *puddle.Resource[*conn]) bool { return time.Now().After(r.Value().until) }

// release gives a connection back, or ends it if it can't be used again or nobody waits for it and enough are idle.
func (p *pool) release(r *puddle.Resource[*conn]) {
	c := r.Value()
	const noTransaction = 'I'
	spare := p.wanted.Load() == 0 && p.conns.Stat().IdleResources() >= p.settings.idle
	if spare || c.IsClosed() || c.IsBusy() || c.TxStatus() != noTransaction || p.aged(r) {
		r.Destroy()
		return
	}
	r.Release()
}

// look closes connections that have been idle for long, are too old or too many, until the pool is closed.
func (p *pool) look() {
	defer close(p.looked)
	for {
		select {
		case <-time.After(lookEvery):
		case <-p.closing:
			return
		}
		for i, r := range p.conns.AcquireAllIdle() {
			if p.aged(r) || r.IdleDuration() > idleLifetime || i >= int(p.settings.idle) {
				r.Destroy()
			} else {
				r.ReleaseUnused()
			}
		}
	}
}

// close waits for the connections that are in use.
func (p *pool) close() {
	close(p.closing)
	<-p.looked
	p.conns.Close()
}
