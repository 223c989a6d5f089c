package signing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"dex/internal/store"
)

const (
	// lookAgainAfter is how soon the storage may be asked again for tokens with unknown key ids, which anybody can make.
	lookAgainAfter = 5 * time.Second
	lookTimeout    = 5 * time.Second
)

// Algorithms are those that a client may ask for; keys of each are made when the first client does.
var Algorithms = []string{RS256, ES256, ES384, EdDSA}

// ErrOtherAlgorithm says that the keys, which are kept elsewhere, are of another algorithm.
var ErrOtherAlgorithm = errors.New("the signer has no keys of this algorithm")

// furtherRecord returns the key of the record with the keys of a further algorithm. The record of the server's algorithm stays as
// upstream has it.
func furtherRecord(algorithm string) string { return RecordKey + "-" + strings.ToLower(algorithm) }

// KeyFor returns the key that signs now with an algorithm; empty stands for the server's. The first key of an algorithm is made
// when it is needed, and signs at once: nobody holds a published key set that should have had it for tokens made before, and
// verifiers fetch the key set again for a key id that they don't know. Those that come after it are published before they sign.
func (l *Local) KeyFor(ctx context.Context, algorithm string) (*Key, error) {
	key := l.Key()
	if algorithm == "" || algorithm == key.algorithm {
		return key, nil
	}
	s, ok := (*l.further.Load())[algorithm]
	if !ok {
		var err error
		if s, err = l.open(ctx, algorithm); err != nil {
			return nil, fmt.Errorf("keys for %s: %w", algorithm, err)
		}
	}
	if key = s.current.Load().signing; key.algorithm != algorithm {
		return nil, fmt.Errorf("%w: the record %q has a key for %s", ErrOtherAlgorithm, s.record, key.algorithm)
	}
	return key, nil
}

// open loads the keys of a further algorithm, or creates the first one.
func (l *Local) open(ctx context.Context, algorithm string) (*series, error) {
	if !slices.Contains(Algorithms, algorithm) {
		return nil, fmt.Errorf("%w: %q", ErrOtherAlgorithm, algorithm)
	}
	select {
	case l.opening <- struct{}{}:
		defer func() { <-l.opening }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	known := *l.further.Load()
	if s, ok := known[algorithm]; ok {
		return s, nil
	}
	s := &series{
		cfg: l.cfg, record: furtherRecord(algorithm), table: l.table, log: l.log, events: l.events,
		advancing: make(chan struct{}, 1), tokenLifetime: l.tokenLifetime,
	}
	s.cfg.Algorithm = algorithm
	if err := s.advance(ctx); err != nil {
		return nil, err
	}
	with := maps.Clone(known)
	with[algorithm] = s
	l.further.Store(&with)
	return s, nil
}

// openStored loads the keys of further algorithms that are stored and not known yet: another replica has made them, or a process
// before this one.
func (l *Local) openStored(ctx context.Context) error {
	stored, err := l.table.List(ctx, store.Query{})
	if err != nil {
		return fmt.Errorf("list signing keys: %w", err)
	}
	var errs []error
	for _, algorithm := range Algorithms {
		is := func(e store.Entry[Keyset]) bool { return e.Key == furtherRecord(algorithm) }
		if _, known := (*l.further.Load())[algorithm]; known || !slices.ContainsFunc(stored, is) {
			continue
		}
		if _, err := l.open(ctx, algorithm); err != nil {
			errs = append(errs, fmt.Errorf("keys for %s: %w", algorithm, err))
		}
	}
	return errors.Join(errs...)
}

// mayLook reports whether the storage may be asked for the sake of a token.
func (l *Local) mayLook() bool {
	last, now := l.looked.Load(), time.Now()
	return now.Sub(time.Unix(0, last)) >= lookAgainAfter && l.looked.CompareAndSwap(last, now.UnixNano())
}

// all returns the keys of all algorithms, the server's first.
func (l *Local) all() []*series {
	all, further := []*series{l.series}, *l.further.Load()
	for _, algorithm := range Algorithms {
		if s, ok := further[algorithm]; ok {
			all = append(all, s)
		}
	}
	return all
}

// advanceAll brings the keys of all algorithms up to date.
func (l *Local) advanceAll(ctx context.Context) error {
	errs := []error{l.openStored(ctx)}
	for _, s := range l.all() {
		errs = append(errs, s.advance(ctx))
	}
	return errors.Join(errs...)
}

// merged is what is published of several series; it never changes.
type merged struct {
	*published
	of []*snapshot
}

// published returns what everybody may know of the keys of all algorithms. It is made anew only when one of them has changed.
func (l *Local) published() *published {
	all := l.all()
	if len(all) == 1 {
		return l.current.Load().published
	}
	of := make([]*snapshot, len(all))
	for i, s := range all {
		of[i] = s.current.Load()
	}
	if m := l.merged.Load(); m != nil && slices.Equal(m.of, of) {
		return m.published
	}
	var keys []jose.JSONWebKey
	for _, s := range of {
		keys = append(keys, s.inOrder...)
	}
	p, err := publish(keys)
	if err != nil { // each of them was published before, so there is nothing to go wrong
		return of[0].published
	}
	l.merged.Store(&merged{published: p, of: of})
	return p
}
