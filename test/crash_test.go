package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// A device has a login: the newest refresh token that it has received.
type device struct{ token string }

// A fleet is a number of devices that sign in and refresh while the server is killed.
type fleet struct {
	dex    *dex
	killed atomic.Bool // no answers are expected any more

	mu      sync.Mutex
	devices []*device
	cut     int // requests that the kill left without an answer
}

// TestKillLosesNoLogin kills the server in the middle of logins and refreshes, several times with the same file. No device
// may lose what it received, and a refresh whose answer got lost can be repeated.
func TestKillLosesNoLogin(t *testing.T) {
	t.Parallel()
	const rounds, loginsPerRound = 3, 60
	c := newConfiguration(t).withoutConsent().withReuseInterval("60s")
	f := &fleet{dex: startDex(t, c)}
	keys := f.dex.keyIDs(t)
	for round := range rounds {
		before := len(f.devices)
		f.runUntilKilled(t, before+loginsPerRound)
		f.dex = startDex(t, c)
		if after := f.dex.keyIDs(t); !slices.Equal(keys, after) {
			t.Errorf("round %d: the keys are %v, and were %v", round, after, keys)
		}
		f.checkAll(t)
		if t.Failed() {
			return
		}
		t.Logf("round %d: %d new logins, all alive", round, len(f.devices)-before)
	}
	if f.cut == 0 {
		t.Error("no kill came in the middle of a request, so this has shown nothing")
	}
}

// runUntilKilled lets devices sign in until there are enough, then kills the server.
func (f *fleet) runUntilKilled(t *testing.T, enough int) {
	t.Helper()
	f.killed.Store(false)
	failed := make(chan error, 1)
	go func() {
		failed <- crowd(t.Context(), crowdSize, func(ctx context.Context, _ int) error { return f.keepComing(ctx) })
	}()
	eventually(t, 2*patience, fmt.Sprintf("%d logins", enough), func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.devices) >= enough
	})
	f.killed.Store(true)
	f.dex.kill(t)
	if err := <-failed; err != nil {
		t.Fatalf("before the kill: %v", err)
	}
}

// keepComing signs in devices one after the other, with one refresh each, until the server is killed.
func (f *fleet) keepComing(ctx context.Context) error {
	for !f.killed.Load() {
		err := f.signInDevice(ctx)
		if err != nil && !f.killed.Load() {
			return err
		}
		if err != nil {
			f.mu.Lock()
			f.cut++
			f.mu.Unlock()
		}
	}
	return nil
}

func (f *fleet) signInDevice(ctx context.Context) error {
	tokens, err := f.dex.login(ctx, "mock")
	if err != nil {
		return err
	}
	d := &device{token: tokens.RefreshToken}
	f.mu.Lock()
	f.devices = append(f.devices, d)
	f.mu.Unlock()
	return f.refreshDevice(ctx, d)
}

// refreshDevice refreshes a device, which keeps its token if no answer comes.
func (f *fleet) refreshDevice(ctx context.Context, d *device) error {
	next, err := f.dex.refresh(ctx, d.token)
	if err != nil {
		return err
	}
	if next.status != http.StatusOK {
		return fmt.Errorf("refresh: status %d, error %q", next.status, next.Error)
	}
	d.token = next.RefreshToken
	return nil
}

// checkAll presents every device's newest token. It may or may not have been rotated before the kill.
func (f *fleet) checkAll(t *testing.T) {
	t.Helper()
	err := crowd(t.Context(), len(f.devices), func(ctx context.Context, i int) error {
		if err := f.refreshDevice(ctx, f.devices[i]); err != nil {
			return fmt.Errorf("device %d of %d after the restart: %w", i+1, len(f.devices), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// keyIDs returns the sorted ids of the keys at jwks_uri.
func (d *dex) keyIDs(t *testing.T) []string {
	t.Helper()
	status, body := d.fetch(t, d.endpoint("/keys"))
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal([]byte(body), &set); err != nil || status != http.StatusOK || len(set.Keys) == 0 {
		t.Fatalf("/keys answers %d, %d keys, %v", status, len(set.Keys), err)
	}
	var ids []string
	for _, key := range set.Keys {
		ids = append(ids, key.ID)
	}
	slices.Sort(ids)
	return ids
}
