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
		for chunk := range slices.Chunk(page.Kvs, maxOps) {
			n, err := s.sweepEntries(ctx, kind, chunk)
			removed += n
			if err != nil {
				return removed, err
			}
		}
		if !page.More {
			break
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
	return removed, nil
}

// sweepEntries removes, in one transaction, the records of entries in the index by expiry, and returns how many.
func (s *Store) sweepEntries(ctx context.Context, kind string, entries []*mvccpb.KeyValue) (int, error) {
	var removals branch
	for _, entry := range entries {
		if key, ok := keyOfExpiry(strings.TrimPrefix(string(entry.Key), s.keys.expiries(kind))); ok {
			removals.then = append(removals.then, s.expiration(kind, key, entry))
		}
	}
	done, err := s.commit(ctx, removals)
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, r := range done.Responses {
		if r.GetResponseTxn().GetSucceeded() {
			removed++
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
