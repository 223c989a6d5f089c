package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dex/internal/store"
)

const (
	// heardWithin is how long a notification may take at the start, before changes are polled instead, which does no harm.
	heardWithin = 500 * time.Millisecond
	// pollEvery is how often they are.
	pollEvery = time.Second
	// pollSeldom is the longest pause between two looks while the database can't be reached.
	pollSeldom = 30 * time.Second
)

// A follower passes on what other processes change.
type follower interface {
	// ready makes it begin, if it has not done so before. From then on no change is missed.
	ready(ctx context.Context) error
	close()
}

// follow begins to follow the other replicas: by notifications where these can be sent and heard, which an engine that
// is only compatible may lack, a role may not be allowed, and a pooler may not pass on.
func (s *Store) follow(ctx context.Context, config *pgconn.Config) {
	sent, heard := tryNotifications(ctx, config)
	s.notifies = sent == nil
	if err := errors.Join(sent, heard); err != nil {
		s.log.InfoContext(ctx, "PostgreSQL: no notifications come here; changes by other replicas are looked for every second",
			"reason", explain(err))
		s.others = startPolling(ctx, s)
		return
	}
	s.others = listen(ctx, config, &s.changes, s.log)
}

// tryNotifications sends one from one connection to another, which tells a pooler that shares connections from a server.
func tryNotifications(ctx context.Context, config *pgconn.Config) (sent, heard error) {
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	sender, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, nil // the listener will report it, and can wait
	}
	defer func() { _ = sender.Close(ctx) }()
	name := "dex_probe_" + strings.ToLower(rand.Text()) // so that it needs no quotes
	receiver, heard := newEar(ctx, config, name)
	if _, ok := errors.AsType[*pgconn.ConnectError](heard); ok {
		return nil, nil
	}
	if err := once(ctx, sender, probeStatement, []byte(name), []byte{}).Err; err != nil {
		sent = fmt.Errorf("pg_notify: %w", err)
	}
	if heard != nil {
		return sent, heard
	}
	defer func() { _ = receiver.Close(ctx) }()
	if sent != nil {
		return sent, nil
	}
	ctx, cancelWait := context.WithTimeout(ctx, heardWithin)
	defer cancelWait()
	if _, err := receiver.next(ctx); err != nil {
		return nil, errors.New("a notification was sent and not heard")
	}
	return nil, nil
}

var probeStatement = newStatement("SELECT pg_notify($1, $2)", typeText, typeText)

// A poller looks for the changes of other processes.
type poller struct {
	store   *Store
	begin   sync.Once
	begun   chan struct{} // closed when there is somebody to tell
	cancel  context.CancelFunc
	stopped chan struct{} // closed when run has returned
}

func startPolling(ctx context.Context, s *Store) *poller {
	p := &poller{store: s, begun: make(chan struct{}), stopped: make(chan struct{})}
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go p.run(ctx)
	return p
}

// ready is part of follower. The first look finds no state before it, so that it tells too much rather than too little.
func (p *poller) ready(context.Context) error {
	p.begin.Do(func() { close(p.begun) })
	return nil
}

func (p *poller) close() {
	p.cancel()
	<-p.stopped
}

func (p *poller) run(ctx context.Context) {
	defer close(p.stopped)
	select {
	case <-p.begun:
	case <-ctx.Done():
		return
	}
	var known map[string]string
	for failed := 0; ; {
		current, err := p.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if failed++; failed == 1 {
				p.store.log.WarnContext(ctx, "PostgreSQL: changes by other processes can't be seen", "error", explain(err))
			}
		default:
			p.publish(known, current)
			known, failed = current, 0
		}
		select {
		case <-time.After(min(pollEvery<<min(failed, 10), pollSeldom)):
		case <-ctx.Done():
			return
		}
	}
}

// publish tells watchers which kinds have changed, our own changes among them.
func (p *poller) publish(known, current map[string]string) {
	for kind := range known {
		if _, ok := current[kind]; !ok { // somebody has been at the table, such as a restored backup
			p.store.changes.Publish(store.Change{})
			return
		}
	}
	for kind, revision := range current {
		if known[kind] != revision {
			p.store.changes.Publish(store.Change{Kind: kind})
		}
	}
}

// look returns the revisions of the kinds' changes.
func (p *poller) look(ctx context.Context) (map[string]string, error) {
	current := make(map[string]string)
	err := p.store.do(ctx, reading, func(ctx context.Context) error {
		result, err := p.store.run(ctx, changesStatement)
		if err != nil {
			return err
		}
		for _, row := range result.Rows {
			current[string(row[0])] = string(row[1])
		}
		return nil
	})
	return current, err
}
