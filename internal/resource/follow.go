package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"dex/internal/kubeapi"
	"dex/internal/wait"
)

const (
	// longestPause is how long to wait at most after a failure.
	longestPause = 5 * time.Second
	// refusedFor is how long the objects of a namespace stay in use once the server says that they can't be listed, which it also
	// does for a moment while it starts. After that somebody has taken the right away, or the definition.
	refusedFor = time.Minute
	// maxObjects and maxBytes bound what one namespace can have us keep.
	maxObjects = 1000
	maxBytes   = 16 << 20
)

// errRoom says that there is room for an object that had none before.
var errRoom = errors.New("there is room for more objects")

// A follower knows the objects of one kind in one namespace.
type follower struct {
	in   kubeapi.Collection
	kind *kind
	home bool
	api  *kubeapi.Client

	version string // up to which it knows of changes; of its goroutine alone

	mu      sync.Mutex // never held over I/O
	objects map[string]*object
	bytes   int
	full    bool
	failed  error     // why the objects can't be followed; nil while they are
	since   time.Time // of the first failure in a row
}

// follow lists and watches until the context ends. It calls changed when there is something new, and report when the objects begin
// to be out of reach, and with nil when they are there again.
func (f *follower) follow(ctx context.Context, changed func(), report func(*follower, error)) {
	for failures := 0; ctx.Err() == nil; {
		began := time.Now()
		err := f.once(ctx, changed, report)
		if err != nil && ctx.Err() == nil {
			f.version = "" // whatever happened: a list says how things stand
			if f.fail(err) {
				report(f, err)
			}
			changed() // what it has may be too old by now
		}
		if time.Since(began) > longestPause {
			failures = 0
			continue
		}
		failures++
		_ = wait.For(ctx, min(kubeapi.BackOff(failures), longestPause))
	}
}

// once lists if it has to, and watches until that ends. The error is why the objects are out of reach.
func (f *follower) once(ctx context.Context, changed func(), report func(*follower, error)) error {
	if f.version == "" {
		_, before := f.trouble()
		if err := f.list(ctx); err != nil {
			return err
		}
		if _, now := f.trouble(); before != nil && now == nil {
			report(f, nil)
		}
		changed()
	}
	err := f.api.Watch(ctx, f.in, "", f.version, func(e kubeapi.Event) error {
		f.version = e.Version
		if e.Type == "BOOKMARK" {
			return nil
		}
		o, err := f.decode(e.Object)
		if err != nil {
			return err
		}
		full := f.take(o, e.Type == "DELETED")
		changed()
		if full && e.Type == "DELETED" {
			return errRoom
		}
		return nil
	})
	if refused(err) {
		return err
	}
	if err != nil { // such as a connection that broke, or a version that is too old: the next list says how things stand
		f.version = ""
	}
	return nil
}

// list replaces all that is known.
func (f *follower) list(ctx context.Context) error {
	fresh := &follower{objects: map[string]*object{}}
	q := kubeapi.PageQuery{Limit: kubeapi.PageSize}
	for {
		end, err := f.api.Page(ctx, f.in, q, func(text json.RawMessage) error {
			o, err := f.decode(text)
			if err == nil {
				fresh.take(o, false)
			}
			return err
		})
		if err != nil {
			return err // an old page too: the whole list begins again
		}
		if q.From = end.Continue; q.From == "" {
			f.version = end.ResourceVersion
			break
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects, f.bytes, f.full, f.failed = fresh.objects, fresh.bytes, fresh.full, nil
	return nil
}

func (f *follower) decode(text json.RawMessage) (*object, error) {
	o := &object{kind: f.kind, home: f.home}
	if err := json.Unmarshal(text, o); err != nil {
		return nil, fmt.Errorf("%s: %w", f.kind.plural, err)
	}
	o.Metadata.Namespace = f.in.Namespace
	return o, nil
}

// take takes an object in the form that it has now, and reports whether there are others that had no room. One that is being deleted
// is gone, whatever still holds it.
func (f *follower) take(o *object, deleted bool) (full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := o.Metadata.Name
	if before := f.objects[name]; before != nil {
		f.bytes -= before.size()
		delete(f.objects, name)
	}
	switch {
	case deleted, o.Metadata.DeletionTimestamp != "":
	case len(f.objects) >= maxObjects, f.bytes+o.size() > maxBytes:
		f.full = true
	default:
		f.objects[name] = o
		f.bytes += o.size()
	}
	return f.full
}

// fail notes a failure, and reports whether it is the first, or another one than before. Objects of a namespace that is
// refused for long are no longer in use.
func (f *follower) fail(err error) (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first = f.failed == nil || refused(f.failed) != refused(err)
	if first {
		f.since = time.Now()
	}
	f.failed = err
	if refused(err) && time.Since(f.since) > refusedFor {
		f.objects, f.bytes = nil, 0
	}
	return first
}

// refused reports whether an error is the server's word that we may not have the objects, or that there is no such kind.
func refused(err error) bool {
	return kubeapi.HasCode(err, http.StatusForbidden) || kubeapi.HasCode(err, http.StatusNotFound)
}

// all returns the objects.
func (f *follower) all() []*object {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]*object, 0, len(f.objects))
	for _, o := range f.objects {
		list = append(list, o)
	}
	return list
}

// trouble returns why the objects aren't followed, or not all of them, and since when.
func (f *follower) trouble() (since time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.failed != nil:
		return f.since, f.failed
	case f.full:
		return f.since, fmt.Errorf("there are more than %d %s, or more than %d MiB of them; the rest is not used",
			maxObjects, f.kind.plural, maxBytes>>20)
	}
	return time.Time{}, nil
}
