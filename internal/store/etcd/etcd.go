// Package etcd keeps records in an etcd cluster, by its API v3, under keys of their own beside those of other programs.
// Several processes may share them.
//
// A record, and its entries in an index by owner and one by expiry, are written in one transaction, and every operation
// on one record is one round trip: whether a record is live is decided by the server, which compares the record's value,
// that begins with the expiry, with the time. What a replaced or deleted record leaves behind in the indexes is removed
// in the background; see tidy.go.
//
// There are no leases. One for each record would be another call for each write, and memory in every member of the
// cluster; shared ones would not let a record be extended without moving it. Sweep does their work.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dex/internal/store"
	"dex/internal/store/watch"
)

// patience bounds every request, and how long the first Watch waits for the cluster.
const patience = 5 * time.Second

// A Store is a store.Store in an etcd cluster. Make one with Open.
type Store struct {
	client    *connection
	namespace string
	keys      layout
	where     string // the endpoints, for messages
	log       *slog.Logger
	changes   watch.Hub

	life      context.Context // ends with Close
	end       context.CancelFunc
	running   sync.WaitGroup // the goroutines that Close waits for
	leftovers chan leftover

	mu          sync.Mutex
	following   bool          // follow was started
	established chan struct{} // closed when follow hears of changes

	closeOnce sync.Once
	closeErr  error
}

var _ store.Store = (*Store)(nil)

// Open connects to the cluster and reads from it once. The error says which endpoints don't answer and why.
func Open(ctx context.Context, config Config, log *slog.Logger) (*Store, error) {
	if err := config.check(); err != nil {
		return nil, fmt.Errorf("settings of etcd: %w", err)
	}
	endpoints, err := config.endpoints()
	if err != nil {
		return nil, fmt.Errorf("endpoints of etcd: %w", err)
	}
	s := &Store{
		namespace:   config.Namespace,
		keys:        newLayout(config.Namespace),
		where:       names(endpoints),
		log:         log,
		leftovers:   make(chan leftover, maxLeftovers),
		established: make(chan struct{}),
	}
	if err := s.connect(ctx, &config, endpoints); err != nil {
		return nil, fmt.Errorf("connect to etcd: %w", err)
	}
	s.running.Go(s.tidy)
	return s, nil
}

func (s *Store) connect(ctx context.Context, config *Config, endpoints []*url.URL) error {
	secure, err := config.tls()
	if err != nil {
		return err
	}
	// The client keeps its context until it is closed; the caller's may end before.
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, s.end)
	s.client, err = connect(s.life, config, endpoints, secure) //nolint:contextcheck // ends with the caller's too, for now
	if err == nil {
		err = s.Ping(ctx)
	}
	if stop() && err == nil {
		return nil
	}
	s.end()
	if s.client != nil {
		err = errors.Join(err, s.client.close())
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", s.where, ctx.Err())
	case isTimeout(err):
		return diagnose(ctx, endpoints, secure)
	}
	return fmt.Errorf("%s: %w", s.where, err)
}

// Upstream returns the client and the namespace, for reading what upstream has left under its own keys. They are good
// until Close.
func (s *Store) Upstream() (client *clientv3.Client, namespace string) {
	return s.client.Client, s.namespace
}

// Ping is part of store.Store.
func (s *Store) Ping(ctx context.Context) error {
	// Linearizable, so that it fails where the member has lost the others.
	_, err := s.get(ctx, s.keys.changed(), clientv3.WithKeysOnly())
	return err
}

// Close is part of store.Store.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.end()
		s.mu.Unlock()
		s.running.Wait()
		s.changes.Close()
		if err := s.client.close(); err != nil {
			s.closeErr = fmt.Errorf("close the connections to etcd: %w", err)
		}
	})
	return s.closeErr
}

// get reads a key or a range. The client repeats it where that may help.
func (s *Store) get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	var resp *clientv3.GetResponse
	err := s.request(ctx, func(ctx context.Context) (err error) {
		resp, err = s.client.Get(ctx, key, opts...)
		return err
	})
	return resp, err
}

// A branch is what a transaction does: then if all comparisons hold, otherwise otherwise.
type branch struct {
	compare         []clientv3.Cmp
	then, otherwise []clientv3.Op
}

func (b branch) op() clientv3.Op { return clientv3.OpTxn(b.compare, b.then, b.otherwise) }

// commit runs a transaction. It is tried once: after an error it is open whether it happened.
func (s *Store) commit(ctx context.Context, b branch) (*clientv3.TxnResponse, error) {
	var resp *clientv3.TxnResponse
	err := s.request(ctx, func(ctx context.Context) (err error) {
		resp, err = s.client.Txn(ctx).If(b.compare...).Then(b.then...).Else(b.otherwise...).Commit()
		return err
	})
	return resp, err
}

// request makes a call with a bound, and returns its error as the caller should see it.
func (s *Store) request(ctx context.Context, call func(context.Context) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// Only the end of the context is passed on. A server that knew when it ends would answer that it had no time, in
	// words of its own, a moment before we know.
	undated, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	defer context.AfterFunc(bounded, abort)()
	err := call(undated)
	switch {
	case err == nil:
		return nil
	case s.life.Err() != nil:
		return store.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case bounded.Err() != nil:
		return fmt.Errorf("etcd at %s: %w", s.where, errNoAnswer)
	}
	return fmt.Errorf("etcd at %s: %w", s.where, err)
}

// errNoAnswer is not context.DeadlineExceeded, which would say that the caller had no time.
var errNoAnswer = fmt.Errorf("no answer within %v", patience)

// usable returns why no call can be made, if none can.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.life.Err() != nil {
		return store.ErrClosed
	}
	return nil
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errNoAnswer) || code(err) == codes.DeadlineExceeded
}

// code returns the code of an error by the server or by gRPC.
func code(err error) codes.Code {
	if e, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		return e.Code()
	}
	return status.Code(err)
}
