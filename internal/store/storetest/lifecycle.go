package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dex/internal/store"
)

// everyCall calls each method of the store but Close, with a revision that fits the record "a" if it is there.
func (f *fixture) everyCall(ctx context.Context, revision string) map[string]error {
	r := f.record("a")
	r.Revision = revision
	results := make(map[string]error)
	_, results["Get"] = f.Get(ctx, f.kind, "a")
	_, results["Create"] = f.Create(ctx, f.record("b"))
	_, results["Replace"] = f.Replace(ctx, r)
	results["Delete"] = f.Delete(ctx, f.kind, "a", "")
	_, results["List"] = f.List(ctx, f.kind, store.Query{})
	_, results["Sweep"] = f.Sweep(ctx, f.kind, time.Now(), 0)
	_, results["Expired"] = f.Expired(ctx, f.kind, time.Now(), 0)
	_, results["Discard"] = f.Discard(ctx, f.kind, []store.Record{r})
	_, results["Watch"] = f.Watch(ctx)
	results["Ping"] = f.Ping(ctx)
	return results
}

var contextCases = []testCase{
	{"EndedContextIsReported", func(f *fixture) {
		revision := f.create(f.record("a"))
		canceled, cancel := context.WithCancel(f.ctx)
		cancel()
		late, cancel := context.WithDeadline(f.ctx, time.Now().Add(-time.Second))
		defer cancel()
		for name, err := range f.everyCall(canceled, revision) {
			f.wantError(name+" with a canceled context", err, context.Canceled)
		}
		for name, err := range f.everyCall(late, revision) {
			f.wantError(name+" with a late context", err, context.DeadlineExceeded)
		}
		f.wantRecord(f.record("a"))
		f.wantNotFound("b")
	}},
	{"CancelUnderLoad", func(f *fixture) {
		atOnce(f.T, racers, func(i int) {
			for round := range 5 {
				ctx, cancel := context.WithTimeout(f.ctx, time.Duration(i*round)*10*time.Microsecond)
				r := f.record(fmt.Sprint(i))
				revision, err := f.Create(ctx, r)
				if err == nil && revision == "" {
					f.Error("Create: neither revision nor error")
				}
				if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, store.ErrExists) {
					f.Errorf("Create: %v", err)
				}
				if _, err := f.List(ctx, f.kind, store.Query{}); err != nil && !errors.Is(err, context.DeadlineExceeded) {
					f.Errorf("List: %v", err)
				}
				cancel()
			}
		})
		f.create(f.record("after"))
		f.wantRecord(f.record("after"))
	}},
	{"Ping", func(f *fixture) {
		if err := f.Ping(f.ctx); err != nil {
			f.Errorf("Ping: %v", err)
		}
	}},
}

var closeCases = []testCase{
	{"UseAfterCloseIsAnError", func(f *fixture) {
		revision := f.create(f.record("a"))
		if err := f.Close(); err != nil {
			f.Fatalf("Close: %v", err)
		}
		for name, err := range f.everyCall(f.ctx, revision) {
			f.wantError(name+" after Close", err, store.ErrClosed)
		}
		if err := f.Close(); err != nil {
			f.Errorf("Close again: %v", err)
		}
	}},
	{"CloseUnderLoad", func(f *fixture) {
		atOnce(f.T, racers, func(i int) {
			if i == racers/2 {
				if err := f.Close(); err != nil {
					f.Errorf("Close: %v", err)
				}
				return
			}
			for n := 0; ; n++ { // until the store says that it is closed
				r := f.record(fmt.Sprint(i, " ", n))
				if _, err := f.Create(f.ctx, r); err != nil {
					f.wantRefused("Create", err)
					return
				}
				if _, err := f.Get(f.ctx, f.kind, r.Key); err != nil {
					f.wantRefused("Get", err)
					return
				}
			}
		})
	}},
}
