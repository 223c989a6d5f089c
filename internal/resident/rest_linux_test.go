package resident

import (
	"context"
	"crypto/sha256"
	"testing"
	"testing/synctest"
	"time"
)

func TestRestReleasesOnceAfterWork(t *testing.T) {
	const mib = 1 << 20
	var r rest
	for i, step := range []struct {
		work time.Duration
		file int64
		due  bool
	}{
		{time.Second, 20 * mib, false},          // the start
		{time.Millisecond, 20 * mib, true},      // at rest
		{5 * time.Millisecond, 12 * mib, false}, // what resting needs is known now
		{time.Millisecond, 13 * mib, false},
		{time.Second, 25 * mib, false}, // logins
		{time.Second, 25 * mib, false},
		{time.Millisecond, 25 * mib, true},
		{time.Second, 22 * mib, false}, // logins again at once, which are not what resting needs
		{time.Millisecond, 22 * mib, true},
		{time.Millisecond, 12 * mib, false},
	} {
		now := usage{r.last.processor + step.work, step.file}
		if due := r.due(now); due != step.due {
			t.Errorf("step %d: due is %v, want %v", i, due, step.due)
		}
	}
}

func TestRestEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 10*interval)
		defer stop()
		if err := Rest(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestMeasure(t *testing.T) {
	before, err := measure()
	if err != nil {
		t.Fatal(err)
	}
	sum := byte(0)
	for begun := time.Now(); time.Since(begun) < 20*time.Millisecond; {
		for _, b := range sha256.Sum256([]byte{sum}) {
			sum ^= b
		}
	}
	after, err := measure()
	if err != nil {
		t.Fatal(err)
	}
	if before.file <= 0 || after.processor <= before.processor {
		t.Errorf("measured %+v, then %+v", before, after)
	}
}
