package pool

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-ldap/ldap/v3"

	"dex/internal/connector"
	"dex/internal/faulttest"
)

// A server that advertises pages and refuses them to the service account made every login with groups fail.
var _ = faulttest.Add("C-02", func(t *testing.T) {
	largest := func(size int, code uint16) func(int) uint16 {
		return func(asked int) uint16 {
			if asked > size {
				return code
			}
			return 0
		}
	}
	for _, code := range []uint16{1, 2, 11, 12, 53, 80} {
		for size, want := range map[int]struct {
			first, second []int // sizes of pages that the first search asks for, and another one
		}{
			0:   {[]int{500, 100}, nil},
			100: {[]int{500, 100, 100, 100}, []int{100, 100, 100}},
			499: {[]int{500, 100, 100, 100}, []int{100, 100, 100}},
		} {
			t.Run(fmt.Sprint("code ", code, ", pages up to ", size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, g := newFake(), newFake()
					f.entries, f.refusePage = 250, largest(size, code)
					p := newPool(t, nil, f, g)
					mustSearch(t, p, 250)
					if !slices.Equal(f.pageSizes, want.first) {
						t.Errorf("asked for pages of %v, want %v", f.pageSizes, want.first)
					}
					f.pageSizes = nil
					mustSearch(t, p, 250)
					if !slices.Equal(f.pageSizes, want.second) {
						t.Errorf("later asked for pages of %v, want %v", f.pageSizes, want.second)
					}
					if g.dialed > 0 {
						t.Error("the other host was asked")
					}
				})
			})
		}
	}
	t.Run("without pages there is too much", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			f.entries, f.refusePage = maxEntries+1, largest(0, 11)
			p := newPool(t, nil, f)
			for range 2 {
				_, err := p.Search(t.Context(), people())
				if !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) || !strings.Contains(err.Error(), "pages are not for you") {
					t.Errorf("error %v, want both answers", err)
				}
			}
			f.set(func() { f.entries, f.refusePage = 1200, nil })
			mustSearch(t, p, 1200) // which the server now allows
			if last := f.pageSizes[len(f.pageSizes)-1]; last != defaultPageSize {
				t.Errorf("the last page was of %d", last)
			}
		})
	})
	t.Run("the pages are not to blame", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, code := range []uint16{ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultReferral} {
				f := newFake()
				f.refusePage = largest(0, code)
				_, err := newPool(t, nil, f).Search(t.Context(), people())
				if !ldap.IsErrorWithCode(err, code) || len(f.pageSizes) != 1 {
					t.Errorf("error %v after pages of %v", err, f.pageSizes)
				}
			}
		})
	})
	t.Run("settings", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for size, want := range map[int][]int{-1: nil, 150: {150, 150}, 300: {300}} {
				f := newFake()
				f.entries = 250
				p := newPool(t, func(s *Settings) { s.PageSize = size }, f)
				mustSearch(t, p, 250)
				if !slices.Equal(f.pageSizes, want) {
					t.Errorf("page size %d: asked for pages of %v, want %v", size, f.pageSizes, want)
				}
			}
		})
	})
})

// A server that always has one more empty page was asked for as long as the browser waited.
var _ = faulttest.Add("C-17", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.endless = true
		p := newPool(t, nil, f)
		if err := p.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := p.Search(t.Context(), people())
		if err == nil || !strings.Contains(err.Error(), "claims that there are more") || connector.OutcomeOf(err) != connector.Broken {
			t.Errorf("error %v", err)
		}
		if want := maxEntries/defaultPageSize + sparePages; len(f.pageSizes) != want {
			t.Errorf("%d pages, want %d", len(f.pageSizes), want)
		}
		synctest.Wait()
		if f.openNow() != 0 {
			t.Error("the connection with the open search is kept")
		}
	})
})

// The next host was not asked if the first one said that it can't do the operation, or did not know the service account.
var _ = faulttest.Add("C-16", func(t *testing.T) {
	for _, code := range searchFailures {
		t.Run(fmt.Sprint("search, ", code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, g := newFake(), newFake()
				f.search, g.entries = code, 2
				p := newPool(t, nil, f, g)
				mustSearch(t, p, 2)
				synctest.Wait()
				if f.openNow() != 1 {
					t.Error("one search that a host can't do has cost its connections")
				}
				f.set(func() { f.search, f.entries = 0, 3 })
				mustSearch(t, p, 3) // the host is not left alone for it
				f.search, g.search = code, code
				if _, err := p.Search(t.Context(), people()); !ldap.IsErrorWithCode(err, code) || !strings.Contains(err.Error(), "b:389") {
					t.Errorf("all hosts: error %v", err)
				}
			})
		})
	}
	for _, code := range []uint16{1, 49, 53, 80} {
		t.Run(fmt.Sprint("service account, ", code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, g := newFake(), newFake()
				f.binds[accountDN], g.entries = bindAnswer{code: code}, 2
				mustSearch(t, newPool(t, nil, f, g), 2)
			})
		})
	}
	for _, code := range []uint16{1, 80} {
		t.Run(fmt.Sprint("user, ", code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, g := newFake(), newFake()
				f.binds[userDN] = bindAnswer{code: code}
				p := newPool(t, nil, f, g)
				if err := p.Bind(t.Context(), userDN, userPW); err != nil {
					t.Errorf("right password: %v", err)
				}
				err := p.Bind(t.Context(), userDN, "not hers")
				if _, ok := errors.AsType[*Refused](err); !ok {
					t.Errorf("wrong password: %v", err)
				}
			})
		})
	}
})
