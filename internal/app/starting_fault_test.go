package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/faulttest"
	"dex/internal/store"
)

// Nothing listened while the storage was opened and upstream's data was taken over, so that a liveness probe killed the
// server again and again.
var _ = faulttest.Add("O2", func(t *testing.T) {
	plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(configuration +
		"telemetry: {http: \"127.0.0.1:0\"}\n")})
	if plan == nil {
		t.Fatal(app.Report(problems))
	}
	bound, opening, open := make(chan string, 1), make(chan struct{}), make(chan struct{})
	var a *app.Core
	var log bytes.Buffer
	started := make(chan error, 1)
	go func() {
		var err error
		a, err = app.New(t.Context(), plan, app.Options{
			Log:   slog.New(slog.NewTextHandler(&log, nil)),
			Bound: func(_ string, at net.Addr) { bound <- at.String() },
			WrapStore: func(s store.Store) store.Store {
				close(opening)
				<-open
				return s
			},
		})
		started <- err
	}()
	var address string
	select {
	case <-opening:
		address = <-bound
	case err := <-started:
		t.Fatal(err)
	}
	get := func(path string) (int, map[string]any) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		_ = json.Unmarshal(body, &members) // the answer of /live is none
		return answer.StatusCode, members
	}
	if status, _ := get("/healthz/live"); status != http.StatusOK {
		t.Errorf("live while it starts: %d", status)
	}
	status, members := get("/healthz/ready")
	ready, _ := members["ready"].(map[string]any)
	problem, _ := ready["error"].(map[string]any)
	if status != http.StatusServiceUnavailable || problem["message"] != "starting: opening the storage" {
		t.Errorf("ready while it starts: %d, %v", status, members)
	}
	close(open)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
})
