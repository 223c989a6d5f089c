package memory

import (
	"cmp"
	"iter"
	"strings"
	"time"

	"dex/internal/store"
)

// A table holds the records of one kind. The Data of its records is never written to, so it may be read without lock.
type table struct {
	records  map[string]store.Record
	keys     *index[string]
	owners   *index[ownedKey] // records with an owner
	expiries *index[expiry]   // records with an expiry
}

type ownedKey struct{ owner, key string }

func (a ownedKey) compare(b ownedKey) int {
	return cmp.Or(strings.Compare(a.owner, b.owner), strings.Compare(a.key, b.key))
}

type expiry struct {
	at  time.Time
	key string
}

func (a expiry) compare(b expiry) int {
	return cmp.Or(a.at.Compare(b.at), strings.Compare(a.key, b.key))
}

func newTable() *table {
	return &table{
		records:  make(map[string]store.Record),
		keys:     newIndex(strings.Compare),
		owners:   newIndex(ownedKey.compare),
		expiries: newIndex(expiry.compare),
	}
}

// put stores a record in place of the one with its key.
func (t *table) put(r store.Record) {
	t.remove(r.Key)
	t.records[r.Key] = r
	t.keys.add(r.Key)
	if r.Owner != "" {
		t.owners.add(ownedKey{r.Owner, r.Key})
	}
	if !r.Expires.IsZero() {
		t.expiries.add(expiry{r.Expires, r.Key})
	}
}

func (t *table) remove(key string) {
	r, ok := t.records[key]
	if !ok {
		return
	}
	delete(t.records, key)
	t.keys.remove(key)
	if r.Owner != "" {
		t.owners.remove(ownedKey{r.Owner, key})
	}
	if !r.Expires.IsZero() {
		t.expiries.remove(expiry{r.Expires, key})
	}
}

// after returns the owner's records, or everybody's if there is none, with keys greater than the one given, in order.
func (t *table) after(owner, key string) iter.Seq[store.Record] {
	next := key + "\x00" // the least string that is greater
	if owner == "" {
		return func(yield func(store.Record) bool) {
			for k := range t.keys.from(next) {
				if !yield(t.records[k]) {
					return
				}
			}
		}
	}
	return func(yield func(store.Record) bool) {
		for k := range t.owners.from(ownedKey{owner, next}) {
			if k.owner != owner || !yield(t.records[k.key]) {
				return
			}
		}
	}
}

// expiredBefore returns the keys of up to limit records whose expiry is before the time given, the oldest first.
func (t *table) expiredBefore(before time.Time, limit int) []string {
	var keys []string
	for e := range t.expiries.from(expiry{}) {
		if len(keys) == limit || !e.at.Before(before) {
			break
		}
		keys = append(keys, e.key)
	}
	return keys
}
