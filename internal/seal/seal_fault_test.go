package seal_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/faulttest"
	"dex/internal/seal"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// watched is a storage that counts reads, and does something after one of them.
type watched struct {
	store.Store
	reads int
	after func()
}

func (w *watched) Get(ctx context.Context, kind, key string) (store.Record, error) {
	w.reads++
	record, err := w.Store.Get(ctx, kind, key)
	if after := w.after; after != nil {
		w.after = nil
		after()
	}
	return record, err
}

// ring is the stored record.
type ring struct {
	Keys []struct {
		ID      string    `json:"id"`
		Secret  []byte    `json:"secret"`
		Created time.Time `json:"created"`
	} `json:"keys"`
}

func storedRing(t *testing.T, s store.Store) ring {
	t.Helper()
	r, err := s.Get(t.Context(), "seal", "ring")
	var stored ring
	if err := cmp.Or(err, json.Unmarshal(r.Data, &stored)); err != nil {
		t.Fatal(err)
	}
	return stored
}

// changeRing changes the stored ring behind the back of whoever has read it.
func changeRing(t *testing.T, s store.Store, change func(*ring)) {
	t.Helper()
	stored := storedRing(t, s)
	change(&stored)
	r, err := s.Get(t.Context(), "seal", "ring")
	if err != nil {
		t.Fatal(err)
	}
	if r.Data, err = json.Marshal(stored); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Replace(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, s store.Store, lifetime time.Duration) *seal.Ring {
	t.Helper()
	r, err := seal.Open(t.Context(), s, lifetime)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A key that was made while a clock was two days, or years, ahead went on for as much longer.
var _ = faulttest.Add("O6", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, leap := range []time.Duration{2 * 24 * time.Hour, 10 * 365 * 24 * time.Hour} {
			s := memory.New()
			r := open(t, s, time.Hour)
			sealed := r.Seal("p", []byte("text"))
			changeRing(t, s, func(stored *ring) { stored.Keys[0].Created = time.Now().Add(leap) })
			first := storedRing(t, s).Keys[0].ID
			for range 2 {
				if err := r.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			keys := storedRing(t, s).Keys
			if len(keys) != 2 || keys[0].ID == first || keys[0].Created.After(time.Now()) || keys[1].Created.After(time.Now()) {
				t.Errorf("after a leap of %v the keys are %+v", leap, keys)
			}
			if got, err := r.Open(t.Context(), "p", sealed); err != nil || string(got) != "text" {
				t.Errorf("what was sealed: %q, %v", got, err)
			}
		}
	})
})

// Clocks differ a little, and rotate nothing by it.
var _ = faulttest.Add("O6", func(t *testing.T) {
	s := memory.New()
	r := open(t, s, time.Hour)
	changeRing(t, s, func(stored *ring) { stored.Keys[0].Created = time.Now().Add(time.Minute) })
	if err := r.Maintain(t.Context()); err != nil || len(storedRing(t, s).Keys) != 1 {
		t.Errorf("the keys are %+v, %v", storedRing(t, s).Keys, err)
	}
})

// Two replicas that find the newest key old at the same time make one new key.
var _ = faulttest.Add("T-seal-95", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &watched{Store: memory.New()}
		a, b := open(t, s.Store, 48*time.Hour), open(t, s, 48*time.Hour)
		time.Sleep(8 * 24 * time.Hour)
		s.after = func() {
			if err := a.Maintain(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := b.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if keys := storedRing(t, s).Keys; len(keys) != 2 {
			t.Errorf("there are %d keys, want the old and a new one", len(keys))
		}
	})
})

// What was sealed just before a rotation can be opened for its whole lifetime.
var _ = faulttest.Add("T-seal-110", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day, lifetime = 24 * time.Hour, 30 * 24 * time.Hour
		r := open(t, memory.New(), time.Hour)
		r.Outlast(lifetime)
		r.Outlast(time.Minute) // which takes nothing back
		time.Sleep(7*day - time.Minute)
		sealed := r.Seal("p", []byte("text"))
		began := time.Now()
		for time.Since(began) < lifetime {
			if err := r.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Open(t.Context(), "p", sealed); err != nil {
				t.Fatalf("%v later: %v", time.Since(began), err)
			}
			time.Sleep(6 * time.Hour)
		}
		for range 3 {
			time.Sleep(7 * day)
			if err := r.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.Open(t.Context(), "p", sealed); !errors.Is(err, seal.ErrInvalid) {
			t.Errorf("long after: %v", err)
		}
	})
})

// Strangers can name any key: that costs a read in a second, whatever they do.
var _ = faulttest.Add("T-seal-171", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &watched{Store: memory.New()}
		r := open(t, s, time.Hour)
		s.reads = 0
		made := make([]byte, 64)
		for second := range 3 {
			for i := range 100 {
				copy(made, []byte{'x', byte('a' + second), byte(i), 'y', 'z'})
				if _, err := r.Open(t.Context(), "p", base64.RawURLEncoding.EncodeToString(made)); !errors.Is(err, seal.ErrInvalid) {
					t.Fatal(err)
				}
			}
			if s.reads != second+1 {
				t.Errorf("after %d seconds there were %d reads", second, s.reads)
			}
			time.Sleep(time.Second)
		}
	})
})
