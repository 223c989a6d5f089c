package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dex/internal/store"
	"dex/internal/store/watch"
)

const (
	// probeAfter is how long nothing may be heard before the server is asked whether it is still there.
	probeAfter = 30 * time.Second
	// probeTimeout is how long it may take to answer.
	probeTimeout = 5 * time.Second
	// The pause before another attempt to connect doubles from the one to the other.
	shortestPause = 100 * time.Millisecond
	longestPause  = 10 * time.Second
)

// A listener passes on the changes that other processes report. It has a connection of its own, because notifications
// come to the connection that asked for them.
type listener struct {
	config  *pgconn.Config
	changes *watch.Hub
	log     *slog.Logger

	begin   sync.Once
	begun   chan struct{} // closed when there is somebody to tell
	settle  sync.Once
	tried   chan struct{} // closed when the first attempt to connect has succeeded or failed
	cancel  context.CancelFunc
	stopped chan struct{} // closed when run has returned
}

// listen starts a listener, which ends when it is closed.
func listen(ctx context.Context, config *pgconn.Config, changes *watch.Hub, log *slog.Logger) *listener {
	l := &listener{
		config: config, changes: changes, log: log,
		begun: make(chan struct{}), tried: make(chan struct{}), stopped: make(chan struct{}),
	}
	ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go l.run(ctx)
	return l
}

// ready makes the listener connect, if it has not done so before, and waits until it has tried to. From then on no
// change is missed without watchers being told to forget everything.
func (l *listener) ready(ctx context.Context) error {
	l.begin.Do(func() { close(l.begun) })
	select {
	case <-l.tried:
		return nil
	case <-l.stopped:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close ends the listener and waits for its end.
func (l *listener) close() {
	l.cancel()
	<-l.stopped
}

// run listens until the context ends, and connects again when the connection is lost.
func (l *listener) run(ctx context.Context) {
	defer close(l.stopped)
	select {
	case <-l.begun:
	case <-ctx.Done():
		return
	}
	wait, lost := shortestPause, false
	for {
		e, err := newEar(ctx, l.config, channel)
		if err == nil {
			if lost {
				l.changes.Publish(store.Change{}) // whatever happened meanwhile was not heard
				l.log.Info("PostgreSQL tells of changes by other processes again")
			}
			wait = shortestPause
			l.settle.Do(func() { close(l.tried) })
			err = l.hearAll(ctx, e)
		}
		l.settle.Do(func() { close(l.tried) })
		if ctx.Err() != nil {
			return
		}
		if wait == shortestPause {
			l.log.Warn("PostgreSQL connection for changes by other processes is lost, connecting again", "error", explain(err))
		}
		lost = true
		select {
		case <-time.After(wait/2 + rand.N(wait/2)): //nolint:gosec // jitter, not a secret
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, longestPause)
	}
}

// An ear is a connection that hears of changes.
type ear struct {
	*pgconn.PgConn
	heard []string // what notifications said that were not asked for yet
}

// newEar connects, and asks for the notifications of a channel. The channel is ours, and so needs no quotes.
func newEar(ctx context.Context, config *pgconn.Config, channel string) (*ear, error) {
	e := &ear{}
	config = config.Copy()
	config.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { e.heard = append(e.heard, n.Payload) }
	var err error
	if e.PgConn, err = pgconn.ConnectConfig(ctx, config); err != nil {
		return nil, err
	}
	if err := e.exec(ctx, "LISTEN "+channel); err != nil {
		return nil, errors.Join(fmt.Errorf("LISTEN: %w", err), e.disconnect(ctx))
	}
	return e, nil
}

// next waits for a notification.
func (e *ear) next(ctx context.Context) (payload string, err error) {
	for len(e.heard) == 0 {
		if err := e.WaitForNotification(ctx); err != nil {
			return "", err
		}
	}
	payload, e.heard = e.heard[0], e.heard[1:]
	return payload, nil
}

func (e *ear) exec(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return e.Exec(ctx, text).Close()
}

func (e *ear) disconnect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	return e.Close(ctx)
}

// hearAll listens until the connection is lost or the context ends.
func (l *listener) hearAll(ctx context.Context, e *ear) error {
	for {
		if err := l.hear(ctx, e); err != nil {
			return errors.Join(err, e.disconnect(ctx))
		}
	}
}

// hear waits for one notification, or makes sure that the server is still there if none comes.
func (l *listener) hear(ctx context.Context, e *ear) error {
	limited, cancel := context.WithTimeout(ctx, probeAfter)
	defer cancel()
	said, err := e.next(limited)
	switch {
	case err == nil:
		l.changes.Publish(parsePayload(said))
		return nil
	case ctx.Err() == nil && limited.Err() != nil && !e.IsClosed():
		if err := e.exec(ctx, "SELECT 1"); err != nil {
			return fmt.Errorf("no sign of life: %w", err)
		}
		return nil
	}
	return err
}
