package etcd

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dex/internal/store"
)

// Sweep is part of store.Store. It walks the index by expiry, and removes what it finds of leftovers too.
func (s *Store) Sweep(ctx context.Context, kind string, before time.Time, limit int) (int, error) {
	if (&store.Record{Kind: kind, Key: "any"}).Check() != nil {
		return 0, s.usable(ctx) // no record can have it
	}
	limit = store.PageLimit(limit)
	from, until := s.keys.expiries(kind), s.keys.expiriesUntil(kind, before.UnixMilli())
	removed := 0
	for removed < limit {
		page, err := s.get(ctx, from, clientv3.WithRange(until), clientv3.WithLimit(int64(limit-removed)))
		if err != nil {
			return removed, err
		}
		n, err := s.removeExpired(ctx, kind, s.withExpiredKeys(kind, page.Kvs))
		removed += n
		if err != nil {
			return removed, err
		}
		if !page.More {
			break
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
	return removed, nil
}

// Expired is part of store.Store. It walks the index by expiry too.
func (s *Store) Expired(ctx context.Context, kind string, before time.Time, limit int) ([]store.Record, error) {
	if (&store.Record{Kind: kind, Key: "any"}).Check() != nil {
		return nil, s.usable(ctx) // no record can have it
	}
	limit = store.PageLimit(limit)
	from, until := s.keys.expiries(kind), s.keys.expiriesUntil(kind, before.UnixMilli())
	var records []store.Record
	for len(records) < limit {
		page, err := s.get(ctx, from, clientv3.WithRange(until), clientv3.WithLimit(int64(limit-len(records))))
		if err != nil {
			return nil, err
		}
		for chunk := range slices.Chunk(s.withExpiredKeys(kind, page.Kvs), maxOps) {
			expired, err := s.pickExpired(ctx, kind, chunk)
			if err != nil {
				return nil, err
			}
			records = append(records, expired...)
		}
		if !page.More {
			break
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
	return records, nil
}

// withExpiredKeys returns entries of the index by expiry with the keys of their records.
func (s *Store) withExpiredKeys(kind string, entries []*mvccpb.KeyValue) []keyed {
	var all []keyed
	for _, entry := range entries {
		if key, ok := keyOfExpiry(strings.TrimPrefix(string(entry.Key), s.keys.expiries(kind))); ok {
			all = append(all, keyed{key: key, kv: entry})
		}
	}
	return all
}

// pickExpired returns the records that entries of the index by expiry stand for. An entry with another revision than its
// record was left behind.
func (s *Store) pickExpired(ctx context.Context, kind string, entries []keyed) ([]store.Record, error) {
	found, err := s.getAll(ctx, kind, entries)
	if err != nil {
		return nil, err
	}
	var records []store.Record
	for i, kv := range found {
		entry := entries[i]
		if kv == nil || kv.ModRevision != entry.kv.ModRevision {
			s.dropLater(leftover{key: string(entry.kv.Key), revision: entry.kv.ModRevision})
			if owner := string(entry.kv.Value); owner != "" {
				s.dropLater(leftover{key: s.keys.owned(kind, owner) + entry.key, revision: entry.kv.ModRevision})
			}
			continue
		}
		r, _, err := read(kind, entry.key, kv)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// Discard is part of store.Store.
func (s *Store) Discard(ctx context.Context, kind string, expired []store.Record) (int, error) {
	var entries []keyed
	for _, r := range expired {
		if err := r.Check(); err != nil {
			return 0, err
		}
		entries = append(entries, keyed{key: r.Key, kv: &mvccpb.KeyValue{
			Key:         []byte(s.keys.expiry(kind, r.Expires.UnixMilli(), r.Key)),
			Value:       []byte(r.Owner),
			ModRevision: parseRevision(r.Revision),
		}})
	}
	return s.removeExpired(ctx, kind, entries)
}

// removeExpired removes the records of entries in the index by expiry, as many in a transaction as it takes, and returns how
// many.
func (s *Store) removeExpired(ctx context.Context, kind string, entries []keyed) (removed int, err error) {
	for chunk := range slices.Chunk(entries, maxOps) {
		var removals branch
		for _, entry := range chunk {
			removals.then = append(removals.then, s.expiration(kind, entry.key, entry.kv))
		}
		done, err := s.commit(ctx, removals)
		if err != nil {
			return removed, err
		}
		for _, r := range done.Responses {
			if r.GetResponseTxn().GetSucceeded() {
				removed++
			}
		}
	}
	return removed, nil
}

// expiration makes a transaction that removes a record with its entries in the indexes. If the record has another
// revision than the entry in the index by expiry, it was moved to another time or is no more; then only the entries that
// it left are removed.
func (s *Store) expiration(kind, key string, entry *mvccpb.KeyValue) clientv3.Op {
	record := s.keys.record(kind, key)
	b := branch{
		compare:   []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(record), "=", entry.ModRevision)},
		then:      []clientv3.Op{clientv3.OpDelete(record), clientv3.OpDelete(string(entry.Key))},
		otherwise: []clientv3.Op{leftover{key: string(entry.Key), revision: entry.ModRevision}.removal()},
	}
	if owner := string(entry.Value); owner != "" {
		owned := s.keys.owned(kind, owner) + key
		b.then = append(b.then, clientv3.OpDelete(owned))
		b.otherwise = append(b.otherwise, leftover{key: owned, revision: entry.ModRevision}.removal())
	}
	return b.op()
}
