package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"dex/test/servers"
)

// pool is the storages' servers, which all tests share. TestMain closes it.
var pool servers.Pool

// storages are all storage types.
var storages = append([]string{"memory", "sqlite3"}, servers.Kinds...)

// sharedStorages are those that replicas on several machines can share.
var sharedStorages = servers.Kinds

// withStorage gives the server an empty storage of a type.
func (c *configuration) withStorage(t *testing.T, kind string) *configuration {
	t.Helper()
	if kind == "sqlite3" {
		return c // the default
	}
	storage := section{"type": kind}
	if kind != "memory" {
		text, err := pool.Storage(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		storage = nil
		if err := json.Unmarshal([]byte(text), &storage); err != nil {
			t.Fatal(err)
		}
	}
	c.root["storage"] = storage
	return c
}

// onEach runs a test on each of the storages, one after the other.
func onEach(t *testing.T, kinds []string, test func(t *testing.T, kind string)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) { test(t, kind) })
	}
}

// TestManyLoginsOfOneUserAtOnce shows that any number of one user's devices don't get in each other's way.
func TestManyLoginsOfOneUserAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, storages, func(t *testing.T, kind string) {
		const logins = 300
		d := startDex(t, newConfiguration(t).withoutConsent().withStorage(t, kind))
		var mu sync.Mutex
		seen := map[string]bool{}
		err := crowd(t.Context(), logins, func(ctx context.Context, i int) error {
			tokens, err := d.login(ctx, "mock")
			if err != nil {
				return fmt.Errorf("login %d: %w", i, err)
			}
			next, err := d.refresh(ctx, tokens.RefreshToken)
			if err != nil {
				return fmt.Errorf("refresh %d: %w", i, err)
			}
			if next.status != http.StatusOK {
				return fmt.Errorf("refresh %d: status %d, error %q", i, next.status, next.Error)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[tokens.RefreshToken], seen[next.RefreshToken] = true, true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) != 2*logins {
			t.Errorf("%d logins and refreshes gave %d different refresh tokens, want %d", logins, len(seen), 2*logins)
		}
	})
}

// TestStateSurvivesTheServer shows that a restarted server continues with its keys and logins.
func TestStateSurvivesTheServer(t *testing.T) {
	t.Parallel()
	onEach(t, slices.DeleteFunc(slices.Clone(storages), func(kind string) bool { return kind == "memory" }),
		func(t *testing.T, kind string) {
			c := newConfiguration(t).withoutConsent().withStorage(t, kind)
			d := startDex(t, c)
			keys, tokens := d.keyIDs(t), d.mustLogin(t, "local")
			d.stop(t)
			d = startDex(t, c)
			if again := d.keyIDs(t); !slices.Equal(keys, again) {
				t.Errorf("the keys are %v, and were %v", again, keys)
			}
			if next := d.mustRefresh(t, tokens.RefreshToken); next.status != http.StatusOK {
				t.Errorf("refresh: status %d, error %q", next.status, next.Error)
			}
		})
}
