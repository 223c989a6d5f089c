package app_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/faulttest"
	"dex/internal/store"
)

// counted counts what is done with devices.
type counted struct {
	store.Store
	reads, writes atomic.Int64
}

func (c *counted) Get(ctx context.Context, kind, key string) (store.Record, error) {
	if kind == "device" {
		c.reads.Add(1)
	}
	return c.Store.Get(ctx, kind, key)
}

func (c *counted) Replace(ctx context.Context, r store.Record) (string, error) {
	if r.Kind == "device" {
		c.writes.Add(1)
	}
	return c.Store.Replace(ctx, r)
}

// Each question of a device that asked too early was written down, without an end.
var _ = faulttest.Add("R12", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counted{}
		s := startOn(t, configuration, func(inner store.Store) store.Store { c.Store = inner; return c })
		code := s.device().text("device_code")
		s.token(pollForm(code)).wantError(400, "authorization_pending")
		for range 200 {
			time.Sleep(10 * time.Millisecond)
			s.token(pollForm(code)).wantError(400, "slow_down")
		}
		if reads, writes := c.reads.Load(), c.writes.Load(); reads > 20 || writes > 1 {
			t.Errorf("201 questions in two seconds are %d reads and %d writes", reads, writes)
		}
		time.Sleep(10 * time.Second)
		for range 10 { // in time
			s.token(pollForm(code)).wantError(400, "authorization_pending")
			time.Sleep(5 * time.Second)
		}
		limited := 0
		for range 400 {
			if s.token(pollForm(newUnknownCode())).status == 429 {
				limited++
			}
		}
		if limited < 90 {
			t.Errorf("of 400 questions at once from one address %d are refused", limited)
		}
	})
})

var unknownCodes atomic.Int64

// newUnknownCode returns a device code that nobody has.
func newUnknownCode() string {
	return time.Unix(unknownCodes.Add(1), 0).UTC().Format("20060102150405") + "bcdfghjk"
}
