package app_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/faulttest"
	"dex/internal/store"
)

// The second press of the consent page's button was an error page, though the first had let the application in.
var _ = faulttest.Add("P20", func(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, "oauth2: {responseTypes: [code, id_token]}\n")
		for name, more := range map[string][]string{
			"code": nil, "hybrid": {"response_type", "code id_token"},
		} {
			b := s.browser()
			page := b.consent(more...)
			first := b.post(page, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther).params()
			time.Sleep(5 * time.Second)
			second := b.post(page, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther).params()
			if first.Get("code") == "" || first.Get("code") != second.Get("code") || first.Get("state") != second.Get("state") {
				t.Errorf("%s: the second answer is %v, the first %v", name, second, first)
			}
			b.post(page, url.Values{"approval": {"rejected"}}).wantStatus(http.StatusBadRequest)
			s.token(codeForm(first.Get("code"))).wantStatus(http.StatusOK)
			s.token(codeForm(second.Get("code"))).wantError(http.StatusBadRequest, "invalid_grant")
			time.Sleep(time.Minute)
			b.post(page, url.Values{"approval": {"approve"}}).wantStatus(http.StatusBadRequest)
		}
	})
})

// A hanging storage carries out what it is asked for, and its answers come too late, as long as it hangs.
type hanging struct {
	store.Store
	kind  string // whose writes begin it
	armed atomic.Bool
	hangs atomic.Bool
}

func (h *hanging) answer(err error) error {
	if h.hangs.Load() {
		time.Sleep(10 * time.Second)
		return context.DeadlineExceeded
	}
	return err
}

func (h *hanging) Get(ctx context.Context, kind, key string) (store.Record, error) {
	r, err := h.Store.Get(ctx, kind, key)
	return r, h.answer(err)
}

func (h *hanging) Create(ctx context.Context, r store.Record) (string, error) {
	revision, err := h.Store.Create(ctx, r)
	h.begin(r.Kind)
	return revision, h.answer(err)
}

func (h *hanging) Replace(ctx context.Context, r store.Record) (string, error) {
	revision, err := h.Store.Replace(ctx, r)
	h.begin(r.Kind)
	return revision, h.answer(err)
}

func (h *hanging) begin(kind string) {
	if kind == h.kind && h.armed.CompareAndSwap(true, false) {
		h.hangs.Store(true)
	}
}

// A storage that hung in the middle of a consent, of the use of a code or of a rotation cost the login: the application, or
// the user, had an error, and the same request again was taken for a second use.
var _ = faulttest.Add("O1", func(t *testing.T) {
	testHanging(t, "{type: memory}")
})

var _ = faulttest.Add("O1", func(t *testing.T) {
	testHanging(t, fmt.Sprintf("{type: sqlite3, config: {file: %q}}", filepath.Join(t.TempDir(), "dex.db")))
})

func testHanging(t *testing.T, storage string) {
	for name, kind := range map[string]string{
		"consent": "login", "code": "code", "use of a code": "refresh", "use of a code without refresh token": "code", "rotation": "refresh",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hanging{kind: kind}
				s := startOn(t, strings.Replace(configuration, "{type: memory}", storage, 1), func(inner store.Store) store.Store { h.Store = inner; return h })
				b := s.browser()
				step := hangingStep(t, name, s, b)
				h.armed.Store(true)
				if a := step(); a.status < http.StatusInternalServerError {
					t.Fatalf("while the storage hangs: %d %s", a.status, a.body)
				}
				time.Sleep(25 * time.Second)
				h.hangs.Store(false)
				time.Sleep(10 * time.Second)
				first := step()
				if first.status >= http.StatusBadRequest {
					t.Fatalf("the same request again: %d %s", first.status, first.body)
				}
				if first.status == http.StatusSeeOther {
					if again := step(); again.location().String() != first.location().String() {
						t.Errorf("and once more it leads to %s, not to %s", again.location(), first.location())
					}
					s.token(codeForm(first.params().Get("code"))).wantStatus(http.StatusOK)
					return
				}
				if name == "rotation" { // within reuseInterval
					if again := step(); again.text("refresh_token") != first.text("refresh_token") {
						t.Errorf("and once more it has another answer: %s", again.body)
					}
				}
				token := first.text("refresh_token")
				if token == "" {
					step().wantError(http.StatusBadRequest, "invalid_grant") // what was due was given
				} else {
					time.Sleep(time.Minute)
					next := s.token(refreshForm(token)).wantStatus(http.StatusOK).text("refresh_token")
					time.Sleep(time.Minute)
					step().wantError(http.StatusBadRequest, "invalid_grant") // a thief, who comes later
					s.token(refreshForm(next)).wantError(http.StatusBadRequest, "invalid_grant")
				}
			})
		})
	}
}

// hangingStep goes up to a step of a login, and returns the step.
func hangingStep(t *testing.T, name string, s *server, b *browser) func() answer {
	t.Helper()
	switch name {
	case "consent", "code":
		page := b.consent()
		return func() answer { return b.post(page, url.Values{"approval": {"approve"}}) }
	case "use of a code":
		code := s.code()
		return func() answer { return s.token(codeForm(code)) }
	case "use of a code without refresh token":
		code := s.code("scope", "openid")
		return func() answer { return s.token(codeForm(code)) }
	}
	token := s.tokens().text("refresh_token")
	return func() answer { return s.token(refreshForm(token)) }
}

// Where logins are kept in the storage, the code that a consent would lead to lay there too, readable.
var _ = faulttest.Add("A-stored-code", func(t *testing.T) {
	var stored store.Store
	s := startOn(t, configuration+"oauth2: {compatibility: {browserBinding: upstream}}\n", func(inner store.Store) store.Store {
		stored = inner
		return inner
	})
	b := s.browser()
	page := b.consent()
	records, err := stored.List(t.Context(), "request", store.Query{})
	if err != nil || len(records) == 0 {
		t.Fatalf("%d requests are stored, error %v", len(records), err)
	}
	for _, r := range records {
		if strings.Contains(string(r.Data), `"code":`) {
			t.Errorf("the storage has the code: %s", r.Data)
		}
	}
	code := b.post(page, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther).params().Get("code")
	b.post(page, url.Values{"approval": {"approve"}}).wantStatus(http.StatusBadRequest)
	s.token(codeForm(code)).wantStatus(http.StatusOK)
})
