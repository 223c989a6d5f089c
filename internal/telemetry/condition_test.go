package telemetry_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"dex/internal/telemetry"
)

// What the program can do without is shown like the checks, but doesn't take the server out of service.
func TestConditionsAreShownAndDontCount(t *testing.T) {
	h := telemetry.NewHealth(slog.New(slog.DiscardHandler))
	h.SetReady(true)
	h.Add("storage", func(context.Context) error { return nil })
	checked := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	h.Show(func() []telemetry.Condition {
		return []telemetry.Condition{
			{Name: "connector/good", Checked: checked, Took: time.Millisecond},
			{Name: "connector/bad", Checked: checked, Err: errors.New("connection refused"), Failures: 3, Since: checked.Add(-time.Minute)},
			{Name: "connector/new"},
		}
	})
	for _, path := range []string{"/healthz", "/healthz/ready"} {
		w := get(t, endpoints(h, false), path)
		all := states(t, w)
		if w.Code != http.StatusOK || len(all) != 4 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if s := all["connector/good"]; s.Error != nil || !s.Timestamp.Equal(checked) || s.Duration != 1e6 ||
			s.ContiguousFailures != 0 || s.TimeOfFirstFailure != nil || s.Message != "" {
			t.Errorf("%s: the good one is %+v", path, s)
		}
		if s := all["connector/bad"]; s.Error == nil || s.Error.Message != "connection refused" || s.ContiguousFailures != 3 ||
			s.TimeOfFirstFailure == nil || !s.TimeOfFirstFailure.Equal(checked.Add(-time.Minute)) {
			t.Errorf("%s: the bad one is %+v", path, s)
		}
		if s := all["connector/new"]; s.Error != nil || s.Message == "" || s.Timestamp.IsZero() {
			t.Errorf("%s: the new one is %+v", path, s)
		}
		short := get(t, endpoints(h, false), path+"?type=short")
		if !strings.Contains(short.Body.String(), `"connector/bad": "FAIL"`) || short.Code != http.StatusOK {
			t.Errorf("%s, short: %d %s", path, short.Code, short.Body)
		}
	}
	// Strangers reach this one.
	web := get(t, h.WebHandler(http.NotFoundHandler()), "/healthz", "application/json")
	if web.Code != http.StatusOK || strings.Contains(web.Body.String(), "connector") {
		t.Errorf("where users are served: %d %s", web.Code, web.Body)
	}
	if !passing(t, h) {
		t.Error("not passing because of a condition")
	}
	h.SetReady(false)
	if w := get(t, endpoints(h, false), "/healthz/ready"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("draining: %d %s", w.Code, w.Body)
	}
}
