package limit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/event"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// counting is a storage that counts what is asked of it, and fails or hangs if it is told to.
type counting struct {
	store.Store
	reads, writes atomic.Int32
	fault         atomic.Pointer[func(ctx context.Context, operation string) error]
}

func (c *counting) ask(ctx context.Context, operation string, count *atomic.Int32) error {
	count.Add(1)
	if fault := c.fault.Load(); fault != nil {
		return (*fault)(ctx, operation)
	}
	return nil
}

func (c *counting) Get(ctx context.Context, kind, key string) (store.Record, error) {
	if err := c.ask(ctx, "get", &c.reads); err != nil {
		return store.Record{}, err
	}
	return c.Store.Get(ctx, kind, key)
}

func (c *counting) Create(ctx context.Context, r store.Record) (string, error) {
	if err := c.ask(ctx, "create", &c.writes); err != nil {
		return "", err
	}
	return c.Store.Create(ctx, r)
}

func (c *counting) Replace(ctx context.Context, r store.Record) (string, error) {
	if err := c.ask(ctx, "replace", &c.writes); err != nil {
		return "", err
	}
	return c.Store.Replace(ctx, r)
}

func (c *counting) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	if err := c.ask(ctx, "list", &c.reads); err != nil {
		return nil, err
	}
	return c.Store.List(ctx, kind, q)
}

// A world is replicas on one storage.
type world struct {
	t        *testing.T
	store    *counting
	log      bytes.Buffer
	replicas []*Limiter
	live     []*Replicas
	rate     Rate
}

func newWorld(t *testing.T, rate Rate, replicas int) *world {
	w := &world{t: t, store: &counting{Store: memory.New()}, rate: rate}
	for range replicas {
		w.join()
	}
	w.look()
	w.store.reads.Store(0)
	w.store.writes.Store(0)
	return w
}

// join adds a replica, which the others see once they look.
func (w *world) join() *Limiter {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	r := NewReplicas(w.store, log)
	if err := r.Look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	l := New(w.rate)
	l.name, l.pool = event.LimitUser, newPool(w.store, r, log)
	w.replicas, w.live = append(w.replicas, l), append(w.live, r)
	return l
}

func (w *world) look() {
	w.t.Helper()
	for _, r := range w.live {
		if err := r.Look(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// guess tries a wrong attempt at each replica until all refuse, and returns how many were let in.
func (w *world) guess(key string, times int) int {
	w.t.Helper()
	in := 0
	for range times {
		for _, l := range w.replicas {
			if try(w.t, false, l.Key("192.0.2.1", key)) {
				in++
			}
		}
	}
	return in
}

// storm tries many wrong attempts at all replicas at once, and returns how many were let in.
func (w *world) storm(key string, times int) int {
	var in atomic.Int32
	var group sync.WaitGroup
	for i := range times {
		l := w.replicas[i%len(w.replicas)]
		group.Go(func() {
			got, err := Begin(w.t.Context(), l.Key("192.0.2.1", key))
			if err != nil {
				return
			}
			in.Add(1)
			time.Sleep(time.Duration(i%7) * time.Millisecond)
			got.Failed()
			got.End()
		})
	}
	group.Wait()
	return int(in.Load())
}

// However many guesses come to replicas at once, exactly as many are let in as the limit says.
func TestReplicasShareALimit(t *testing.T) {
	for _, rate := range []Rate{perUser, perAddress, perClient, userCodes, deviceRequests, mailRequests, mailsTo} {
		for replicas := 1; replicas <= 3; replicas++ {
			t.Run(fmt.Sprintf("%d of %v at %d", rate.Burst, rate.Every, replicas), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, rate, replicas)
					began := time.Now()
					got := w.storm("jane", 1000)
					more := 0 // what the storm's own time has refilled
					if passed := time.Since(began); passed > 0 {
						more = int(passed/rate.Every) + 1
					}
					if got < rate.Burst || got > rate.Burst+more && rate.First == 0 || got > rate.Burst+1 {
						t.Errorf("%d were let in after %v, want %d", got, time.Since(began), rate.Burst)
					}
					if writes := w.store.writes.Load(); replicas == 1 && writes != 0 || writes > 50 {
						t.Errorf("%d writes", writes)
					}
					if got := w.guess("john", 200); got != rate.Burst {
						t.Errorf("%d guesses one by one were let in, want %d", got, rate.Burst)
					}
				})
			})
		}
	}
}

// A million guesses cost a few writes, and right attempts none.
func TestGuessesCostTheStorageNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, perAddress, 3)
		for range 1000 {
			for _, l := range w.replicas {
				if !try(t, true, l.Key("192.0.2.1", "right")) {
					t.Fatal("a right attempt is refused")
				}
			}
		}
		if n := w.store.reads.Load() + w.store.writes.Load(); n != 0 {
			t.Errorf("right attempts cost %d operations", n)
		}
		w.guess("jane", 1_000_000/3)
		if r, n := w.store.reads.Load(), w.store.writes.Load(); r > 60 || n > 30 {
			t.Errorf("a million guesses cost %d reads and %d writes", r, n)
		}
		// An hour in which a guess comes every 100 ms refills 3600 attempts.
		w.store.writes.Store(0)
		in := 0
		for range 36_000 {
			time.Sleep(100 * time.Millisecond)
			in += w.guess("jane", 1)
		}
		if n := w.store.writes.Load(); in > 3700 || in < 3000 || n > 1800 {
			t.Errorf("in an hour %d were let in, want 3600, with %d writes", in, n)
		}
	})
}

// After the burst the waits double, at one replica and at three, and what is told is the truth.
func TestWaitsDouble(t *testing.T) {
	for replicas := 1; replicas <= 3; replicas++ {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, perUser, replicas)
			if got := w.guess("jane", 20); got != 10 {
				t.Fatalf("%d at once", got)
			}
			for _, want := range []int{10, 20, 40, 80, 160, 320, 640, 900, 900, 900} {
				for i, l := range w.replicas {
					_, err := Begin(t.Context(), l.Key("192.0.2.1", "jane"))
					exceeded, ok := errors.AsType[*Exceeded](err)
					if !ok || exceeded.Seconds() > want || replicas == 1 && want < 900 && exceeded.Seconds() != want {
						t.Fatalf("replica %d of %d: %v, want %d s", i, replicas, err, want)
					}
				}
				time.Sleep(time.Duration(want)*time.Second - time.Nanosecond)
				early := w.guess("jane", 1)
				time.Sleep(time.Nanosecond)
				if got := early + w.guess("jane", 5); got < 1 || early > 0 && replicas == 1 && want < 900 || got > 4 { // each has a part that is refilled, too
					t.Fatalf("after %d s %d were let in by %d, %d of them early", want, got, replicas, early)
				}
			}
			time.Sleep(9 * time.Hour)
			if got := w.guess("jane", 20); got != 10 {
				t.Errorf("later %d at once", got)
			}
		})
	}
}

// Nobody is let in without limit, or refused for good, by a storage that fails or hangs; it is said once.
func TestStorageFails(t *testing.T) {
	for _, operation := range []string{"get", "create", "replace"} {
		for _, hangs := range []bool{false, true} {
			t.Run(fmt.Sprint(operation, hangs), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, perAddress, 3)
					fault := func(ctx context.Context, of string) error {
						if of != operation {
							return nil
						}
						if hangs {
							<-ctx.Done()
							return ctx.Err()
						}
						return errors.New("no connection")
					}
					w.store.fault.Store(&fault)
					began := time.Now()
					got := w.guess("jane", 1000)
					if own := 3 * (100 / 6); got < own || got > 100 {
						t.Errorf("%d were let in, want the replicas' own %d", got, own)
					}
					if passed := time.Since(began); passed > 3*drawTimeout {
						t.Errorf("guesses took %v", passed)
					}
					if try(t, true, w.replicas[0].Key("192.0.2.1", "john")) != true {
						t.Error("others are refused")
					}
					if said := strings.Count(w.log.String(), "can't be shared"); said != 3 {
						t.Errorf("it is said %d times:\n%s", said, &w.log)
					}
					w.store.fault.Store(nil)
					time.Sleep(drawPause)
					if got += w.guess("jane", 1000); got < 90 || got > 110 {
						t.Errorf("with the storage again %d were let in, want some 100", got)
					}
					if said := strings.Count(w.log.String(), "shared with other replicas again"); said != 3 {
						t.Errorf("the end is said %d times:\n%s", said, &w.log)
					}
				})
			})
		}
	}
}

// Replicas that come and go get nobody more than a part of the limit again.
func TestReplicasComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, perUser, 2)
		got := w.guess("jane", 20)
		w.join()
		w.look()
		if w.live[0].Count() != 3 {
			t.Fatalf("%d are counted", w.live[0].Count())
		}
		got += w.guess("jane", 20)
		if got > 12 { // its own part, and one that the others had for themselves
			t.Errorf("%d were let in once another replica came", got)
		}
		gone := w.live[2]
		w.replicas, w.live = w.replicas[:2], w.live[:2]
		if err := gone.leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.look()
		if got2 := w.guess("jane", 20); w.live[0].Count() != 2 || got2 != 0 {
			t.Errorf("%d are counted, %d were let in once it had gone", w.live[0].Count(), got2)
		}
		// One that dies counts for some minutes.
		w.join()
		w.look()
		w.replicas, w.live = w.replicas[:2], w.live[:2]
		for range 7 {
			time.Sleep(time.Minute)
			w.look()
		}
		if w.live[0].Count() != 2 {
			t.Errorf("%d are counted after one has died", w.live[0].Count())
		}
	})
}

// A clock that jumps gets nobody more than a bucket, and locks nobody out for longer than the limit does.
func TestClocksJump(t *testing.T) {
	for _, jump := range []time.Duration{-1000 * time.Hour, -time.Minute, time.Minute, 1000 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, perUser, 3)
			w.replicas[0].pool.now = func() time.Time { return time.Now().Add(jump) }
			if got := w.guess("jane", 100); got < 10 || got > 20 {
				t.Errorf("%v: %d were let in", jump, got)
			}
			time.Sleep(perUser.Longest)
			if got := w.guess("jane", 1); got < 1 {
				t.Errorf("%v: nobody is let in after the longest wait", jump)
			}
		})
	}
}

// Of a bucket that replicas share nobody gets more because a right attempt had drawn some.
func TestWhatWasDrawnIsNotHadTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, mailRequests, 2)
		key := w.replicas[0].Key("192.0.2.1", "jane")
		var tries []*Try
		for range 15 {
			got, err := Begin(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			tries = append(tries, got)
		}
		for _, got := range tries {
			got.End()
		}
		for range 60 { // what was drawn goes back as time passes
			time.Sleep(time.Minute)
			try(t, true, key)
		}
		if got := w.guess("jane", 100); got != mailRequests.Burst {
			t.Errorf("%d were let in, want %d", got, mailRequests.Burst)
		}
	})
}

func FuzzLevel(f *testing.F) {
	f.Add(uint8(10), uint16(900), uint16(10), uint16(900), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, burst uint8, every, first, longest uint16, steps []byte) {
		r := Rate{
			Burst: int(burst), Every: time.Duration(every)*time.Second + 1,
			First: time.Duration(first) * time.Second, Longest: time.Duration(max(first, longest)) * time.Second,
		}
		var l level
		now, began, taken := time.Duration(1), time.Duration(1), 0
		for _, s := range steps {
			now += time.Duration(s) * time.Second
			if n := 1; l.left(r, now) >= n || l.lets(r, now) {
				l.take(r, now, n)
				taken++
			} else if w := l.wait(r, now, 1); w <= 0 && r.Burst > 0 {
				t.Fatalf("refused without a wait: %+v at %v of %+v", l, now, r)
			}
		}
		most := r.Burst + int((now-began)/r.Every) + 1
		if first > 0 {
			most += r.overdraft() + int((now-began)/r.Longest) + 1
		}
		if taken > most {
			t.Fatalf("%d were let in, want at most %d of %+v in %v", taken, most, r, now-began)
		}
	})
}
