package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"dex/internal/store"
)

// faulty is a storage that fails once, at an operation of choice.
type faulty struct {
	store.Store
	failAt int  // which operation from now on; 0 for none
	late   bool // the operation happens, and fails all the same
	failed bool
	wrote  bool // what failed was a write that happened
}

var errFault = errors.New("storage fault")

// fault counts an operation and says whether it is the one that fails.
func (f *faulty) fault() bool {
	if f.failAt == 0 {
		return false
	}
	f.failAt--
	f.failed = f.failed || f.failAt == 0
	return f.failAt == 0
}

// do runs an operation, or fails it before or after.
func (f *faulty) do(operation func() error) error {
	fails := f.fault()
	if fails && !f.late {
		return errFault
	}
	err := operation()
	if fails {
		return errFault
	}
	return err
}

// maybeSettled reports whether the fault may have gone unnoticed: a write that happened is looked for when its answer got
// lost.
func (f *faulty) maybeSettled() bool { return f.failed && f.wrote }

func (f *faulty) write(operation func() error) error {
	failed := f.failed
	err := f.do(operation)
	f.wrote = f.wrote || f.late && f.failed && !failed
	return err
}

func (f *faulty) Get(ctx context.Context, kind, key string) (r store.Record, err error) {
	err = f.do(func() (err error) { r, err = f.Store.Get(ctx, kind, key); return err })
	return r, err
}

func (f *faulty) Create(ctx context.Context, r store.Record) (revision string, err error) {
	err = f.write(func() (err error) { revision, err = f.Store.Create(ctx, r); return err })
	return revision, err
}

func (f *faulty) Replace(ctx context.Context, r store.Record) (revision string, err error) {
	err = f.write(func() (err error) { revision, err = f.Store.Replace(ctx, r); return err })
	return revision, err
}

func (f *faulty) List(ctx context.Context, kind string, q store.Query) (records []store.Record, err error) {
	err = f.do(func() (err error) { records, err = f.Store.List(ctx, kind, q); return err })
	return records, err
}

func (f *faulty) Delete(ctx context.Context, kind, key, revision string) error {
	return f.write(func() error { return f.Store.Delete(ctx, kind, key, revision) })
}

// A storage that fails at any one operation of a login or a refresh, before or after doing it, never leads to a code or a
// token in the answer to that request, unless it is a write that is seen to have happened; and the answer says that it was
// our fault.
func TestStorageFaultsFailClosed(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%t", late), func(t *testing.T) {
			for n := 1; ; n++ {
				if !loginWithFault(t, n, late) {
					if n < 8 {
						t.Errorf("a login and a refresh took only %d operations: were they counted?", n-1)
					}
					return
				}
			}
		})
	}
}

// loginWithFault signs in and refreshes while the nth operation fails, up to the request that it hits. It reports whether
// there were so many operations.
func loginWithFault(t *testing.T, n int, late bool) bool {
	t.Helper()
	var f *faulty
	s := startOn(t, configuration, func(inner store.Store) store.Store {
		f = &faulty{Store: inner, late: late}
		return f
	})
	f.failAt = n
	b := s.browser()

	a := b.visit(authPath("connector_id", "mock"))
	steps := []func() answer{
		func() answer { return b.visit(a.path()) },
		func() answer { return b.post(a.path(), url.Values{"approval": {"approve"}}) },
		func() answer { return s.token(codeForm(a.location().Query().Get("code"))) },
		func() answer { return s.token(refreshForm(a.text("refresh_token"))) },
	}
	for _, step := range steps {
		if f.failed {
			break
		}
		a = step()
	}
	if !f.failed {
		a.wantStatus(http.StatusOK)
		return false
	}
	if f.maybeSettled() && a.status < http.StatusBadRequest {
		return true
	}
	answered := a.body + a.header.Get("Location")
	if strings.Contains(answered, "_token") || strings.Contains(answered, "code=") {
		t.Errorf("operation %d failed, and the answer is %d %s", n, a.status, answered)
	}
	if a.status < http.StatusInternalServerError && !strings.Contains(answered, "error=server_error") {
		t.Errorf("operation %d failed, and the answer blames somebody else: %d %s", n, a.status, answered)
	}
	return true
}
