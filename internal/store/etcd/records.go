package etcd

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dex/internal/store"
)

// Get is part of store.Store.
func (s *Store) Get(ctx context.Context, kind, key string) (store.Record, error) {
	if err := s.possible(ctx, kind, key); err != nil {
		return store.Record{}, err
	}
	found, err := s.get(ctx, s.keys.record(kind, key))
	if err != nil {
		return store.Record{}, err
	}
	if len(found.Kvs) == 0 {
		return store.Record{}, store.ErrNotFound
	}
	r, live, err := read(kind, key, found.Kvs[0])
	if err == nil && !live {
		err = store.ErrNotFound
	}
	return r, err
}

// Create is part of store.Store.
func (s *Store) Create(ctx context.Context, r store.Record) (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	done, err := s.commit(ctx, branch{
		compare:   []clientv3.Cmp{s.isLive(r.Kind, r.Key)},
		otherwise: s.puts(&r),
	})
	if err != nil {
		return "", err
	}
	if done.Succeeded {
		return "", store.ErrExists
	}
	return s.written(done, &r), nil
}

// Replace is part of store.Store.
func (s *Store) Replace(ctx context.Context, r store.Record) (string, error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	live := s.isLive(r.Kind, r.Key)
	done, err := s.commit(ctx, branch{
		compare:   []clientv3.Cmp{live, s.isRevision(r.Kind, r.Key, r.Revision)},
		then:      s.puts(&r),
		otherwise: []clientv3.Op{ask(live)},
	})
	if err != nil {
		return "", err
	}
	if !done.Succeeded {
		return "", missed(done)
	}
	return s.written(done, &r), nil
}

// Delete is part of store.Store.
func (s *Store) Delete(ctx context.Context, kind, key, revision string) error {
	if err := s.possible(ctx, kind, key); err != nil {
		return err
	}
	live := s.isLive(kind, key)
	b := branch{
		compare:   []clientv3.Cmp{live},
		then:      []clientv3.Op{clientv3.OpDelete(s.keys.record(kind, key), clientv3.WithPrevKV())},
		otherwise: []clientv3.Op{ask(live)},
	}
	if revision != "" {
		b.compare = append(b.compare, s.isRevision(kind, key, revision))
	}
	if store.Announced(kind) {
		b.then = append(b.then, s.announce(kind, key))
	}
	done, err := s.commit(ctx, b)
	if err != nil {
		return err
	}
	if !done.Succeeded {
		return missed(done)
	}
	s.changes.Publish(store.Change{Kind: kind, Key: key})
	for _, before := range done.Responses[0].GetResponseDeleteRange().GetPrevKvs() {
		s.leave(kind, key, before, nil)
	}
	return nil
}

// possible returns ErrNotFound for what no record can have as its kind and key.
func (s *Store) possible(ctx context.Context, kind, key string) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	if (&store.Record{Kind: kind, Key: key}).Check() != nil {
		return store.ErrNotFound
	}
	return nil
}

// isLive compares the record's value with that of a record that expires now. It does not hold for an absent record.
func (s *Store) isLive(kind, key string) clientv3.Cmp {
	const atLeast = 1 // ms; values have more behind their time, so that the equal ones are greater too
	return clientv3.Compare(clientv3.Value(s.keys.record(kind, key)), ">", string(valueFrom(nowMillis()+atLeast)))
}

func (s *Store) isRevision(kind, key, revision string) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(s.keys.record(kind, key)), "=", parseRevision(revision))
}

// ask makes a transaction within a transaction that changes nothing: whether it succeeded is the answer.
func ask(question clientv3.Cmp) clientv3.Op {
	return branch{compare: []clientv3.Cmp{question}}.op()
}

// missed returns why a transaction did not find the revision. It had asked whether the record is live.
func missed(done *clientv3.TxnResponse) error {
	if done.Responses[0].GetResponseTxn().GetSucceeded() {
		return store.ErrConflict
	}
	return store.ErrNotFound
}

// puts returns what writes a record: first the record itself, for written.
func (s *Store) puts(r *store.Record) []clientv3.Op {
	h := headerOf(r)
	ops := []clientv3.Op{clientv3.OpPut(s.keys.record(r.Kind, r.Key), encode(h, r.Data), clientv3.WithPrevKV())}
	if h.owner != "" {
		ops = append(ops, clientv3.OpPut(s.keys.owned(r.Kind, h.owner)+r.Key, ""))
	}
	if h.expires != never {
		ops = append(ops, clientv3.OpPut(s.keys.expiry(r.Kind, h.expires, r.Key), h.owner))
	}
	if store.Announced(r.Kind) {
		ops = append(ops, s.announce(r.Kind, r.Key))
	}
	return ops
}

func (s *Store) announce(kind, key string) clientv3.Op {
	return clientv3.OpPut(s.keys.changed(), announcement(kind, key))
}

// written reports a record that was put to our own watchers, has what its predecessor left behind removed, and returns its
// revision.
func (s *Store) written(done *clientv3.TxnResponse, r *store.Record) string {
	s.changes.Publish(store.Change{Kind: r.Kind, Key: r.Key})
	if before := done.Responses[0].GetResponsePut().GetPrevKv(); before != nil {
		s.leave(r.Kind, r.Key, before, s.keys.entries(r.Kind, r.Key, headerOf(r)))
	}
	return formatRevision(done.Header.Revision)
}

// leave hands over for removal the index entries of a record that is gone, except those that its successor has too.
func (s *Store) leave(kind, key string, before *mvccpb.KeyValue, successors []string) {
	h, _, err := decode(before.Value)
	if err != nil {
		return // whoever wrote it knows its entries
	}
	for _, entry := range s.keys.entries(kind, key, h) {
		if !slices.Contains(successors, entry) {
			s.dropLater(leftover{key: entry, revision: before.ModRevision})
		}
	}
}

// read returns a record, and whether it is live.
func read(kind, key string, kv *mvccpb.KeyValue) (r store.Record, live bool, err error) {
	h, data, err := decode(kv.Value)
	if err != nil {
		return store.Record{}, false, fmt.Errorf("record %s %q in etcd is not readable: %w", kind, key, err)
	}
	return store.Record{
		Kind: kind, Key: key, Owner: h.owner, Expires: h.time(), Revision: formatRevision(kv.ModRevision), Data: data,
	}, h.live(nowMillis()), nil
}

func nowMillis() int64 { return time.Now().UnixMilli() }

// The revision of a record is that of the cluster when it was written. The cluster counts on with every transaction.

func formatRevision(revision int64) string { return strconv.FormatInt(revision, 10) }

// parseRevision returns a number that no record has for what formatRevision did not make.
func parseRevision(revision string) int64 {
	n, err := strconv.ParseInt(revision, 10, 64)
	if err != nil {
		return -1
	}
	return n
}
