package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dex/internal/telemetry"
)

// state is the JSON of a check as monitors know it.
type state struct {
	Message            string     `json:"message"`
	Timestamp          time.Time  `json:"timestamp"`
	Duration           int64      `json:"duration"`
	ContiguousFailures int        `json:"contiguousFailures"`
	TimeOfFirstFailure *time.Time `json:"timeOfFirstFailure"`
	Error              *struct {
		Message string `json:"message"`
	} `json:"error"`
}

func get(t *testing.T, h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), "GET", target, nil)
	for _, accept := range header {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func states(t *testing.T, w *httptest.ResponseRecorder) map[string]state {
	t.Helper()
	var s map[string]state
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatalf("%v: %s", err, w.Body.String())
	}
	return s
}

func endpoints(h *telemetry.Health, profiling bool) http.Handler {
	return telemetry.Endpoints{Metrics: telemetry.NewMetrics("v"), Health: h, Profiling: profiling}.Handler()
}

// passing reports whether every check passed when it last ran, as operators see it.
func passing(t *testing.T, h *telemetry.Health) bool {
	t.Helper()
	return get(t, endpoints(h, false), "/healthz").Code == http.StatusOK
}

// storage is something to check, which fails when it is told to.
type storage struct{ err atomic.Pointer[error] }

func (s *storage) fail(err error) { s.err.Store(&err) }

func (s *storage) check(context.Context) error {
	if err := s.err.Load(); err != nil {
		return *err
	}
	return nil
}

// pass lets time pass in a bubble, and everything that is due by then happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// run runs the checks until the test is told to stop; it must be in a bubble.
func run(h *telemetry.Health) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go h.Run(ctx)
	synctest.Wait()
	return func() {
		cancel()
		synctest.Wait()
	}
}

func TestHealthBeforeTheFirstRun(t *testing.T) {
	h := telemetry.NewHealth(slog.New(slog.DiscardHandler))
	h.Add("storage", func(context.Context) error { return nil })
	w := get(t, endpoints(h, false), "/healthz")
	s := states(t, w)["storage"]
	if w.Code != 200 || s.Message == "" || s.Timestamp.IsZero() || s.Error != nil {
		t.Errorf("%d %s", w.Code, w.Body.String())
	}
	for _, member := range []string{`"duration": 0`, `"contiguousFailures": 0`, `"timeOfFirstFailure": null`, "\n\t\"storage\""} {
		if !strings.Contains(w.Body.String(), member) {
			t.Errorf("no %s in %s", member, w.Body.String())
		}
	}
	if got := w.Header().Get("Content-Type") + w.Header().Get("Cache-Control"); got != "application/json"+"no-store" {
		t.Error(got)
	}
}

// report is what /healthz says of the storage at some time.
type report struct {
	status   int
	failures int
	err      string
	first    time.Duration // of the first failure, since the start; 0 for none
}

func reportOf(t *testing.T, page http.Handler, start time.Time) report {
	t.Helper()
	w := get(t, page, "/healthz")
	s := states(t, w)["storage"]
	if s.Message != "" {
		t.Errorf("a message after the first run: %q", s.Message)
	}
	if s.Duration != int64(20*time.Millisecond) {
		t.Errorf("duration %v", time.Duration(s.Duration))
	}
	r := report{status: w.Code, failures: s.ContiguousFailures}
	if s.Error != nil {
		r.err = s.Error.Message
	}
	if s.TimeOfFirstFailure != nil {
		r.first = s.TimeOfFirstFailure.Sub(start)
	}
	return r
}

func TestHealthOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := telemetry.NewHealth(telemetry.NewLogger(&log, "text", slog.LevelInfo, nil))
		var db storage
		h.Add("storage", func(ctx context.Context) error {
			time.Sleep(20 * time.Millisecond)
			return db.check(ctx)
		})
		h.Add("other", func(context.Context) error { return nil })
		start := time.Now()
		defer run(h)()
		page := endpoints(h, false)
		expect := func(when string, want report) {
			t.Helper()
			if got := reportOf(t, page, start); got != want {
				t.Errorf("%s: %+v, want %+v", when, got, want)
			}
		}

		pass(time.Second)
		expect("after the first run", report{status: 200})
		db.fail(errors.New("disk full"))
		pass(45 * time.Second)
		expect("after half a minute of failures, one each second", report{status: 503, failures: 31, err: "disk full", first: 15 * time.Second})
		w := get(t, page, "/healthz?type=short")
		if got := strings.Join(strings.Fields(w.Body.String()), ""); w.Code != 503 || got != `{"other":"PASS","storage":"FAIL"}` {
			t.Errorf("short: %d %s", w.Code, got)
		}
		db.fail(nil)
		pass(time.Second)
		expect("a second after the recovery", report{status: 200})

		pass(time.Minute)
		if got := log.String(); strings.Count(got, "\n") != 2 ||
			!strings.Contains(got, `level=ERROR msg="health check failed" check=storage err="disk full"`) ||
			!strings.Contains(got, `level=INFO msg="health check passed again" check=storage failures=31`) {
			t.Errorf("the log is\n%s", got)
		}
	})
}

func TestHealthOfAStorageThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := telemetry.NewHealth(slog.New(slog.DiscardHandler))
		release, calls := make(chan struct{}), 0
		h.Add("storage", func(context.Context) error { // which ignores its context
			calls++
			<-release
			return nil
		})
		defer run(h)()
		pass(4 * time.Second)
		if !passing(t, h) {
			t.Error("failing before the check's time was over")
		}
		pass(2 * time.Second)
		if passing(t, h) {
			t.Error("passing although the storage hangs")
		}
		pass(time.Minute)
		if s := states(t, get(t, endpoints(h, false), "/healthz"))["storage"]; s.ContiguousFailures != 13 || calls != 1 {
			t.Errorf("%d failures, %d calls", s.ContiguousFailures, calls)
		}
		close(release)
		pass(15 * time.Second)
		if !passing(t, h) {
			t.Error("still failing after the storage recovered")
		}
	})
}

func TestHealthGivesChecksADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := telemetry.NewHealth(slog.New(slog.DiscardHandler))
		h.Add("storage", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		stop := run(h)
		pass(10 * time.Second)
		if passing(t, h) {
			t.Error("passing although the check got no answer")
		}
		stop()
	})
}

func TestStoppingIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := telemetry.NewHealth(slog.New(slog.DiscardHandler))
		h.Add("storage", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		stop := run(h)
		stop()
		if !passing(t, h) {
			t.Error("failing because it was stopped")
		}
	})
}

func TestReadiness(t *testing.T) {
	h := telemetry.NewHealth(slog.New(slog.DiscardHandler))
	page := endpoints(h, false)
	expect := func(when string, ready int) {
		t.Helper()
		w := get(t, page, "/healthz/ready")
		if w.Code != ready {
			t.Errorf("%s: /healthz/ready is %d, want %d: %s", when, w.Code, ready, w.Body.String())
		}
		if _, listed := states(t, w)["ready"]; listed != (ready != 200) {
			t.Errorf("%s: %s", when, w.Body.String())
		}
		if w := get(t, page, "/healthz"); w.Code != 200 {
			t.Errorf("%s: /healthz is %d", when, w.Code)
		}
		if w := get(t, page, "/healthz/live"); w.Code != 200 || w.Body.String() != "ok" {
			t.Errorf("%s: /healthz/live is %d %q", when, w.Code, w.Body.String())
		}
	}
	expect("starting", 503)
	h.SetReady(true)
	expect("ready", 200)
	h.SetReady(false)
	expect("draining", 503)
}

func TestAFailedCheckEndsReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := telemetry.NewHealth(slog.New(slog.DiscardHandler))
		h.SetReady(true)
		h.Add("storage", func(context.Context) error { return errors.New("gone") })
		defer run(h)()
		if w := get(t, endpoints(h, false), "/healthz/ready"); w.Code != 503 {
			t.Errorf("%d %s", w.Code, w.Body.String())
		}
	})
}

func TestWebHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := telemetry.NewHealth(slog.New(slog.DiscardHandler))
		var db storage
		h.Add("storage", db.check)
		defer run(h)()
		web := h.WebHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "the error page")
		}))
		for _, tc := range []struct {
			accept string
			err    error
			status int
			body   string
			kind   string
		}{
			{"", nil, 200, "Health check passed", "text/plain; charset=utf-8"},
			{"text/html,*/*", nil, 200, "Health check passed", "text/plain; charset=utf-8"},
			{"application/json", nil, 200, `{"storage":"PASS"}`, "application/json"},
			{"", errors.New("db-7.internal refused"), 500, "the error page", ""},
			{"application/json", errors.New("db-7.internal refused"), 500, `{"storage":"FAIL"}`, "application/json"},
		} {
			db.fail(tc.err)
			pass(15 * time.Second)
			w := get(t, web, "/healthz", tc.accept)
			body := w.Body.String()
			if tc.kind == "application/json" {
				body = strings.Join(strings.Fields(body), "")
			}
			if w.Code != tc.status || body != tc.body || w.Header().Get("Content-Type") != tc.kind {
				t.Errorf("Accept %q, %v: %d %q %q", tc.accept, tc.err, w.Code, body, w.Header())
			}
		}
	})
}

func TestEndpoints(t *testing.T) {
	h := telemetry.NewHealth(slog.New(slog.DiscardHandler))
	for _, tc := range []struct {
		path      string
		profiling bool
		status    int
	}{
		{"/metrics", false, 200},
		{"/", false, 404},
		{"/healthz/other", false, 404},
		{"/debug/pprof/", false, 404},
		{"/debug/pprof/cmdline", false, 404},
		{"/debug/pprof/", true, 200},
		{"/debug/pprof/cmdline", true, 200},
		{"/debug/pprof/symbol", true, 200},
		{"/debug/pprof/goroutine?debug=1", true, 200},
		{"/debug/pprof/nonsense", true, 404},
	} {
		if w := get(t, endpoints(h, tc.profiling), tc.path); w.Code != tc.status {
			t.Errorf("%s, profiling %v: %d, want %d", tc.path, tc.profiling, w.Code, tc.status)
		}
	}
}
