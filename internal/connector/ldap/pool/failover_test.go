package pool

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-ldap/ldap/v3"
)

func TestFailover(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(*fake)
	}{
		{"killed", (*fake).kill},
		{"silent", func(f *fake) { f.set(func() { f.silent = true }) }},
		{"dies at once", func(f *fake) { f.set(func() { f.dieAfter = 1 }) }},
		{"busy", func(f *fake) { f.answerAll(ldap.LDAPResultBusy) }},
		{"unavailable", func(f *fake) { f.answerAll(ldap.LDAPResultUnavailable) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, g := newFake(), newFake()
				g.entries = 2
				c.harm(f)
				p := newPool(t, nil, f, g)
				mustSearch(t, p, 2)
				if err := p.Bind(t.Context(), userDN, userPW); err != nil {
					t.Errorf("bind: %v", err)
				}
				if err := p.Probe(t.Context()); err != nil {
					t.Errorf("probe: %v", err)
				}
			})
		})
		t.Run(c.name+" later", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, g := newFake(), newFake()
				g.entries = 2
				p := newPool(t, nil, f, g)
				mustSearch(t, p, 0)
				c.harm(f)
				mustSearch(t, p, 2)
			})
		})
	}
}

// answerAll gives the same result code to all searches and users.
func (f *fake) answerAll(code uint16) {
	f.set(func() { f.search, f.binds[userDN] = code, bindAnswer{code: code} })
}

func TestNoFailoverForAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := newFake(), newFake()
		f.search = ldap.LDAPResultNoSuchObject
		p := newPool(t, nil, f, g)
		_, err := p.Search(t.Context(), people())
		if !ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
			t.Errorf("error %v", err)
		}
		bad := people()
		bad.Filter = "(uid"
		if _, err := p.Search(t.Context(), bad); !ldap.IsErrorWithCode(err, ldap.ErrorFilterCompile) {
			t.Errorf("bad filter: error %v", err)
		}
		if err := p.Bind(t.Context(), userDN, "not hers"); err == nil {
			t.Error("a wrong password is right")
		}
		if g.dialed != 0 || f.dialed != 2 {
			t.Errorf("%d and %d connections, want 2 and 0", f.dialed, g.dialed)
		}
	})
}

func TestKilledInMidOperation(t *testing.T) {
	t.Parallel()
	f, g := newFake(), newFake()
	f.entries, g.entries = 600, 600 // two pages
	p := newPool(t, nil, f, g)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 4 {
				if found, err := p.Search(t.Context(), people()); err != nil || len(found.Entries) != 600 {
					t.Errorf("search: %v", err)
				}
				if err := p.Bind(t.Context(), userDN, userPW); err != nil {
					t.Errorf("bind: %v", err)
				}
			}
		})
	}
	wg.Go(func() {
		for len(f.requests()) == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		f.kill()
	})
	wg.Wait()
	if len(g.requests()) == 0 {
		t.Error("the other host was never asked")
	}
}

func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f, g := newFake(), newFake()
		f.refuseDial = true
		p := newPool(t, func(s *Settings) { s.Log = slog.New(slog.NewTextHandler(&log, nil)) }, f, g)
		// One second, two, four and so on until half a minute.
		var dialed []int
		for range 120 {
			mustSearch(t, p, 0)
			dialed = append(dialed, f.dialed)
			time.Sleep(time.Second)
		}
		for second, want := range map[int]int{0: 1, 1: 2, 2: 2, 3: 3, 6: 3, 7: 4, 15: 5, 31: 6, 60: 6, 61: 7, 91: 8} {
			if dialed[second] != want {
				t.Errorf("%d attempts in the first %d seconds, want %d", dialed[second], second, want)
			}
		}

		f.set(func() { f.refuseDial = false })
		g.requests()
		time.Sleep(lastPause)
		for range 2 {
			mustSearch(t, p, 0)
			if len(f.requests()) == 0 || len(g.requests()) > 0 {
				t.Error("the preferred host works again, but is not used")
			}
		}
		for _, want := range []string{"LDAP server fails", "a:389", "connection refused", "LDAP server works again"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %q", want)
			}
		}
	})
}

// TestOneTriesAFailedHost has many callers at the end of the pause of a host that hangs.
func TestOneTriesAFailedHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := newFake(), newFake()
		f.silent = true
		p := newPool(t, nil, f, g)
		mustSearch(t, p, 0) // waits for f in vain
		time.Sleep(firstPause)
		slow := make(chan bool, 10)
		for range 10 {
			go func() {
				began := time.Now()
				if _, err := p.Search(t.Context(), people()); err != nil {
					t.Errorf("search: %v", err)
				}
				slow <- time.Since(began) > 0
			}()
		}
		waited := 0
		for range 10 {
			if <-slow {
				waited++
			}
		}
		if waited != 1 {
			t.Errorf("%d searches waited for the host that hangs, want 1", waited)
		}
	})
}

func TestAllHostsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := newFake(), newFake()
		f.refuseDial, g.refuseDial = true, true
		p := newPool(t, nil, f, g)
		_, err := p.Search(t.Context(), people())
		if err == nil || !strings.Contains(err.Error(), "a:389") || !strings.Contains(err.Error(), "b:389") {
			t.Errorf("error %v, want one that names both hosts", err)
		}
		time.Sleep(10 * time.Millisecond)
		f.set(func() { f.refuseDial = false })
		mustSearch(t, p, 0) // though both are to be left alone

		f.kill()
		time.Sleep(10 * time.Millisecond)
		before := g.dialed
		if _, err := p.Search(t.Context(), people()); err == nil {
			t.Error("a search without servers succeeds")
		}
		if g.dialed != before+1 {
			t.Error("the host that failed longest ago was not tried")
		}
	})
}
