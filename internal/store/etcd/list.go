package etcd

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"

	"dex/internal/store"
)

// maxOps is the most operations that we put into a transaction. Servers accept 128 by default, and by the same number
// those in each transaction within one, less what the outer one has.
const maxOps = 50

// List is part of store.Store. The order is that of the bytes of the keys.
func (s *Store) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	if len(q.Owner) > store.MaxKey || (&store.Record{Kind: kind, Key: "any"}).Check() != nil {
		return nil, s.usable(ctx) // no record can have them
	}
	limit := store.PageLimit(q.Limit)
	prefix, pick := s.keys.records(kind), s.pick
	if q.Owner != "" {
		prefix = s.keys.owned(kind, q.Owner)
		pick = func(ctx context.Context, kind string, page []keyed) ([]store.Record, error) {
			return s.pickOwned(ctx, kind, q.Owner, page)
		}
	}
	var records []store.Record
	for from, size := after(prefix, q.After), limit; len(records) < limit; {
		page, err := s.get(ctx, from, clientv3.WithRange(end(prefix)), clientv3.WithLimit(int64(size)))
		if err != nil {
			return nil, err
		}
		picked, err := pick(ctx, kind, withKeys(page.Kvs, prefix))
		if err != nil {
			return nil, err
		}
		records = append(records, picked...)
		if !page.More {
			break
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
		// Where many have expired, pages grow, so that the last one wanted is not looked for one by one.
		expired := len(page.Kvs) - len(picked)
		size = max(limit-len(records), min(2*expired, store.MaxLimit))
	}
	return records[:min(limit, len(records))], nil
}

// A keyed is what etcd has at a key, with the part of it that is the record's.
type keyed struct {
	key string
	kv  *mvccpb.KeyValue
}

func withKeys(kvs []*mvccpb.KeyValue, prefix string) []keyed {
	all := make([]keyed, len(kvs))
	for i, kv := range kvs {
		all[i] = keyed{key: strings.TrimPrefix(string(kv.Key), prefix), kv: kv}
	}
	return all
}

// pick returns the live records of a page of records.
func (s *Store) pick(_ context.Context, kind string, page []keyed) ([]store.Record, error) {
	var records []store.Record
	for _, entry := range page {
		r, live, err := read(kind, entry.key, entry.kv)
		if err != nil {
			return nil, err
		}
		if live {
			records = append(records, r)
		}
	}
	return records, nil
}

// pickOwned returns the live records that a page of the index by owner names, and removes its entries without a
// record.
func (s *Store) pickOwned(ctx context.Context, kind, owner string, page []keyed) ([]store.Record, error) {
	var records []store.Record
	for chunk := range slices.Chunk(page, maxOps) {
		found, err := s.getAll(ctx, kind, chunk)
		if err != nil {
			return nil, err
		}
		for i, kv := range found {
			if kv == nil {
				s.dropLater(leftover{key: string(chunk[i].kv.Key), revision: chunk[i].kv.ModRevision})
				continue
			}
			r, live, err := read(kind, chunk[i].key, kv)
			switch {
			case err != nil:
				return nil, err
			case r.Owner != owner:
				s.dropLater(leftover{key: string(chunk[i].kv.Key), revision: chunk[i].kv.ModRevision})
			case live:
				records = append(records, r)
			}
		}
	}
	return records, nil
}

// getAll reads the records of several keys at once; nil stands for one that is not there.
func (s *Store) getAll(ctx context.Context, kind string, keys []keyed) ([]*mvccpb.KeyValue, error) {
	var gets branch
	for _, k := range keys {
		gets.then = append(gets.then, clientv3.OpGet(s.keys.record(kind, k.key)))
	}
	done, err := s.query(ctx, gets)
	if err != nil {
		return nil, err
	}
	found := make([]*mvccpb.KeyValue, len(keys))
	for i, r := range done.Responses {
		if kvs := r.GetResponseRange().GetKvs(); len(kvs) > 0 {
			found[i] = kvs[0]
		}
	}
	return found, nil
}

// query runs a transaction that only reads. The client library repeats plain reads while the cluster is choosing a leader,
// but no transaction.
func (s *Store) query(ctx context.Context, b branch) (*clientv3.TxnResponse, error) {
	const pause = 25 * time.Millisecond
	for begun := time.Now(); ; {
		done, err := s.commit(ctx, b)
		if err == nil || code(err) != codes.Unavailable || time.Since(begun) > patience {
			return done, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
