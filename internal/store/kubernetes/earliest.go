package kubernetes

import (
	"slices"
	"time"

	"dex/internal/store"
)

// An earliest keeps, of the records that are added to it, those that expire first, as many as its limit, in that order.
type earliest struct {
	limit   int
	records []store.Record
}

// wants reports whether a record that expires then would be kept.
func (e *earliest) wants(expires time.Time) bool {
	return len(e.records) < e.limit || expires.Before(e.records[e.limit-1].Expires)
}

func (e *earliest) add(r store.Record) {
	after := func(kept store.Record, expires time.Time) int {
		if kept.Expires.After(expires) {
			return 1
		}
		return -1
	}
	i, _ := slices.BinarySearchFunc(e.records, r.Expires, after)
	e.records = slices.Insert(e.records, i, r)
	if len(e.records) > e.limit {
		e.records[e.limit] = store.Record{}
		e.records = e.records[:e.limit]
	}
}
