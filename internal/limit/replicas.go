package limit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"dex/internal/store"
	"dex/internal/wait"
)

const (
	// lookEvery is how often a process looks how many others there are, and beatEvery how often it says that it is there.
	lookEvery = 15 * time.Second
	beatEvery = time.Minute
	// aliveFor is how long a process counts that says nothing more. One that ends in order says so.
	aliveFor = 5 * time.Minute
	// lookTimeout bounds how long both may take.
	lookTimeout = 5 * time.Second
)

// alive is the record by which a process says that it is there.
type alive struct {
	At time.Time `json:"at"`
}

var aliveKind = store.Declare(store.Declaration[alive]{
	Name: "replica", Quiet: true, Open: true,
	Expires: func(a *alive) time.Time { return a.At.Add(aliveFor) },
})

// Replicas knows how many processes share a storage. It is safe for concurrent use.
type Replicas struct {
	table *store.Table[alive]
	log   *slog.Logger
	self  string
	count atomic.Int64

	entry store.Entry[alive] // as it was stored last; only Look uses it
	beat  time.Time          // when
}

// NewReplicas returns what knows the processes that share a storage. Until it looks there is one.
func NewReplicas(s store.Store, log *slog.Logger) *Replicas {
	r := &Replicas{table: store.In(s, aliveKind), log: log, self: rand.Text()}
	r.count.Store(1)
	return r
}

// Count returns how many processes there are, with this one.
func (r *Replicas) Count() int { return int(r.count.Load()) }

// Look says that this process is there, if it hasn't done so for a while, and counts all that are. After a failure the count stays
// as it was. It must not be called concurrently.
func (r *Replicas) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if time.Since(r.beat) >= beatEvery {
		if err := r.say(ctx); err != nil {
			return fmt.Errorf("tell other replicas of this one: %w", err)
		}
		r.beat = time.Now()
	}
	// More than a page of replicas have one attempt each of most limits anyway.
	all, err := r.table.List(ctx, store.Query{})
	if err != nil {
		return fmt.Errorf("count replicas: %w", err)
	}
	r.count.Store(int64(max(1, len(all))))
	return nil
}

func (r *Replicas) say(ctx context.Context) error {
	r.entry.Key, r.entry.Value = r.self, alive{At: time.Now()}
	if r.entry.Revision != "" {
		e, err := r.table.Replace(ctx, r.entry)
		if err == nil {
			r.entry = e
			return nil
		}
	}
	// It is the first time, the record has expired, or the answer to the last write was lost.
	if err := r.leave(ctx); err != nil {
		return err
	}
	e, err := r.table.Create(ctx, r.self, r.entry.Value)
	if err == nil {
		r.entry = e
	}
	return err
}

// leave removes the record of this process.
func (r *Replicas) leave(ctx context.Context) error {
	r.entry.Revision = ""
	if err := r.table.Delete(ctx, r.self, ""); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}

// Run looks now and then, until the context ends.
func (r *Replicas) Run(ctx context.Context) {
	for failing := false; wait.For(ctx, lookEvery) == nil; {
		err := r.Look(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			r.log.WarnContext(ctx, "replicas can't be counted, so limits stay shared as they were", "err", err)
		}
		failing = err != nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	if err := r.leave(ctx); err != nil {
		r.log.DebugContext(ctx, "other replicas count this one for some minutes more", "err", err)
	}
}
