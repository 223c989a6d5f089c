//go:build unix

package storetest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dex/internal/store"
)

// Bench measures a backend with records like those of a refresh token, with one and with eight callers. Beside the time
// it reports the processor time of an operation, which is what remains when the disk is faster or slower.
func Bench(b *testing.B, open func(b *testing.B) store.Store) {
	const stored = 10_000
	for _, op := range []struct {
		name  string
		setUp int // records to create before
		run   func(s store.Store, records []store.Record, i int) error
	}{
		{"Create", 0, func(s store.Store, records []store.Record, i int) error {
			_, err := s.Create(b.Context(), benchRecord(i))
			return err
		}},
		{"Get", stored, func(s store.Store, records []store.Record, i int) error {
			_, err := s.Get(b.Context(), benchKind, records[i%stored].Key)
			return err
		}},
		{"ListOwner", stored, func(s store.Store, records []store.Record, i int) error {
			_, err := s.List(b.Context(), benchKind, store.Query{Owner: records[i%stored].Owner})
			return err
		}},
		{"Replace", stored, func(s store.Store, records []store.Record, i int) (err error) {
			r := &records[i%stored] // far enough from each other not to meet
			r.Revision, err = s.Replace(b.Context(), *r)
			return err
		}},
	} {
		for _, callers := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/callers=%d", op.name, callers), func(b *testing.B) {
				s := open(b)
				records := benchRecords(b, s, op.setUp)
				measure(b, callers, func(i int) error { return op.run(s, records, i) })
			})
		}
	}
}

const benchKind = "refresh"

func benchRecord(i int) store.Record {
	return store.Record{
		Kind: benchKind,
		// Keys are random in use; this spreads them.
		Key:     fmt.Sprintf("%08x-refresh-token", uint32(i)*2654435761), //nolint:gosec // G115: meant to wrap around
		Owner:   fmt.Sprintf("user-%d", i%1000),
		Expires: time.Now().Add(24 * time.Hour),
		Data:    []byte(`{"claims":"` + strings.Repeat("x", 700) + `"}`),
	}
}

func benchRecords(b *testing.B, s store.Store, n int) []store.Record {
	b.Helper()
	records := make([]store.Record, n)
	var creating sync.WaitGroup
	const writers = 64
	for w := range writers {
		creating.Go(func() {
			for i := w; i < n; i += writers {
				var err error
				records[i] = benchRecord(i)
				if records[i].Revision, err = s.Create(b.Context(), records[i]); err != nil {
					b.Errorf("Create: %v", err)
				}
			}
		})
	}
	creating.Wait()
	return records
}

// measure runs the operation b.N times, by a number of callers.
func measure(b *testing.B, callers int, run func(i int) error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime(b)
	var calling sync.WaitGroup
	var next atomic.Int64
	for range callers {
		calling.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := run(int(i)); err != nil {
					b.Errorf("operation %d: %v", i, err)
				}
			}
		})
	}
	calling.Wait()
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
