package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/app"
	"dex/internal/store"
	"dex/internal/store/memory"
)

// stormy returns how large the storm is: DEX_STORM changes and reloads, or few.
func stormy() int {
	if n, err := strconv.Atoi(os.Getenv("DEX_STORM")); err == nil {
		return n
	}
	return 300
}

// stormState is one of the states that the file has in the storm. The client's first secret is always one of its two.
func stormState(i int) string {
	return strings.NewReplacer(
		"secret: app-secret", fmt.Sprintf("secret: app-secret-%d, previousSecret: app-secret", i),
		"name: Other, config", fmt.Sprintf("name: State %d, config", i),
	).Replace(configuration)
}

// borrowed is the storage of another replica, which closes it.
type borrowed struct{ store.Store }

func (borrowed) Close() error { return nil }

// replicas starts servers with one storage and one file, and returns them with a handler that takes each request to the next one.
func replicas(t *testing.T, file string, count int) ([]*app.Core, http.Handler) {
	t.Helper()
	in := app.Input{File: file}
	shared := memory.New()
	t.Cleanup(func() { _ = shared.Close() })
	var all []*app.Core
	for i := range count {
		found, err := in.Read()
		if err != nil || found.Plan == nil {
			t.Fatal(err, app.Report(found.Problems))
		}
		wrap := func(own store.Store) store.Store {
			_ = own.Close()
			if i == 0 {
				return withKeys(t, found.Plan, nil)(borrowed{shared})
			}
			return borrowed{shared}
		}
		core, err := app.New(t.Context(), found.Plan, app.Options{Log: slog.New(slog.DiscardHandler), WrapStore: wrap, Input: in})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = core.Close() })
		all = append(all, core)
	}
	var next atomic.Int64
	return all, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all[int(next.Add(1))%count].Handler().ServeHTTP(w, r)
	})
}

// While the file changes 50 times a second, and one of five states is wrong, every login and every refresh succeeds on two replicas, and
// after the storm both have its last state within a second.
func TestReloadStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		changes := stormy()
		file := filepath.Join(t.TempDir(), "config.yaml")
		write := func(text string) {
			if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
				t.Error(err)
			}
			if err := os.Rename(file+".new", file); err != nil {
				t.Error(err)
			}
		}
		write(stormState(0))
		cores, handler := replicas(t, file, 2)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, core := range cores {
			running.Go(func() { core.Follow(ctx) })
		}
		first := cores[0].InForce()

		var logins atomic.Int64
		storm, calm := context.WithCancel(ctx)
		var people sync.WaitGroup
		const somebody = 4
		for range somebody {
			people.Go(func() {
				s := &server{t: t, handler: handler}
				for storm.Err() == nil {
					token := s.tokens().text("refresh_token")
					time.Sleep(40 * time.Millisecond)
					token = s.token(refreshForm(token)).wantStatus(http.StatusOK).text("refresh_token")
					time.Sleep(40 * time.Millisecond)
					s.token(refreshForm(token)).wantStatus(http.StatusOK)
					time.Sleep(40 * time.Millisecond)
					logins.Add(1)
				}
			})
		}
		for i := range changes {
			if i%5 == 3 {
				write("issuer: [")
			} else {
				write(stormState(i))
			}
			time.Sleep(20 * time.Millisecond)
		}
		last := fmt.Sprint("State ", changes)
		write(stormState(changes))
		time.Sleep(time.Second)
		calm()
		people.Wait()
		for i, core := range cores {
			s := &server{t: t, handler: core.Handler()}
			if page := s.get(authPath()); !strings.Contains(page.body, last) {
				t.Errorf("replica %d doesn't have the last state in force", i)
			}
		}
		if cores[0].InForce() == first {
			t.Error("nothing was ever applied")
		}
		t.Logf("%d changes, %d logins with two refreshes each", changes, logins.Load())
		if want := int64(changes) / 5; logins.Load() < want {
			t.Errorf("only %d logins, want %d", logins.Load(), want)
		}
		stop()
		running.Wait()
	})
}

// Reloads leave nothing behind in memory. It is not parallel, as others would use memory meanwhile.
func TestReloadsLeaveNothing(t *testing.T) {
	c := startConfigured(t, stormState(0), nil)
	reload := func(from, to int) {
		for i := from; i < to; i++ {
			text := stormState(i) + fmt.Sprintf("frontend: {issuer: Name %d}\n", i/10) // new pages are what takes longest
			if i%5 == 3 {
				text = "issuer: ["
			}
			c.write(t, "config.yaml", text)
			if _, err := c.core.Reload(t.Context()); (err != nil) != (i%5 == 3) {
				t.Fatal(i, err)
			}
			c.log.take()
		}
	}
	used := func() int64 {
		var m runtime.MemStats
		for range 3 { // what has a finalizer or a pool takes more than one
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	reload(0, 100)
	before, routines := used(), runtime.NumGoroutine()
	began := time.Now()
	reload(100, 100+stormy())
	took := time.Since(began)
	after := used()
	t.Logf("%d reloads, %v each, %d KiB more in use, %d goroutines more", stormy(), took/time.Duration(stormy()), (after-before)>>10,
		runtime.NumGoroutine()-routines)
	if grown := after - before; grown > 2<<20 {
		t.Errorf("%d KiB more are in use", grown>>10)
	}
	if more := runtime.NumGoroutine() - routines; more > 5 {
		t.Errorf("%d goroutines more", more)
	}
}
