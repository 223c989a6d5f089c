package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/internal/store"
	"dex/internal/store/sealed"
)

const (
	// workers is how many records are under way at once, so that a storage that gathers writes has some to gather.
	workers = 16
	// tries is how often a record is written while somebody else changes it.
	tries = 10
	// tellEvery is how many records pass between two reports of progress.
	tellEvery = 500
)

// The steps of an import, as progress is told.
const (
	StepVerify  = "verified"
	StepCompare = "compared with the storage"
	StepWrite   = "written"
)

// Options are how Import goes about it.
type Options struct {
	Kinds     []string    // may be in the file
	Keys      sealed.Keys // open a sealed file
	Overwrite bool        // replaces records that differ, which are an error otherwise
	CheckOnly bool        // writes nothing
	// Progress, which may be nil, is told from time to time how many records of the file have passed a step.
	Progress func(step string, n int)
}

// Import writes the records of a file that Export made into a storage, and returns what it did with them. Records that
// the storage has already are left alone.
//
// Nothing is written before the whole file was found to be good and could be opened, and compared with the storage: the
// error is ErrDamaged where it is not, sealed.ErrSealed where its key is missing, and a *ConflictError where the storage
// has other records under the same keys and Overwrite is not set. An import that was interrupted is finished by another
// one of the same file.
func Import(ctx context.Context, s store.Store, file io.ReadSeeker, o Options) (Counts, error) {
	if o.Progress == nil {
		o.Progress = func(string, int) {}
	}
	j := &importing{store: s, file: file, opts: o, now: time.Now()}
	if err := j.verify(ctx); err != nil {
		return nil, err
	}
	if err := j.findEmpty(ctx); err != nil {
		return nil, err
	}
	if err := j.pass(ctx, StepCompare, j.compare); err != nil {
		return nil, err
	}
	if j.conflict != nil {
		return j.counts, j.conflict
	}
	if o.CheckOnly {
		return j.counts, nil
	}
	err := j.pass(ctx, StepWrite, j.write)
	return j.counts, err
}

// importing is one Import under way.
type importing struct {
	store store.Store
	file  io.ReadSeeker
	opts  Options
	now   time.Time

	records map[string]int  // in the file, by kind
	empty   map[string]bool // kinds of which the storage had no record

	mu       sync.Mutex // never held over I/O
	counts   Counts     // of the pass that is under way
	conflict *ConflictError
}

// verify reads the file to its end, and finds out whether it is whole and what kinds are in it.
func (j *importing) verify(ctx context.Context) error {
	in, err := j.rewind()
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		if err := j.tell(ctx, StepVerify, n); err != nil {
			return err
		}
		_, err := in.next()
		if errors.Is(err, io.EOF) {
			j.records = in.counts
			j.opts.Progress(StepVerify, n)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (j *importing) rewind() (*reader, error) {
	if _, err := j.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read export file: %w", err)
	}
	return newReader(j.file)
}

// tell reports progress now and then, and whether to go on.
func (j *importing) tell(ctx context.Context, step string, n int) error {
	if n%tellEvery == 0 && n > 0 {
		j.opts.Progress(step, n)
	}
	return ctx.Err()
}

// pass reads the file from its beginning and calls do with each record, several at once.
func (j *importing) pass(ctx context.Context, step string, do func(ctx context.Context, r store.Record) error) error {
	in, err := j.rewind()
	if err != nil {
		return err
	}
	j.counts = Counts{}
	for kind, n := range j.records {
		j.counts[kind] = Count{Records: n}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	err = j.each(groupCtx, step, in, func(r store.Record) {
		group.Go(func() error {
			if err := do(groupCtx, r); err != nil {
				return fmt.Errorf("record %s %q: %w", r.Kind, r.Key, err)
			}
			return nil
		})
	})
	if failed := group.Wait(); failed != nil {
		return failed // if each ended too, it did so because of this
	}
	return err
}

func (j *importing) each(ctx context.Context, step string, in *reader, visit func(r store.Record)) error {
	for n := 0; ; n++ {
		if err := j.tell(ctx, step, n); err != nil {
			return err
		}
		l, err := in.next()
		if errors.Is(err, io.EOF) {
			j.opts.Progress(step, n)
			return nil
		}
		if err != nil {
			return err
		}
		r, err := l.open(in.head, j.opts.Keys)
		if err != nil {
			return fmt.Errorf("line %d: record %s %q: %w", in.number, r.Kind, r.Key, err)
		}
		visit(r)
	}
}

// findEmpty notes of which kinds the storage has nothing, so that a record of these need not be asked for.
func (j *importing) findEmpty(ctx context.Context) error {
	j.empty = map[string]bool{}
	for kind := range j.records {
		if !slices.Contains(j.opts.Kinds, kind) {
			return fmt.Errorf("the export file has records of kind %q, which is not an exported kind", kind)
		}
		some, err := j.store.List(ctx, kind, store.Query{Limit: 1})
		if err != nil {
			return fmt.Errorf("list %s: %w", kind, err)
		}
		j.empty[kind] = len(some) == 0
	}
	return nil
}

// compare finds out what would be done with a record.
func (j *importing) compare(ctx context.Context, r store.Record) error {
	if err := r.Check(); err != nil {
		return err
	}
	switch {
	case j.expired(r):
		j.count(r.Kind, Count{Expired: 1})
		return nil
	case j.empty[r.Kind]:
		j.count(r.Kind, Count{Created: 1})
		return nil
	}
	have, err := j.store.Get(ctx, r.Kind, r.Key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		j.count(r.Kind, Count{Created: 1})
	case err != nil:
		return err
	case same(have, r):
		j.count(r.Kind, Count{Same: 1})
	case j.opts.Overwrite:
		j.count(r.Kind, Count{Replaced: 1})
	default:
		j.conflicts(r)
	}
	return nil
}

func (j *importing) conflicts(r store.Record) {
	j.count(r.Kind, Count{Conflicts: 1})
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.conflict == nil {
		j.conflict = &ConflictError{}
	}
	j.conflict.Count++
	record := fmt.Sprintf("%s %q", r.Kind, r.Key)
	switch {
	case len(j.conflict.Records) < maxListed:
		j.conflict.Records = append(j.conflict.Records, record)
	case r.Kind == keysKind: // the error has more to say about them, so they are always named
		j.conflict.Records[maxListed-1] = record
	}
	slices.Sort(j.conflict.Records)
}

// write stores a record.
func (j *importing) write(ctx context.Context, r store.Record) error {
	if j.expired(r) {
		j.count(r.Kind, Count{Expired: 1})
		return nil
	}
	for range tries {
		_, err := j.store.Create(ctx, r)
		if err == nil {
			j.count(r.Kind, Count{Created: 1})
			return nil
		}
		if !errors.Is(err, store.ErrExists) {
			return err
		}
		done, err := j.meet(ctx, r)
		if done || err != nil {
			return err
		}
	}
	return fmt.Errorf("%w, %d times: stop the servers that use the storage", store.ErrConflict, tries)
}

// meet deals with a record that is there already; done is false when it was changed meanwhile.
func (j *importing) meet(ctx context.Context, r store.Record) (done bool, err error) {
	have, err := j.store.Get(ctx, r.Kind, r.Key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case same(have, r):
		j.count(r.Kind, Count{Same: 1})
		return true, nil
	case !j.opts.Overwrite: // it came after the comparison
		return false, &ConflictError{Count: 1, Records: []string{fmt.Sprintf("%s %q", r.Kind, r.Key)}, Written: true}
	}
	r.Revision = have.Revision
	_, err = j.store.Replace(ctx, r)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	j.count(r.Kind, Count{Replaced: 1})
	return true, nil
}

func (j *importing) expired(r store.Record) bool {
	return !r.Expires.IsZero() && !r.Expires.After(j.now)
}

func (j *importing) count(kind string, n Count) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts[kind] = j.counts[kind].plus(n)
}

// same reports whether two records hold the same. A backend may write a document in its own way, and keeps no finer
// times than milliseconds.
func same(a, b store.Record) bool {
	return a.Owner == b.Owner && a.Expires.Truncate(time.Millisecond).Equal(b.Expires.Truncate(time.Millisecond)) &&
		(bytes.Equal(a.Data, b.Data) || sameJSON(a.Data, b.Data))
}

// sameJSON compares JSON without regard to spaces and the order of members. Numbers are the same only as they are
// written: nothing is taken to be the same that might not be.
func sameJSON(a, b []byte) bool {
	var values [2]any
	for i, data := range [][]byte{a, b} {
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if !json.Valid(data) || decoder.Decode(&values[i]) != nil {
			return false
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}
