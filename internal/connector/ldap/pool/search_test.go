package pool

import (
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-ldap/ldap/v3"
)

func TestPages(t *testing.T) {
	for _, c := range []struct {
		name     string
		noPaging bool
		entries  int
		requests int // searches, besides that of the root DSE
	}{
		{"nothing", false, 0, 1},
		{"one page", false, defaultPageSize, 1},
		{"one more", false, defaultPageSize + 1, 2},
		{"as many as may be", false, maxEntries, maxEntries / defaultPageSize},
		{"server without pages", true, 1200, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.entries, f.noPaging = c.entries, c.noPaging
				p := newPool(t, nil, f)
				mustSearch(t, p, c.entries)
				asked := slices.DeleteFunc(f.requests(), func(s string) bool { return s != "search dc=example,dc=org" })
				if len(asked) != c.requests {
					t.Errorf("%d searches, want %d", len(asked), c.requests)
				}
			})
		})
	}
}

func TestTooManyEntries(t *testing.T) {
	for _, c := range []struct {
		name               string
		noPaging, heedless bool
		sizeLimit          int
		want, open         int // entries, and connections after that
	}{
		{"with pages", false, false, 0, maxEntries, 0},
		{"without pages", true, false, 0, maxEntries, 1},
		{"from a server that heeds no limit", true, true, 0, maxEntries, 0},
		{"than the caller wants", false, false, 2, 2, 1},
		{"than the caller wants, of more than a page", false, false, 700, 700, 0},
		{"than the caller wants, from a server that heeds no limit", false, true, 2, 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, g := newFake(), newFake()
				f.entries, f.noPaging, f.heedless = maxEntries+1, c.noPaging, c.heedless
				p := newPool(t, nil, f, g)
				request := people()
				request.SizeLimit = c.sizeLimit
				found, err := p.Search(t.Context(), request)
				if !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
					t.Fatalf("error %v, want sizeLimitExceeded", err)
				}
				if len(found.Entries) != c.want {
					t.Errorf("%d entries, want %d", len(found.Entries), c.want)
				}
				if g.dialed > 0 {
					t.Error("the other host was asked too")
				}
				synctest.Wait()
				if f.openNow() != c.open {
					t.Errorf("%d connections are open, want %d: one in the middle of an answer must not be kept", f.openNow(), c.open)
				}
				f.set(func() { f.entries = 1 })
				mustSearch(t, p, 1)
			})
		})
	}
}

// TestTooMuchData sends a message that claims to be larger than any that a server should send.
func TestTooMuchData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, nil, newFake())
		p.dial = dialerOf(func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1000))
			_, _ = c.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff})
			_, _ = c.Read(make([]byte, 1000))
		})
		if err := p.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "greater than maximum") {
			t.Errorf("error %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, nil, newFake())
		p.dial = dialerOf(func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1000))
			// An endless stream of answers to no request.
			flood := slices.Repeat(result(99, ldap.ApplicationBindResponse, 0, strings.Repeat("x", 100_000)).Bytes(), 10)
			for {
				if _, err := c.Write(flood); err != nil {
					return
				}
			}
		})
		if err := p.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 64 MiB") {
			t.Errorf("error %v", err)
		}
	})
}
