package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-ldap/ldap/v3"
)

func TestConnectionsAreReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.entries = 1
		p := newPool(t, nil, f)
		for range 10 {
			mustSearch(t, p, 1)
			if err := p.Bind(t.Context(), userDN, userPW); err != nil {
				t.Fatal(err)
			}
		}
		if f.dialed != 2 {
			t.Errorf("%d connections were opened, want one for searches and one for passwords", f.dialed)
		}
		accountBinds := 0
		for _, asked := range f.requests() {
			if asked == "bind "+accountDN {
				accountBinds++
			}
		}
		if accountBinds != 1 {
			t.Errorf("the service account was bound %d times, want once", accountBinds)
		}
	})
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		p := newPool(t, nil, f)
		mustSearch(t, p, 0)
		time.Sleep(maxIdle - time.Second)
		synctest.Wait()
		if f.openNow() != 1 {
			t.Fatalf("%d connections are open a second before they are idle for too long, want 1", f.openNow())
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if f.openNow() != 0 {
			t.Errorf("%d idle connections are still open", f.openNow())
		}
	})
}

func TestOldConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		p := newPool(t, nil, f)
		for range 25 {
			mustSearch(t, p, 0)
			time.Sleep(maxIdle / 2)
		}
		if f.dialed != 2 {
			t.Errorf("%d connections were opened within 12 minutes, want 2: one lives 10 minutes", f.dialed)
		}
	})
}

func TestDeadIdleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		p := newPool(t, nil, f)
		// Closed by the server while idle.
		mustSearch(t, p, 0)
		f.set(func() {
			for _, c := range f.conns {
				_ = c.Close()
			}
		})
		synctest.Wait()
		mustSearch(t, p, 0)
		// Closed by the server at the next request: it takes a bind, a search and another, and then breaks.
		f.set(func() { f.dieAfter = 3 })
		for range 10 {
			mustSearch(t, p, 0)
		}
	})
}

func TestNeverTooManyConnections(t *testing.T) {
	t.Parallel()
	f, g := newFake(), newFake()
	f.entries, g.entries = 3, 3
	p := newPool(t, func(s *Settings) { s.MaxConnections = 4 }, f, g)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for range 10 {
				if _, err := p.Search(t.Context(), people()); err != nil {
					t.Errorf("search: %v", err)
				}
				if err := p.Bind(t.Context(), userDN, userPW); err != nil {
					t.Errorf("bind: %v", err)
				}
			}
			if i == 16 {
				f.kill()
			}
		})
	}
	wg.Wait()
	if f.mostOpen > 4 || g.mostOpen > 4 {
		t.Errorf("%d and %d connections were open at once, want 4", f.mostOpen, g.mostOpen)
	}
	for as, kept := range p.kept {
		if kept.open != len(kept.idle) || kept.open > kept.limit {
			t.Errorf("role %d: %d connections are counted as open and %d are idle", as, kept.open, len(kept.idle))
		}
	}
}

// TestRoomForAnother has idle connections that are of no use: bound as somebody else, or to another host.
func TestRoomForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := newFake(), newFake()
		p := newPool(t, func(s *Settings) { s.MaxConnections = 1 }, f, g)
		open := func() int {
			synctest.Wait()
			return f.openNow() + g.openNow()
		}
		for range 3 {
			mustSearch(t, p, 0)
			if err := p.Bind(t.Context(), userDN, userPW); err != nil {
				t.Fatal(err)
			}
			if open() != 1 {
				t.Errorf("%d connections are open, want 1", open())
			}
		}
		f.kill()
		mustSearch(t, p, 0)
		f.set(func() { f.refuseDial = false })
		time.Sleep(lastPause)
		mustSearch(t, p, 0)
		if open() != 1 || f.openNow() != 1 {
			t.Errorf("%d connections are open, %d to the preferred host; want 1", open(), f.openNow())
		}
	})
}

func TestWaitingForAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		p := newPool(t, func(s *Settings) { s.MaxConnections, s.OperationTimeout = 1, time.Hour }, f)
		mustSearch(t, p, 0)
		f.set(func() { f.silent = true })
		busy, free := context.WithCancel(t.Context())
		defer free()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = p.Search(busy, people()) })
		synctest.Wait()

		// The wait ends with the context.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := p.Bind(ctx, userDN, userPW); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("with a time-out of a second: error %v after %v", err, time.Since(began))
		}
		// It ends after a minute anyway.
		began = time.Now()
		if err := p.Bind(t.Context(), userDN, userPW); err == nil || !strings.Contains(err.Error(), "all 1 have been busy") {
			t.Errorf("error %v", err)
		}
		if time.Since(began) != maxWait {
			t.Errorf("waited %v", time.Since(began))
		}
		// First come, first served: the server knows the order.
		f.requests()
		for i := range 5 {
			wg.Go(func() {
				request := people()
				request.BaseDN = fmt.Sprintf("dc=%d", i)
				request.SizeLimit = 1
				if _, err := p.Search(t.Context(), request); err != nil {
					t.Errorf("search: %v", err)
				}
			})
			synctest.Wait()
		}
		f.set(func() { f.silent = false })
		free()
		wg.Wait()
		order := slices.DeleteFunc(f.requests(), func(asked string) bool { return !strings.HasPrefix(asked, "search dc=") })
		if want := []string{"search dc=0", "search dc=1", "search dc=2", "search dc=3", "search dc=4"}; !slices.Equal(order, want) {
			t.Errorf("served in the order %q", order)
		}
	})
}

func TestCancelledOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		p := newPool(t, nil, f)
		mustSearch(t, p, 0)
		f.set(func() { f.silent = true })
		for _, c := range []struct {
			name string
			do   func(context.Context) error
		}{
			{"search", func(ctx context.Context) error { _, err := p.Search(ctx, people()); return err }},
			{"bind", func(ctx context.Context) error { return p.Bind(ctx, userDN, userPW) }},
			{"probe, which has to connect first", p.Probe},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			began := time.Now()
			if err := c.do(ctx); !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
				t.Errorf("%s: error %v after %v, want the cancellation after 1s", c.name, err, time.Since(began))
			}
			synctest.Wait()
			if f.openNow() != 0 {
				t.Errorf("%s: the connection is still open", c.name)
			}
		}
		f.set(func() { f.silent = false })
		before := f.dialed
		mustSearch(t, p, 0)
		if f.dialed != before+1 {
			t.Error("a connection with an unanswered question was used again")
		}
	})
}

func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		p := newPool(t, nil, f)
		mustSearch(t, p, 0)
		if err := p.Bind(t.Context(), userDN, userPW); err != nil {
			t.Fatal(err)
		}
		f.set(func() { f.silent = true })
		began := time.Now()
		_, err := p.Search(t.Context(), people())
		if err == nil || !strings.Contains(err.Error(), "no answer within 10s") || !strings.Contains(err.Error(), "a:389") {
			t.Errorf("error %v", err)
		}
		if time.Since(began) != 10*time.Second {
			t.Errorf("gave up after %v", time.Since(began))
		}
		synctest.Wait()
		if f.openNow() != 0 {
			t.Errorf("%d connections to the host are still open; others would wait for it too", f.openNow())
		}
		if err := p.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "connection not ready within 10s") {
			t.Errorf("new connection: error %v", err)
		}
	})
}

func TestServiceAccount(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, g := newFake(), newFake()
			p := newPool(t, func(s *Settings) { s.BindPW = "wrong" }, f, g)
			_, err := p.Search(t.Context(), people())
			_, isRefused := errors.AsType[*Refused](err)
			if err == nil || isRefused {
				t.Fatalf("error %v, want one that does not blame the user", err)
			}
			for _, want := range []string{"service account", accountDN, "bindDN"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "wrong") {
				t.Errorf("error %q has the password", err)
			}
			if f.dialed != 1 || g.dialed != 1 {
				t.Errorf("%d and %d connections, want one to each: a server may know another password", f.dialed, g.dialed)
			}
		})
	})
	t.Run("locked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			f.binds[accountDN] = bindAnswer{code: ldap.LDAPResultInvalidCredentials, message: adMessage("775")}
			p := newPool(t, nil, f)
			err := p.Probe(t.Context())
			_, isRefused := errors.AsType[*Refused](err)
			if err == nil || isRefused || !strings.Contains(err.Error(), "account is locked") {
				t.Errorf("error %v", err)
			}
		})
	})
	t.Run("server unwilling", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, g := newFake(), newFake()
			f.binds[accountDN] = bindAnswer{code: ldap.LDAPResultUnwillingToPerform, message: "come back later"}
			p := newPool(t, nil, f, g)
			mustSearch(t, p, 0)
		})
	})
	t.Run("none", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			p := newPool(t, func(s *Settings) { s.BindDN, s.BindPW = "", "" }, f)
			mustSearch(t, p, 0)
			if asked := f.requests(); asked[0] != "bind " {
				t.Errorf("asked %q, want an anonymous bind first", asked)
			}
		})
	})
	t.Run("without password", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			p := newPool(t, func(s *Settings) { s.BindPW = "" }, f)
			if err := p.Probe(t.Context()); err == nil {
				t.Error("bound without a password")
			}
			if asked := f.requests(); len(asked) > 0 {
				t.Errorf("asked %q", asked)
			}
		})
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		p := newPool(t, nil, f)
		mustSearch(t, p, 0)
		f.set(func() { f.silent = true })
		var wg sync.WaitGroup
		var err error
		wg.Go(func() { _, err = p.Search(t.Context(), people()) })
		wg.Go(func() { _ = p.Bind(t.Context(), userDN, userPW) })
		synctest.Wait()
		if e := p.Close(); e != nil {
			t.Fatal(e)
		}
		wg.Wait()
		if err == nil || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("the busy connection ended with %v, want its own time-out", err)
		}
		f.set(func() { f.silent = false })
		mustSearch(t, p, 0) // by callers that began before
		synctest.Wait()
		if f.openNow() != 0 {
			t.Errorf("%d connections are open after Close", f.openNow())
		}
	})
}

func TestNoHosts(t *testing.T) {
	if err := New(Settings{}).Probe(t.Context()); err == nil {
		t.Error("a probe without hosts succeeds")
	}
}
