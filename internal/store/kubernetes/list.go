package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"dex/internal/kubeapi"
	"dex/internal/store"
)

// List is part of store.Store. The order is that of the objects' names.
//
// A page that follows another one may show the records as they were when that one was read: the API server goes on from
// there only in the same state, and from anywhere else only by reading everything before it once more.
func (s *Store) List(ctx context.Context, kind string, q store.Query) (records []store.Record, err error) {
	err = s.within(ctx, listTimeout, func(ctx context.Context) error {
		l, ok := s.newListing(kind, q)
		if !ok {
			return nil
		}
		records, err = l.read(ctx)
		return err
	})
	return records, err
}

// A listing is one List under way.
type listing struct {
	*Store
	kind     string
	query    store.Query
	resource resource
	labels   string
	shared   *sharedKind

	after   string // the name of the object after which it begins; empty for the beginning
	begun   time.Time
	from    string // the server's token for the page to read
	records []store.Record
	last    string // the name of the last record's object
	more    bool   // the server's page had objects behind the last one
}

// newListing returns false when no record can be listed.
func (s *Store) newListing(kind string, q store.Query) (*listing, bool) {
	if len(q.Owner) > store.MaxKey {
		return nil, false
	}
	at, ok := placeOf(kind, "any")
	if !ok {
		return nil, false
	}
	l := &listing{Store: s, kind: kind, query: q, resource: at.resource, shared: at.shared, begun: time.Now()}
	l.query.Limit = store.PageLimit(l.query.Limit)
	switch {
	case at.shared != nil && q.Owner != "":
		return nil, false
	case at.shared != nil:
		l.labels = "!" + recordLabel
	default:
		l.labels = recordLabel + "=" + kindLabel(kind)
		if q.Owner != "" {
			l.labels += "," + ownerLabel + "=" + hash(q.Owner)
		}
	}
	if q.After == "" {
		return l, true
	}
	after, ok := placeOf(kind, q.After)
	l.after = after.name
	return l, ok
}

// read reads pages until there are enough records.
func (l *listing) read(ctx context.Context) ([]store.Record, error) {
	if l.after != "" {
		if before, ok := l.pages.take(l.place(l.after), time.Now()); ok {
			l.from, l.begun = before.from, before.begun
		}
	}
	for {
		from := l.from
		l.more = false
		end, err := l.page(ctx)
		if err != nil {
			if err := l.restart(err); err != nil {
				return nil, err
			}
			continue
		}
		if len(l.records) == l.query.Limit {
			l.remember(from, end)
			return l.records, nil
		}
		if l.from = end.Continue; l.from == "" {
			return l.records, nil
		}
	}
}

// page reads one page from the server.
func (l *listing) page(ctx context.Context) (kubeapi.PageEnd, error) {
	// Large records are wanted one by one at times; small pages that hold nothing live would be many requests.
	const smallest = 20
	limit := min(max(l.query.Limit-len(l.records), smallest), kubeapi.PageSize)
	if l.after != "" && l.from == "" {
		limit = kubeapi.PageSize // nearly all of it comes before
	}
	q := kubeapi.PageQuery{Labels: l.labels, From: l.from, Limit: limit}
	return l.client.Page(ctx, l.resource.in(l.client), q, l.add)
}

// restart says where to go on after an error: a token of the server's lasts some minutes only.
func (l *listing) restart(err error) error {
	switch from, ok := kubeapi.ExpiredPage(err); {
	case ok:
		l.from = from
	case l.from != "" && (kubeapi.HasCode(err, http.StatusGone) || kubeapi.HasCode(err, http.StatusBadRequest)):
		l.from = ""
	default:
		return err
	}
	return nil
}

// add takes an object into the list, if it belongs there.
func (l *listing) add(object json.RawMessage) error {
	var head partial
	if err := json.Unmarshal(object, &head); err != nil {
		return err
	}
	name := head.Metadata.Name
	switch {
	case len(l.records) == l.query.Limit:
		l.more = true
		return nil
	case name <= l.after, name <= l.last, head.Metadata.deleted(): // the last one is there again after a restart
		return nil
	}
	switch r, live, err := l.decode(object); {
	case err != nil:
		l.warned.do(l.resource.plural+"/"+name+"@"+head.Metadata.ResourceVersion, func() {
			l.log.Warn("an object in Kubernetes is left out, as it holds no record that can be asked for by its key",
				"resource", l.resource.plural, "name", name, "kind", l.kind, "err", err)
		})
	case live:
		l.records = append(l.records, r)
		l.last = name
	}
	return nil
}

// decode returns the record of an object, and whether it belongs to the list.
func (l *listing) decode(object json.RawMessage) (store.Record, bool, error) {
	if l.shared != nil {
		var o sharedObject
		if err := json.Unmarshal(object, &o); err != nil {
			return store.Record{}, false, err
		}
		r, err := o.record(l.kind, l.shared)
		return r, true, err
	}
	var o recordObject
	if err := json.Unmarshal(object, &o); err != nil {
		return store.Record{}, false, err
	}
	if o.Metadata.Name != recordName(o.RecordKind, string(o.RecordKey)) {
		return store.Record{}, false, fmt.Errorf("its name is not that of the record of kind %q, key %q", o.RecordKind, o.RecordKey)
	}
	r := o.record()
	return r, r.Kind == l.kind && (l.query.Owner == "" || r.Owner == l.query.Owner) && o.liveAt(time.Now()), nil
}

// remember keeps where the page after this one begins: behind the server's last page, or within it if that had more than
// was wanted.
func (l *listing) remember(from string, end kubeapi.PageEnd) {
	if end.Continue != "" && !l.more {
		from = end.Continue
	}
	if from != "" {
		l.pages.put(l.place(l.last), pageStart{from: from, begun: l.begun}, time.Now())
	}
}

func (l *listing) place(name string) pagePlace {
	return pagePlace{kind: l.kind, owner: l.query.Owner, name: name}
}

// UpstreamObjects calls each for the objects of a resource that are upstream's and not our own records, page by page.
// An error of each ends it and is returned.
func (s *Store) UpstreamObjects(ctx context.Context, plural string, each func(json.RawMessage) error) error {
	return s.do(ctx, func(ctx context.Context) error {
		r, readable, err := s.upstreamResource(ctx, plural)
		if err != nil || !readable {
			return err
		}
		// A page at once: what each does may take longer than the server keeps an answer open.
		return s.client.Pages(ctx, r.in(s.client), "!"+recordLabel, func(page []json.RawMessage) error {
			for _, object := range page {
				if err := each(object); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// upstreamResource returns a resource of upstream's; false if it is one of those that need not be there, and isn't, or if the role does
// not allow to read it, which says the same.
func (s *Store) upstreamResource(ctx context.Context, plural string) (r resource, readable bool, err error) {
	named := func(r resource) bool { return r.plural == plural }
	if i := slices.IndexFunc(used, named); i >= 0 {
		return used[i], true, nil
	}
	i := slices.IndexFunc(optional, named)
	if i < 0 {
		return resource{}, false, fmt.Errorf("%s is not a resource that is used", plural)
	}
	_, readable, err = s.served(ctx, optional[i])
	if kubeapi.HasCode(err, http.StatusForbidden) {
		s.log.DebugContext(ctx, "not allowed to look for upstream's sessions", "resource", plural)
		return resource{}, false, nil
	}
	return optional[i], readable, err
}
