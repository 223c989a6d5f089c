// Package kubernetes keeps records in custom resources of a Kubernetes cluster, by the REST API.
//
// Clients, users, connectors and signing keys are upstream's own objects, with upstream's names and members, so that
// kubectl, charts and operators go on working with them. All other records live in objects of our own within upstream's
// other resources, so that neither new definitions nor new rights are needed. Upstream's own objects there are never touched.
package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"dex/internal/kubeapi"
	"dex/internal/store"
	"dex/internal/store/watch"
)

const (
	// operationTimeout bounds an operation on one record. The server answers most of them within a second even under load;
	// whoever signs in has to be told within five that it does not answer.
	operationTimeout = 3 * time.Second
	// listTimeout bounds the reading of many records. The server has to begin with its answer as soon as with any other.
	listTimeout = 15 * time.Second
	// silentTimeout bounds both instead as long as the server has not answered the operation before: a request may take several
	// operations that look whether one without an answer was carried out.
	silentTimeout = time.Second
)

// A Store is a store.Store in a namespace of a Kubernetes cluster. Make one with Open.
type Store struct {
	client *kubeapi.Client
	log    *slog.Logger

	changes   watch.Hub
	followers sync.WaitGroup
	pages     pageMemory
	silent    atomic.Bool // the server did not answer the last operation
	warned    onceEach

	// life ends with Close, and with it what is under way.
	life context.Context // lives as long as the store
	end  context.CancelFunc
}

var _ store.Store = (*Store)(nil)

// Open connects to the API server and makes sure that the definitions of the custom resources are there. An error says
// which server can't be used and why; Open tries once.
func Open(ctx context.Context, c Config, log *slog.Logger, opts ...kubeapi.Option) (*Store, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	client, err := kubeapi.Connect(c.server(), log, opts...)
	if err != nil {
		return nil, err
	}
	if err := checkKinds(); err != nil {
		return nil, err
	}
	s := &Store{client: client, log: log}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	versions, err := s.define(ctx, c.CRDHandling != CRDCheck)
	if err != nil {
		err = fmt.Errorf("server %s: %w", client.Server(), s.failure(ctx, err))
		return nil, errors.Join(err, s.Close())
	}
	s.follow(versions)
	return s, nil
}

// begin returns a context that also ends with the store; the function frees it.
func (s *Store) begin(ctx context.Context) (context.Context, func(), error) {
	if s.life.Err() != nil {
		return nil, nil, store.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	both, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel)
	return both, func() { stop(); cancel() }, nil
}

// failure returns an error as the caller with the context should see it.
func (s *Store) failure(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case s.life.Err() != nil:
		return store.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

// onOne runs an operation on one record.
func (s *Store) onOne(ctx context.Context, operation func(context.Context) error) error {
	return s.within(ctx, operationTimeout, operation)
}

// within runs an operation that people may be waiting for, in bounded time.
func (s *Store) within(ctx context.Context, limit time.Duration, operation func(context.Context) error) error {
	return s.do(ctx, func(ctx context.Context) error {
		if s.silent.Load() {
			limit = silentTimeout
		}
		late := fmt.Errorf("server %s: no answer within %v", s.client.Server(), limit)
		ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
		defer cancel()
		err := operation(ctx)
		switch timeout, ok := errors.AsType[net.Error](err); {
		case errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(ctx), late):
			s.silent.Store(true)
			return late
		case ok && timeout.Timeout() && ctx.Err() == nil: // of the connection
			s.silent.Store(true)
		case answered(err):
			s.silent.Store(false)
		}
		return err
	})
}

// answered reports whether the outcome of an operation is an answer of the server.
func answered(err error) bool {
	_, refused := errors.AsType[*kubeapi.StatusError](err)
	return err == nil || refused ||
		errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrConflict)
}

// do runs an operation.
func (s *Store) do(ctx context.Context, operation func(context.Context) error) error {
	both, free, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer free()
	return s.failure(ctx, operation(both))
}

// Get is part of store.Store. It takes one request.
func (s *Store) Get(ctx context.Context, kind, key string) (r store.Record, err error) {
	err = s.onOne(ctx, func(ctx context.Context) error {
		at, ok := placeOf(kind, key)
		if !ok {
			return store.ErrNotFound
		}
		if at.shared != nil {
			r, err = s.getShared(ctx, at, kind, key)
			return err
		}
		o, err := s.getLive(ctx, at, kind, key)
		if err != nil {
			return err
		}
		r = o.record()
		return nil
	})
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// Create is part of store.Store. It takes one request, more only where an expired record is in the way.
func (s *Store) Create(ctx context.Context, r store.Record) (revision string, err error) {
	return s.write(ctx, r, s.createShared, s.createOwn)
}

// Replace is part of store.Store. It takes one request for our own records, and two for upstream's objects. One of those
// keeps its revision where nothing in it changes.
func (s *Store) Replace(ctx context.Context, r store.Record) (revision string, err error) {
	return s.write(ctx, r, s.replaceShared, s.replaceOwn)
}

// A writer creates or replaces the record at a place and returns its new revision.
type writer func(ctx context.Context, at place, r store.Record) (string, error)

func (s *Store) write(ctx context.Context, r store.Record, shared, own writer) (revision string, err error) {
	err = s.onOne(ctx, func(ctx context.Context) error {
		if err := r.Check(); err != nil {
			return err
		}
		at, ok := placeOf(r.Kind, r.Key)
		if !ok {
			return fmt.Errorf("a %s can't have the key %q, which makes no valid name for a Kubernetes object: it is too "+
				"long, or has characters that are not allowed there", r.Kind, r.Key)
		}
		write := own
		if at.shared != nil {
			write = shared
		}
		revision, err = write(ctx, at, r)
		return err
	})
	if err != nil {
		return "", err
	}
	s.changes.Publish(store.Change{Kind: r.Kind, Key: r.Key})
	return revision, nil
}

// Delete is part of store.Store. It takes one request for one of our own records if there is a revision, and two
// otherwise.
func (s *Store) Delete(ctx context.Context, kind, key, revision string) error {
	err := s.onOne(ctx, func(ctx context.Context) error {
		at, ok := placeOf(kind, key)
		if !ok {
			return store.ErrNotFound
		}
		if at.shared != nil {
			return s.deleteShared(ctx, at, kind, key, revision)
		}
		return s.deleteOwn(ctx, at, kind, key, revision)
	})
	if err == nil {
		s.changes.Publish(store.Change{Kind: kind, Key: key})
	}
	return err
}

// Watch is part of store.Store.
func (s *Store) Watch(ctx context.Context) (<-chan store.Change, error) {
	return s.changes.Subscribe(ctx)
}

// Ping is part of store.Store. It reads one object, which need not be there.
func (s *Store) Ping(ctx context.Context) error {
	return s.onOne(ctx, func(ctx context.Context) error {
		var o partial
		at, _ := placeOf("keys", "openid-connect-keys")
		err := s.read(ctx, at, kubeapi.MetadataOnly, &o)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
}

// Close is part of store.Store. What is under way fails.
func (s *Store) Close() error {
	s.end()
	s.changes.Close()
	s.followers.Wait()
	s.client.Close()
	return nil
}
