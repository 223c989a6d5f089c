package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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
func (s *Store) follow(ctx context.Context, config *pgx.ConnConfig) {
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
func tryNotifications(ctx context.Context, config *pgx.ConnConfig) (sent, heard error) {
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	sender, err := pgx.ConnectConfig(ctx, plainly(config))
	if err != nil {
		return nil, nil // the listener will report it, and can wait
	}
	defer func() { _ = sender.Close(ctx) }()
	receiver, err := pgx.ConnectConfig(ctx, plainly(config))
	if err != nil {
		return nil, nil
	}
	defer func() { _ = receiver.Close(ctx) }()
	name := "dex_probe_" + rand.Text()
	if _, err := receiver.Exec(ctx, "LISTEN "+pgx.Identifier{name}.Sanitize()); err != nil {
		heard = fmt.Errorf("LISTEN: %w", err)
	}
	if _, err := sender.Exec(ctx, "SELECT pg_notify($1, '')", name); err != nil {
		return fmt.Errorf("pg_notify: %w", err), heard
	}
	if heard != nil {
		return nil, heard
	}
	ctx, cancelWait := context.WithTimeout(ctx, heardWithin)
	defer cancelWait()
	if _, err := receiver.WaitForNotification(ctx); err != nil {
		return nil, errors.New("a notification was sent and not heard")
	}
	return nil, nil
}

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
	var known map[string]pgtype.UUID
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
func (p *poller) publish(known, current map[string]pgtype.UUID) {
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

func (p *poller) look(ctx context.Context) (map[string]pgtype.UUID, error) {
	current := make(map[string]pgtype.UUID)
	err := p.store.do(ctx, reading, func(ctx context.Context) error {
		found := make(map[string]pgtype.UUID)
		rows, err := p.store.pool.Query(ctx, changesText)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var kind []byte
			var revision pgtype.UUID
			if err := rows.Scan(&kind, &revision); err != nil {
				return err
			}
			found[string(kind)] = revision
		}
		maps.Copy(current, found)
		return rows.Err()
	})
	return current, err
}
