package etcd

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// maxLeftovers is how many leftovers may wait. More are forgotten: List and Sweep recognise them, and remove those
	// that they meet.
	maxLeftovers = 1024
	// lastTidying is how long Close waits for the removal of those that wait then.
	lastTidying = time.Second
)

// A leftover is an entry in an index whose record was replaced or deleted. The next record of that key may have the same
// entry again, with another revision.
type leftover struct {
	key      string
	revision int64
}

// removal makes a transaction that removes the entry if it still is the one that was left.
func (l leftover) removal() clientv3.Op {
	return branch{
		compare: []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(l.key), "=", l.revision)},
		then:    []clientv3.Op{clientv3.OpDelete(l.key)},
	}.op()
}

// dropLater hands a leftover to tidy. It never waits.
func (s *Store) dropLater(l leftover) {
	select {
	case s.leftovers <- l:
	default:
	}
}

// tidy removes leftovers until Close. It is no part of the writes that leave them, because what a write leaves is known
// by its answer only, and they would have to wait for another round trip. Several are removed at once.
func (s *Store) tidy() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.life))
	defer cancel()
	context.AfterFunc(s.life, func() { time.AfterFunc(lastTidying, cancel) })
	for {
		select {
		case l := <-s.leftovers:
			s.remove(ctx, s.gather(l))
		case <-s.life.Done():
			for len(s.leftovers) > 0 && ctx.Err() == nil {
				s.remove(ctx, s.gather(<-s.leftovers))
			}
			return
		}
	}
}

// gather returns the removals of a first leftover and of others that wait already.
func (s *Store) gather(first leftover) []clientv3.Op {
	ops := []clientv3.Op{first.removal()}
	for len(ops) < maxOps {
		select {
		case l := <-s.leftovers:
			ops = append(ops, l.removal())
		default:
			return ops
		}
	}
	return ops
}

func (s *Store) remove(ctx context.Context, removals []clientv3.Op) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := s.client.Txn(ctx).Then(removals...).Commit(); err != nil {
		s.log.DebugContext(ctx, "entries in the indexes in etcd could not be removed", "entries", len(removals), "err", err)
	}
}
