// Package takeover imports what upstream keeps in a storage, once, at the first start on it. Upstream's own data stays as
// it is.
package takeover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/internal/connector/local"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/token"
)

const (
	// leaseName and leaseTTL are of the lease under which one replica imports. When it dies, the next one goes on after
	// leaseTTL.
	leaseName = "takeover"
	leaseTTL  = 30 * time.Second
	// writers is how many records are written at once, since most storages gather writes.
	writers = 32
	// progressEvery is how often the log tells how far the import is.
	progressEvery = 5 * time.Second
	// shownFailures is how many entities of a kind that are left out are named in the log.
	shownFailures = 100
	// clockDifference is how much longer than its tokens a key of upstream's stays published, as clocks differ.
	clockDifference = 2 * time.Minute
)

// KindName is the kind of the record that says that the import is done.
const KindName = "takeover"

// markerKey is the key of the only record of its kind.
const markerKey = "upstream"

// marker is the record that says that the import is done. Who deletes it has the next start import again what is not
// there.
type marker struct {
	Finished time.Time        `json:"finished"`
	Layout   string           `json:"layout"`
	Entities map[string]count `json:"entities"`
	KeyIDs   []string         `json:"keyIDs,omitempty"` // of the signing keys that upstream had
}

// count is how many entities of a kind there were.
type count struct {
	Done    int64 `json:"done"` // imported, or there already
	LeftOut int64 `json:"leftOut,omitempty"`
}

// A Target is where the import goes.
type Target struct {
	Store    store.Store
	Families *token.Families
	Offline  *token.OfflineSessions
	// TokenLifetime is how long tokens live that upstream's keys have signed. It matters only where there are keys of
	// ours already.
	TokenLifetime time.Duration
}

// Run imports everything that the source has, unless that was done before or there is nothing. Of several replicas that
// start at once, one imports and the others wait. An import that was cut off goes on with the next call: what is there
// already stays as it is. It must have returned before the signing keys are opened, and before anything is served.
func Run(ctx context.Context, src Source, to Target, log *slog.Logger) error {
	r := &run{
		Target: to, src: src, log: log,
		markers: store.In(to.Store, store.Kind[marker]{Name: KindName}),
		counts:  make(map[string]count),
	}
	if err := r.unlessDone(ctx, r.underLease); err != nil {
		return fmt.Errorf("take over upstream's data: %w", err)
	}
	return nil
}

// A run is one call of Run.
type run struct {
	Target
	src     Source
	log     *slog.Logger
	markers *store.Table[marker]
	layout  string
	counts  map[string]count // by entity
	keyIDs  []string
}

func (r *run) unlessDone(ctx context.Context, do func(context.Context) error) error {
	_, err := r.markers.Get(ctx, markerKey)
	if errors.Is(err, store.ErrNotFound) {
		return do(ctx)
	}
	return err
}

func (r *run) underLease(ctx context.Context) (err error) {
	if r.layout, err = r.src.Layout(ctx); err != nil || r.layout == "" {
		return err
	}
	lease, ok, err := store.TryAcquire(ctx, r.Store, leaseName, leaseTTL)
	if err != nil {
		return err
	}
	if !ok {
		r.log.InfoContext(ctx, "waiting for another replica that takes over upstream's data")
		if lease, err = store.Acquire(ctx, r.Store, leaseName, leaseTTL); err != nil {
			return err
		}
	}
	return lease.Hold(ctx, func(ctx context.Context) error {
		return r.unlessDone(ctx, r.importAll)
	})
}

// importAll imports one kind of entity after the other. The keys come first, and offline sessions before the refresh
// tokens, whose own data for the connector counts only where the session has none.
func (r *run) importAll(ctx context.Context) error {
	began := time.Now()
	r.log.InfoContext(ctx, "taking over upstream's data", "layout", r.layout)
	steps := []func(context.Context) error{
		r.importKeys,
		func(ctx context.Context) error { return importEach(ctx, r, "clients", r.src.Clients, r.putClient) },
		func(ctx context.Context) error {
			return importEach(ctx, r, "connectors", r.src.Connectors, r.putConnector)
		},
		r.importPasswords,
		func(ctx context.Context) error {
			return importEach(ctx, r, "offline sessions", r.src.OfflineSessions, r.putOfflineSession)
		},
		func(ctx context.Context) error {
			return importEach(ctx, r, "refresh tokens", r.src.RefreshTokens, r.putRefreshToken)
		},
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return r.finish(ctx, time.Since(began))
}

// finish stores the marker, unless upstream had its tables but nothing in them: somebody may be about to restore them
// from a dump.
func (r *run) finish(ctx context.Context, took time.Duration) error {
	var total int64
	attrs := []any{"layout", r.layout, "took", took.Round(time.Millisecond)}
	for _, entity := range []string{"keys", "clients", "connectors", "passwords", "offline sessions", "refresh tokens"} {
		c := r.counts[entity]
		total += c.Done + c.LeftOut
		attrs = append(attrs, slog.Group(entity, "done", c.Done, "left_out", c.LeftOut))
	}
	if total == 0 {
		r.log.InfoContext(ctx, "upstream's storage is empty", "layout", r.layout)
		return nil
	}
	if err := r.findKeys(ctx); err != nil {
		return err
	}
	_, err := r.markers.Create(ctx, markerKey, marker{
		Finished: time.Now(), Layout: r.layout, Entities: r.counts, KeyIDs: r.keyIDs,
	})
	if err != nil && !errors.Is(err, store.ErrExists) {
		return err
	}
	r.log.InfoContext(ctx, "took over upstream's data", attrs...)
	return nil
}

// importKeys imports the signing keys. Where ours were made before, they go on signing, and upstream's only verify.
func (r *run) importKeys(ctx context.Context) error {
	keys, err := r.src.Keys(ctx)
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	if keys == nil {
		return nil
	}
	r.keyIDs = keys.KeyIDs()
	table := store.In(r.Store, signing.Kind)
	_, err = table.Create(ctx, signing.RecordKey, *keys)
	if errors.Is(err, store.ErrExists) {
		_, err = table.Update(ctx, signing.RecordKey, func(ours *signing.Keyset) error {
			return r.publish(ours, keys)
		})
	}
	if err != nil {
		return err
	}
	r.counts["keys"] = count{Done: int64(1 + len(keys.Retired))}
	return nil
}

// findKeys finds the ids of upstream's keys where they needn't be imported, as ours are the same record.
func (r *run) findKeys(ctx context.Context) error {
	if len(r.keyIDs) > 0 {
		return nil
	}
	e, err := store.In(r.Store, signing.Kind).Get(ctx, signing.RecordKey)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("signing keys: %w", err)
	}
	r.keyIDs = e.Value.KeyIDs()
	return nil
}

// Tokens returns which tokens upstream has issued before its data was taken over; none if it was not.
func Tokens(ctx context.Context, s store.Store) (token.Upstream, error) {
	e, err := store.In(s, store.Kind[marker]{Name: KindName}).Get(ctx, markerKey)
	if errors.Is(err, store.ErrNotFound) {
		return token.Upstream{}, nil
	}
	if err != nil {
		return token.Upstream{}, fmt.Errorf("read when upstream's data was taken over: %w", err)
	}
	return token.Upstream{KeyIDs: e.Value.KeyIDs, Until: e.Value.Finished.Add(clockDifference)}, nil
}

// publish adds upstream's keys to ours as retired ones.
func (r *run) publish(ours, upstreams *signing.Keyset) error {
	known := map[string]bool{ours.Current.KeyID: true}
	if ours.Next != nil {
		known[ours.Next.KeyID] = true
	}
	for _, k := range ours.Retired {
		known[k.Key.KeyID] = true
	}
	until := time.Now().Add(r.TokenLifetime + clockDifference)
	theirs := append([]signing.Retired{{Key: upstreams.Current.Public(), Expires: until}}, upstreams.Retired...)
	merged := append([]signing.Retired(nil), ours.Retired...)
	for _, k := range theirs {
		if !known[k.Key.KeyID] {
			merged = append(merged, k)
		}
	}
	if len(merged) == len(ours.Retired) {
		return store.ErrUnchanged
	}
	ours.Retired = merged
	return nil
}

// importPasswords imports the users. Some layouts tell addresses apart by case, but only who has theirs in lower case
// could ever sign in, so these come first.
func (r *run) importPasswords(ctx context.Context) error {
	for _, reachable := range []bool{true, false} {
		read := func(ctx context.Context, each func(Item[local.Document]) error) error {
			return r.src.Passwords(ctx, func(i Item[local.Document]) error {
				if (i.Value.Email == local.Key(i.Value.Email)) != reachable {
					return nil
				}
				return each(i)
			})
		}
		if err := importEach(ctx, r, "passwords", read, r.putPassword); err != nil {
			return err
		}
	}
	return nil
}

// importEach imports all entities of a kind, some at a time.
func importEach[T any](
	ctx context.Context, r *run, entity string,
	read func(context.Context, func(Item[T]) error) error, put func(context.Context, Item[T]) error,
) error {
	var done, leftOut atomic.Int64
	told := time.Now()
	group, writing := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	err := read(writing, func(i Item[T]) error {
		if time.Since(told) >= progressEvery {
			told = time.Now()
			r.log.InfoContext(ctx, "taking over upstream's data", "entity", entity, "done", done.Load())
		}
		group.Go(func() error {
			err := i.Err
			if err == nil {
				err = put(writing, i)
			}
			var reason *unusable
			switch {
			case err == nil:
				done.Add(1)
				return nil
			case i.Err == nil && !errors.As(err, &reason):
				return fmt.Errorf("%s %q: %w", i.Table, i.Key, err)
			}
			if leftOut.Add(1) <= shownFailures {
				r.log.ErrorContext(ctx, "left out what can't be taken over", "table", i.Table, "key", i.Key, "err", err)
			}
			return nil
		})
		return context.Cause(writing)
	})
	// When a write has failed, the reader's error only says that it was told to end.
	if writeErr := group.Wait(); writeErr != nil {
		err = writeErr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", entity, err)
	}
	c := r.counts[entity]
	r.counts[entity] = count{Done: c.Done + done.Load(), LeftOut: c.LeftOut + leftOut.Load()}
	return nil
}
