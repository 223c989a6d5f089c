package limit

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"dex/internal/event"
	"dex/internal/store"
	"dex/internal/wait"
)

const (
	// drawTimeout bounds how long an attempt waits for the storage.
	drawTimeout = 2 * time.Second
	// drawPause is how long nobody asks a storage that has failed. Meanwhile each replica has its own part of every bucket.
	drawPause = 5 * time.Second
)

// shared is the record of what is left of a bucket that replicas share. It exists only for keys at which a replica has used up
// its own part, and expires when the bucket is full again. Its times are by the clock of whoever wrote it: a clock that is
// ahead gets at most as many attempts more as the bucket is refilled with in that time.
type shared struct {
	Full time.Time `json:"full"`
	Next time.Time `json:"next,omitzero"`
}

var sharedKind = store.Declare(store.Declaration[shared]{
	Name: "limit", Quiet: true,
	Expires: func(s *shared) time.Time { return s.Full },
})

// A pool is the parts of buckets that replicas share, in the storage. A nil one has none.
type pool struct {
	table *store.Table[shared]
	live  *Replicas
	now   func() time.Time
	log   *slog.Logger
	until atomic.Int64 // when a storage that has failed is asked again, since start
	start time.Time
}

func newPool(s store.Store, live *Replicas, log *slog.Logger) *pool {
	return &pool{table: store.In(s, sharedKind), live: live, now: time.Now, log: log, start: time.Now()}
}

// replicas returns how many share the buckets.
func (p *pool) replicas() int {
	if p == nil {
		return 1
	}
	return p.live.Count()
}

// rests returns how long a storage that has failed isn't asked.
func (p *pool) rests() time.Duration { return time.Duration(p.until.Load()) - time.Since(p.start) }

func (p *pool) resting() bool { return p.rests() > 0 }

// draw takes attempts from a bucket: a quarter of what is left, so that the others get some too and a busy key costs few
// writes. It returns how many, and how long nobody needs to ask again; false if the storage has failed.
func (p *pool) draw(ctx context.Context, limit event.Limit, key id, r Rate) (n int, empty time.Duration, ok bool) {
	// What was drawn is for others too, so it isn't given up with the request.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drawTimeout)
	defer cancel()
	name := string(limit) + ":" + base64.RawURLEncoding.EncodeToString(key[:])
	n, empty, err := p.swap(ctx, name, r)
	was := p.until.Load()
	if err == nil {
		if was != 0 && p.until.CompareAndSwap(was, 0) {
			p.log.InfoContext(ctx, "limits are shared with other replicas again")
		}
		return n, empty, true
	}
	if p.until.CompareAndSwap(was, int64(time.Since(p.start)+drawPause)) && was == 0 {
		p.log.WarnContext(ctx, "limits can't be shared with other replicas, each one goes on with a part of them", "err", err)
	}
	return 0, 0, false
}

// swap is draw, tried again for as long as other replicas are faster.
func (p *pool) swap(ctx context.Context, name string, r Rate) (n int, empty time.Duration, err error) {
	for {
		e, err := p.table.Get(store.Latest(ctx), name)
		isNew := errors.Is(err, store.ErrNotFound)
		if err != nil && !isNew {
			return 0, 0, err
		}
		now := time.Duration(p.now().UnixNano())
		was := e.Value.level()
		was.bound(r, now)
		is, n := was.drawn(r, now)
		if n == 0 {
			return 0, max(time.Millisecond, is.wait(r, now, r.batch())), nil
		}
		if e.Key, e.Value = name, is.record(); isNew {
			_, err = p.table.Create(ctx, name, e.Value)
		} else {
			_, err = p.table.Replace(ctx, e)
		}
		if err == nil {
			if is.left(r, now) <= 0 {
				empty = is.wait(r, now, r.batch())
			}
			return n, empty, nil
		}
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrExists) && !errors.Is(err, store.ErrNotFound) {
			return 0, 0, err
		}
		if err := wait.For(ctx, rand.N(10*time.Millisecond)); err != nil { //nolint:gosec // jitter, not a secret
			return 0, 0, err
		}
	}
}

// drawn returns what is left after a draw, and how many attempts it took.
func (l level) drawn(r Rate, now time.Duration) (level, int) {
	n := 0
	if left := l.left(r, now); left > 0 {
		n = max(1, left/4)
	} else if l.lets(r, now) {
		n = 1
	}
	if n > 0 {
		l.take(r, now, n)
	}
	return l, n
}

// level and record turn times into durations since 1970, which are good until 2262, and back.
func (s *shared) level() level {
	since := func(t time.Time) time.Duration {
		if t.IsZero() {
			return 0
		}
		return time.Duration(t.UnixNano())
	}
	return level{full: since(s.Full), next: since(s.Next)}
}

func (l level) record() shared {
	s := shared{Full: time.Unix(0, int64(l.full)).UTC()}
	if l.next > 0 {
		s.Next = time.Unix(0, int64(l.next)).UTC()
	}
	return s
}
