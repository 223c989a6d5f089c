package admin

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"dex/internal/event"
	"dex/internal/store"
)

// Records are the clients, the users or the connectors, for those who administer them. What they return never has secrets, unless a
// method says so.
type Records[T any] struct {
	kind    *kind[T]
	records *store.Layered[T]
	events  event.Sink
}

// A kind is what Records need to know of what they administer.
type kind[T any] struct {
	name                                       string // in messages and events: client
	list, get, reveal, create, update, destroy Method
	id                                         func(*T) string
	key                                        func(id string) string // of the record
	conceal                                    func(*T)               // takes the secrets out
	keep                                       func(before, v *T)     // puts in the secrets that v leaves out
}

// A Record is a client, a user or a connector.
type Record[T any] struct {
	Value T
	// Revision names this version of a stored record.
	Revision string
	Origin   Origin
}

// An Origin is where a record is.
type Origin string

// The origins. Only what is in the storage can be changed here.
const (
	FromStorage       Origin = "storage"
	FromConfiguration Origin = "configuration" // the file; such records have no revision
	FromResource      Origin = "resource"      // a custom resource of a cluster
)

// A writer is a catalog, or a rehearsal of one.
type writer[T any] interface {
	Create(ctx context.Context, v T) (store.Entry[T], error)
	Update(ctx context.Context, key string, change func(*T) error) (store.Entry[T], error)
	UpdateRevision(ctx context.Context, key, revision string, change func(*T) error) (store.Entry[T], error)
	Delete(ctx context.Context, key, revision string) error
}

func (r *Records[T]) writer(ctx context.Context) writer[T] {
	if isDryRun(ctx) {
		return r.records.Catalog().Rehearse()
	}
	return r.records.Catalog()
}

type dryRunKey struct{}

// WithDryRun returns a context for calls that answer as if they had written, and write nothing.
func WithDryRun(ctx context.Context) context.Context {
	return context.WithValue(ctx, dryRunKey{}, true)
}

func isDryRun(ctx context.Context) bool {
	dry, _ := ctx.Value(dryRunKey{}).(bool)
	return dry
}

// List returns a page of records and where the next one begins; empty after the last one. A page may be empty and not the last one.
func (r *Records[T]) List(ctx context.Context, after string, limit int) (page []Record[T], next string, err error) {
	if err := allow(ctx, r.kind.list); err != nil {
		return nil, "", err
	}
	return r.page(ctx, after, limit, r.kind.conceal)
}

// ListWithSecrets is List with the secrets as they are stored, which may be as hashes.
func (r *Records[T]) ListWithSecrets(ctx context.Context, after string, limit int) (page []Record[T], next string, err error) {
	if err := allow(ctx, r.kind.reveal); err != nil {
		return nil, "", err
	}
	return r.page(ctx, after, limit, func(*T) {})
}

func (r *Records[T]) page(ctx context.Context, after string, limit int, show func(*T)) ([]Record[T], string, error) {
	entries, next, err := r.records.List(ctx, after, limit)
	if err != nil {
		return nil, "", refusal(err, "list of "+r.kind.name+"s")
	}
	page := make([]Record[T], 0, len(entries))
	for _, e := range entries {
		page = append(page, r.record(e, show))
	}
	return page, next, nil
}

// Get returns a record.
func (r *Records[T]) Get(ctx context.Context, id string) (Record[T], error) {
	if err := allow(ctx, r.kind.get); err != nil {
		return Record[T]{}, err
	}
	return r.find(ctx, id, r.kind.conceal)
}

// GetWithSecrets is Get with the secrets as they are stored, which may be as hashes.
func (r *Records[T]) GetWithSecrets(ctx context.Context, id string) (Record[T], error) {
	if err := allow(ctx, r.kind.reveal); err != nil {
		return Record[T]{}, err
	}
	return r.find(ctx, id, func(*T) {})
}

func (r *Records[T]) find(ctx context.Context, id string, show func(*T)) (Record[T], error) {
	e, err := r.records.Fresh(ctx, r.kind.key(id))
	if err != nil {
		return Record[T]{}, refusal(err, r.thing(id))
	}
	return r.record(e, show), nil
}

func (r *Records[T]) record(e store.Entry[T], show func(*T)) Record[T] {
	show(&e.Value)
	origin := FromStorage
	switch {
	case r.records.Configured(e.Key):
		origin = FromConfiguration
	case r.records.IsFallback(e):
		origin = FromResource
	}
	return Record[T]{Value: e.Value, Revision: e.Revision, Origin: origin}
}

// Create stores a new record.
func (r *Records[T]) Create(ctx context.Context, v T) (Record[T], error) {
	if err := allow(ctx, r.kind.create); err != nil {
		return Record[T]{}, err
	}
	return r.add(ctx, v)
}

func (r *Records[T]) add(ctx context.Context, v T) (Record[T], error) {
	id := r.kind.id(&v)
	if err := r.writable(id); err != nil {
		return Record[T]{}, err
	}
	if r.records.FallsBack(r.kind.key(id)) { // it would be hidden
		return Record[T]{}, r.refusal(store.ErrNotFound, id)
	}
	e, err := r.writer(ctx).Create(ctx, v)
	if err != nil {
		return Record[T]{}, refusal(err, r.thing(id))
	}
	r.changed(ctx, event.Created, id)
	return r.record(e, r.kind.conceal), nil
}

// Update changes a record. If revision isn't empty the record must still have it. The change sees the record with its secrets as they
// are stored, may be called again, and fails the update by its error; store.ErrUnchanged leaves the record as it is.
func (r *Records[T]) Update(ctx context.Context, id, revision string, change func(*T) error) (Record[T], error) {
	if err := allow(ctx, r.kind.update); err != nil {
		return Record[T]{}, err
	}
	return r.alter(ctx, id, revision, event.Updated, change)
}

func (r *Records[T]) alter(
	ctx context.Context, id, revision string, how event.Change, change func(*T) error,
) (Record[T], error) {
	if err := r.writable(id); err != nil {
		return Record[T]{}, err
	}
	unchanged := false
	noting := func(v *T) error {
		err := change(v)
		unchanged = errors.Is(err, store.ErrUnchanged)
		return err
	}
	catalog, key := r.writer(ctx), r.kind.key(id)
	var e store.Entry[T]
	var err error
	if revision == "" {
		e, err = catalog.Update(store.Latest(ctx), key, noting)
	} else {
		e, err = catalog.UpdateRevision(ctx, key, revision, noting)
	}
	if err != nil {
		return Record[T]{}, r.refusal(err, id)
	}
	if !unchanged {
		r.changed(ctx, how, id)
	}
	return r.record(e, r.kind.conceal), nil
}

// Put makes a record what it should be, whether it is there or not, and writes only if it isn't: so it may be repeated. Secrets that the value leaves out stay as they
// are. If revision isn't empty, the record must be there and still have it.
func (r *Records[T]) Put(ctx context.Context, v T, revision string) (record Record[T], created bool, err error) {
	for _, m := range []Method{r.kind.create, r.kind.update} {
		if err := allow(ctx, m); err != nil {
			return Record[T]{}, false, err
		}
	}
	id := r.kind.id(&v)
	for {
		record, err = r.alter(ctx, id, revision, event.Updated, func(stored *T) error {
			next := v
			r.kind.keep(stored, &next)
			if reflect.DeepEqual(*stored, next) {
				return store.ErrUnchanged
			}
			*stored = next
			return nil
		})
		if err == nil || ReasonOf(err) != NotFound || revision != "" {
			return record, false, err
		}
		record, err = r.add(ctx, v)
		if err == nil || ReasonOf(err) != Exists {
			return record, err == nil, err
		}
		// It was created in between.
	}
}

// Delete removes a record. If revision isn't empty the record must still have it.
func (r *Records[T]) Delete(ctx context.Context, id, revision string) error {
	if err := allow(ctx, r.kind.destroy); err != nil {
		return err
	}
	if err := r.writable(id); err != nil {
		return err
	}
	key := r.kind.key(id)
	if key == "" || len(key) > store.MaxKey {
		return refusal(store.ErrNotFound, r.thing(id))
	}
	if err := r.writer(ctx).Delete(ctx, key, revision); err != nil {
		return r.refusal(err, id)
	}
	r.changed(ctx, event.Deleted, id)
	return nil
}

// writable returns an error for what is in the configuration file.
func (r *Records[T]) writable(id string) error {
	if !r.records.Configured(r.kind.key(id)) {
		return nil
	}
	return Errorf(ReadOnly, "%s is in the configuration file, and can be changed only there", r.thing(id))
}

// refusal returns the error of a write of a record.
func (r *Records[T]) refusal(err error, id string) error {
	if errors.Is(err, store.ErrNotFound) && r.records.FallsBack(r.kind.key(id)) {
		return Errorf(ReadOnly, "%s is a custom resource of the cluster, and can be changed only there", r.thing(id))
	}
	return refusal(err, r.thing(id))
}

func (r *Records[T]) thing(id string) string { return fmt.Sprintf("%s %q", r.kind.name, shortened(id)) }

// shortened returns a name in a length that suits a message.
func shortened(name string) string {
	const longest = 100
	if len(name) <= longest {
		return name
	}
	return name[:longest] + "..."
}

func (r *Records[T]) changed(ctx context.Context, how event.Change, id string) {
	if isDryRun(ctx) {
		return
	}
	r.events.Emit(ctx, event.Changed{By: CallerOf(ctx).Name, How: how, Kind: r.kind.name, ID: id})
}

// allow returns an error if the caller may not call a method.
func allow(ctx context.Context, m Method) error {
	c := CallerOf(ctx)
	if c.May(m) {
		return nil
	}
	return &Error{Reason: Forbidden, Message: fmt.Sprintf("%s needs one of the roles %s", m, quoted(m.Roles()))}
}

func quoted(roles []Role) string {
	text := ""
	for i, r := range roles {
		if i > 0 {
			text += ", "
		}
		text += string(r)
	}
	return text
}
