package etcd

import (
	"context"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dex/internal/store"
)

// Every write of an announced kind writes the same key, dex/changed, in its transaction, and one watch of that key
// tells of all changes, in order, our own included. Ours are also reported at once, so that a writer need not wait
// for the cluster to see what it wrote. A watch of the records themselves would bring every code, login and refresh token
// with its document to every process that watches.

// Watch is part of store.Store. The first one waits until the cluster has begun to report changes.
func (s *Store) Watch(ctx context.Context) (<-chan store.Change, error) {
	if err := s.startFollowing(ctx); err != nil {
		return nil, err
	}
	err := s.request(ctx, func(ctx context.Context) error {
		select {
		case <-s.established:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-s.life.Done():
			return store.ErrClosed
		}
	})
	if err != nil {
		return nil, err
	}
	return s.changes.Subscribe(ctx)
}

func (s *Store) startFollowing(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	if !s.following {
		s.following = true
		s.running.Go(s.follow)
	}
	return nil
}

// follow publishes changes until Close. The client resumes a watch by itself where it stopped when a connection
// is lost. When it can't, because that part of the history was compacted meanwhile or the cluster has no leader, a new
// one is begun, and watchers are told to forget everything.
func (s *Store) follow() {
	const shortest, longest = 100 * time.Millisecond, 5 * time.Second
	// A member that has lost the others ends the watch, so that another member is asked.
	ctx := clientv3.WithRequireLeader(s.life)
	heard := false
	for wait := shortest; ; wait = min(2*wait, longest) {
		events := s.client.Watch(ctx, s.keys.changed(), clientv3.WithCreatedNotify(), clientv3.WithProgressNotify())
		for event := range events {
			if event.Created {
				s.beginning(heard)
				heard, wait = true, shortest
			}
			if err := event.Err(); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "watch of etcd has a gap", "endpoints", s.where, "err", err)
			}
			s.publish(event.Events)
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2)): //nolint:gosec // jitter, not a secret
		case <-ctx.Done():
			return
		}
	}
}

// beginning is called when the cluster begins to report changes, again if heard.
func (s *Store) beginning(heard bool) {
	if heard {
		s.changes.Publish(store.Change{})
	} else {
		close(s.established)
	}
}

func (s *Store) publish(events []*clientv3.Event) {
	for _, e := range events {
		// Nobody deletes the key but an operator; its empty value stands for everything.
		s.changes.Publish(parseAnnouncement(string(e.Kv.Value)))
	}
}
