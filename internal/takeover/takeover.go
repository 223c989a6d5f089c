// Package takeover imports what upstream keeps in a storage, once, at the first start on it. It leaves upstream's own data
// unchanged.
package takeover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"dex/internal/connector/local"
	"dex/internal/refresh"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/token"
)

const (
	// The replica with the lease imports. If it dies, another one goes on after leaseTTL.
	leaseName = "takeover"
	leaseTTL  = 30 * time.Second
	// writers is how many single records are written concurrently, since most storages group writes, and bulkWriters how
	// many batches of bulkSize.
	writers     = 32
	bulkWriters = 4
	bulkSize    = 500
	// progressEvery is how often progress is logged, and saveEvery how often it is stored.
	progressEvery = 5 * time.Second
	saveEvery     = time.Second
	// positionAge is how long an interrupted import can be resumed. After that, upstream may have run again.
	positionAge = 10 * time.Minute
	// shownFailures is how many left-out entities of a kind the log names.
	shownFailures = 100
	// clockDifference is how much longer than its tokens one of upstream's keys stays published, as clocks differ.
	clockDifference = 2 * time.Minute
)

// markerKind is the kind of the record that says how far the import is.
var markerKind = store.Declare(store.Declaration[marker]{Name: "takeover", Open: true})

// markerKey is the key of the only record of its kind.
const markerKey = "upstream"

// marker is the record that says that the import is done, or how far it is. If it is deleted, the next start imports whatever
// is missing.
type marker struct {
	Finished time.Time        `json:"finished,omitzero"` // zero until it has
	Layout   string           `json:"layout"`
	Entities map[string]count `json:"entities"`
	KeyIDs   []string         `json:"keyIDs,omitempty"` // of the signing keys that upstream had
	Position *position        `json:"position,omitempty"`
}

// A position is where an interrupted import is resumed.
type position struct {
	Step  string    `json:"step"`
	After string    `json:"after,omitempty"` // the place of the last item that is stored
	Saved time.Time `json:"saved"`
	// Origins says that refresh tokens were issued in browser sessions, as far as is known by then.
	Origins bool `json:"origins,omitempty"`
}

// count is how many entities of a kind there were.
type count struct {
	Done    int64 `json:"done"` // imported, or existed already
	LeftOut int64 `json:"leftOut,omitempty"`
}

// A Target is where the import goes.
type Target struct {
	Store    store.Store
	Families *refresh.Families
	Offline  *refresh.OfflineSessions
	// TokenLifetime is how long tokens live that upstream signed. It matters only if there are keys of ours already.
	TokenLifetime time.Duration
	// Progress, if not nil, is told what the import is doing.
	Progress func(string)
}

// Run imports everything that the source has, unless that was done before. If several replicas start at once, one imports and
// the others wait. The next call resumes an interrupted import where it was last saved, and leaves what exists as it is. Run
// must return before the signing keys are opened and before anything is served.
func Run(ctx context.Context, src Source, to Target, log *slog.Logger) error {
	r := &run{
		Target: to, src: src, log: log,
		markers: store.In(to.Store, markerKind),
		owners:  newOwners(to.Store),
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
	owners  owners
	origins origins
	layout  string
	counts  map[string]count // by entity
	keyIDs  []string
	stored  store.Entry[marker] // as stored; its key is empty until it is
}

func (r *run) unlessDone(ctx context.Context, do func(context.Context) error) (err error) {
	r.stored, err = r.markers.Get(ctx, markerKey)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return do(ctx)
	case err != nil:
		return err
	case r.stored.Value.Finished.IsZero():
		return do(ctx)
	}
	return nil
}

// progress tells operators what the import is doing.
func (r *run) progress(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(fmt.Sprintf(format, args...))
	}
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
		r.progress("waiting for another replica that takes over upstream's data")
		if lease, err = store.Acquire(ctx, r.Store, leaseName, leaseTTL); err != nil {
			return err
		}
	}
	return lease.Hold(ctx, func(ctx context.Context) error {
		return r.unlessDone(ctx, func(ctx context.Context) error { return store.Load(ctx, r.Store, r.importAll) })
	})
}

// A step imports the entities of a kind that follow a place.
type step struct {
	entity string
	name   string // as positions have it
	run    func(ctx context.Context, s step, after string) error
}

// steps are the kinds of entities in order. Keys come first, and offline sessions before the refresh tokens, whose own data
// for the connector counts only if the session has none. Browsers' sessions need the identities of their users. Some layouts have users whose addresses differ only in case;
// upstream lets in only those in lower case, so these come before the others.
func (r *run) steps() []step {
	return []step{
		{entity: "clients", name: "clients", run: importSingly(r, r.src.Clients, r.putClient)},
		{entity: "connectors", name: "connectors", run: importSingly(r, r.src.Connectors, r.putConnector)},
		{entity: "passwords", name: "passwords", run: importSingly(r, r.passwords(true), r.putPassword)},
		{entity: "passwords", name: "other passwords", run: importSingly(r, r.passwords(false), r.putPassword)},
		{entity: "offline sessions", name: "offline sessions", run: importTogether(r, r.src.OfflineSessions, r.offlineRecords)},
		{entity: "refresh tokens", name: "refresh tokens", run: importTogether(r, r.src.RefreshTokens, r.refreshRecords)},
		{entity: "identities", name: "identities", run: importTogether(r, r.src.Identities, r.identityRecords)},
		{entity: "sessions", name: "sessions", run: importTogether(r, r.src.Sessions, r.sessionRecords)},
	}
}

func (r *run) importAll(ctx context.Context) error {
	began := time.Now()
	r.log.InfoContext(ctx, "taking over upstream's data", "layout", r.layout)
	from := r.resume(ctx)
	if err := r.importKeys(ctx); err != nil {
		return err
	}
	if from.Origins {
		if err := r.readOrigins(ctx); err != nil {
			return fmt.Errorf("offline sessions: %w", err)
		}
	}
	reached := from.Step == ""
	for _, s := range r.steps() {
		after := ""
		if s.name == from.Step {
			reached, after = true, from.After
		}
		if !reached {
			continue
		}
		if err := s.run(ctx, s, after); err != nil {
			return fmt.Errorf("%s: %w", s.entity, err)
		}
	}
	return r.finish(ctx, time.Since(began))
}

// resume returns where an import that was interrupted a short time ago goes on, or the beginning.
func (r *run) resume(ctx context.Context) position {
	m := &r.stored.Value
	p := m.Position
	if p == nil || m.Layout != r.layout || time.Since(p.Saved) > positionAge {
		return position{}
	}
	at := slices.IndexFunc(r.steps(), func(s step) bool { return s.name == p.Step })
	if at < 0 {
		return position{}
	}
	r.log.InfoContext(ctx, "going on where the import was cut off", "entity", p.Step)
	if m.Entities != nil {
		r.counts = m.Entities
	}
	if p.After == "" { // begins again with the kind
		delete(r.counts, r.steps()[at].entity)
	}
	return *p
}

// save stores where the import would be resumed.
func (r *run) save(ctx context.Context, s step, after string) error {
	return r.mark(ctx, marker{
		Layout: r.layout, Entities: r.counts,
		Position: &position{Step: s.name, After: after, Saved: time.Now(), Origins: r.origins.known()},
	})
}

// mark stores the marker, or changes the one that is there.
func (r *run) mark(ctx context.Context, m marker) (err error) {
	if r.stored.Key == "" {
		r.stored, err = r.markers.Create(ctx, markerKey, m)
		return err
	}
	r.stored.Value = m
	r.stored, err = r.markers.Replace(ctx, r.stored)
	return err
}

// finish stores the marker, unless upstream's tables are empty: somebody may be about to restore them from a dump.
func (r *run) finish(ctx context.Context, took time.Duration) error {
	var total int64
	attrs := []any{"layout", r.layout, "took", took.Round(time.Millisecond)}
	for _, entity := range []string{
		"keys", "clients", "connectors", "passwords", "offline sessions", "refresh tokens", "identities", "sessions",
	} {
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
	done := marker{Finished: time.Now(), Layout: r.layout, Entities: r.counts, KeyIDs: r.keyIDs}
	if err := r.mark(ctx, done); err != nil {
		return err
	}
	r.log.InfoContext(ctx, "took over upstream's data", attrs...)
	return nil
}

// importKeys imports the signing keys. If there are keys of ours already, those go on signing, and upstream's only verify.
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

// findKeys finds the ids of upstream's keys on storages where they are the same record as ours and weren't imported.
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

// Tokens returns which tokens upstream issued before the takeover; none if there was no takeover.
func Tokens(ctx context.Context, s store.Store) (token.Upstream, error) {
	e, err := store.In(s, markerKind).Get(ctx, markerKey)
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

// passwords reads the users whose addresses are in lower case, or all others.
func (r *run) passwords(inLowerCase bool) reader[local.User] {
	return func(ctx context.Context, after string, each func(Item[local.User]) error) error {
		return r.src.Passwords(ctx, after, func(i Item[local.User]) error {
			if (i.Value.Email == local.Key(i.Value.Email)) != inLowerCase {
				return nil
			}
			return each(i)
		})
	}
}
