package app_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/faulttest"
	"dex/internal/store"
)

// readOnly is a storage that can be read but not written to while it is told so.
type readOnly struct {
	store.Store
	full   atomic.Bool
	writes atomic.Int64
}

func (r *readOnly) Create(ctx context.Context, record store.Record) (string, error) {
	r.writes.Add(1)
	if r.full.Load() {
		return "", errors.New("disk full")
	}
	return r.Store.Create(ctx, record)
}

// A server whose storage took no writes any more, such as on a full disk, said that it was ready.
var _ = faulttest.Add("O3", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stored := &readOnly{}
		a := open(t, configuration, func(s store.Store) store.Store {
			stored.Store = s
			return stored
		})
		h := a.Handler()
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { a.RunChecks(ctx) })
		defer func() {
			stop()
			running.Wait()
		}()
		web, operators := &server{t: t, handler: h}, &server{t: t, handler: a.Telemetry()}
		write := func(status int) {
			t.Helper()
			web.postForm("/dex/device/code", form("client_id", "app", "scope", "openid")).wantStatus(status)
		}
		write(http.StatusOK)
		time.Sleep(time.Minute)
		operators.get("/healthz/ready").wantStatus(http.StatusOK)
		idle := stored.writes.Load()
		time.Sleep(10 * time.Minute)
		if n := stored.writes.Load() - idle; n != 0 {
			t.Errorf("%d writes by checks of a storage that works", n)
		}

		stored.full.Store(true)
		write(http.StatusInternalServerError)
		time.Sleep(20 * time.Second)
		ready := operators.get("/healthz/ready").wantStatus(http.StatusServiceUnavailable)
		if !strings.Contains(ready.body, "disk full") {
			t.Errorf("ready says %s", ready.body)
		}
		time.Sleep(10 * time.Minute)
		operators.get("/healthz/ready").wantStatus(http.StatusServiceUnavailable)

		// Nobody is sent here any more, and yet it gets ready again.
		stored.full.Store(false)
		time.Sleep(20 * time.Second)
		operators.get("/healthz/ready").wantStatus(http.StatusOK)
	})
})
