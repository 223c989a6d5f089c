package telemetry_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"dex/internal/event"
	"dex/internal/telemetry"
)

// scrape returns the lines of /metrics that begin with one of the names.
func scrape(t *testing.T, m *telemetry.Metrics, names ...string) string {
	t.Helper()
	h := telemetry.Endpoints{Metrics: m, Health: telemetry.NewHealth(slog.New(slog.DiscardHandler))}.Handler()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%d %q", w.Code, w.Header())
	}
	var lines strings.Builder
	for line := range strings.Lines(w.Body.String()) {
		for _, name := range names {
			if strings.HasPrefix(line, name) {
				lines.WriteString(line)
			}
		}
	}
	return lines.String()
}

func TestMetricsOfARoute(t *testing.T) {
	m := telemetry.NewMetrics("1.2.3")
	h := m.Route("/auth/{connector}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/nothing":
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusAccepted)
			w.WriteHeader(http.StatusOK)
		case "/panic":
			panic("boom")
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, strings.Repeat("x", 300))
			_, _ = io.WriteString(w, strings.Repeat("x", 300))
		}
	}))
	for _, request := range []string{"GET /", "GET /", "GET /nothing", "POST /early", "FROBNICATE /nothing", "GROW /nothing", "GET /panic"} {
		method, path, _ := strings.Cut(request, " ")
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), method, path, nil))
		}()
	}
	want := `http_requests_total{code="200",handler="/auth/{connector}",method="get"} 1
http_requests_total{code="200",handler="/auth/{connector}",method="unknown"} 2
http_requests_total{code="202",handler="/auth/{connector}",method="post"} 1
http_requests_total{code="404",handler="/auth/{connector}",method="get"} 2
http_requests_total{code="500",handler="/auth/{connector}",method="get"} 1
`
	if got := scrape(t, m, "http_requests_total"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	labels := `{code="404",handler="/auth/{connector}",method="get"`
	want = `response_size_bytes_bucket` + labels + `,le="200"} 0
response_size_bytes_bucket` + labels + `,le="500"} 0
response_size_bytes_bucket` + labels + `,le="900"} 2
response_size_bytes_bucket` + labels + `,le="1500"} 2
response_size_bytes_bucket` + labels + `,le="+Inf"} 2
response_size_bytes_sum` + labels + `} 1200
response_size_bytes_count` + labels + `} 2
`
	if got := scrape(t, m, "response_size_bytes_bucket"+labels, "response_size_bytes_sum"+labels, "response_size_bytes_count"+labels); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, le := range []string{"0.25", "0.5", "1", "2.5", "5", "10", "+Inf"} {
		if scrape(t, m, "request_duration_seconds_bucket"+labels+`,le="`+le+`"} 2`) == "" {
			t.Errorf("no bucket %s of request_duration_seconds", le)
		}
	}
}

func TestMetricsOfTheProcess(t *testing.T) {
	m := telemetry.NewMetrics("1.2.3")
	want := `dex_build_info{go_version="` + runtime.Version() + `",platform="` + runtime.GOOS + "/" + runtime.GOARCH + `",version="1.2.3"} 1` + "\n"
	if got := scrape(t, m, "dex_build_info"); got != want {
		t.Errorf("got %swant %s", got, want)
	}
	for _, name := range []string{"go_goroutines", "process_open_fds"} {
		if scrape(t, m, name) == "" {
			t.Errorf("no %s", name)
		}
	}
}

func TestConcurrentRequestsAreAllCounted(t *testing.T) {
	m := telemetry.NewMetrics("v")
	h := m.Route("/keys", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(map[string]int{"GET": 200, "POST": 405}[r.Method])
	}))
	var all sync.WaitGroup
	for range 50 {
		for _, method := range []string{"GET", "POST"} {
			all.Go(func() {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), method, "/", nil))
			})
		}
	}
	all.Wait()
	want := `http_requests_total{code="200",handler="/keys",method="get"} 50
http_requests_total{code="405",handler="/keys",method="post"} 50
`
	if got := scrape(t, m, "http_requests_total"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestMeasuredHandlersCanFlush(t *testing.T) {
	h := telemetry.NewMetrics("v").Route("/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	if !w.Flushed {
		t.Error("not flushed")
	}
}

func TestMetricsCountLogoutTokens(t *testing.T) {
	m := telemetry.NewMetrics("v")
	for _, e := range []event.Event{event.LogoutTokenSent{}, event.LogoutTokenSent{}, event.LogoutTokenFailed{}, event.LogoutTokenGivenUp{}} {
		m.Emit(t.Context(), e)
	}
	const want = `dex_logout_tokens_total{result="failed"} 1` + "\n" +
		`dex_logout_tokens_total{result="given_up"} 1` + "\n" +
		`dex_logout_tokens_total{result="sent"} 2` + "\n"
	if got := scrape(t, m, "dex_logout_tokens_total"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMetricsCountMails(t *testing.T) {
	m := telemetry.NewMetrics("v")
	for _, e := range []event.Event{event.MailSent{}, event.MailSent{}, event.MailFailed{}, event.MailGivenUp{}} {
		m.Emit(t.Context(), e)
	}
	const want = `dex_mails_total{result="failed"} 1` + "\n" +
		`dex_mails_total{result="given_up"} 1` + "\n" +
		`dex_mails_total{result="sent"} 2` + "\n"
	if got := scrape(t, m, "dex_mails_total"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMetricsCountAttempts(t *testing.T) {
	m := telemetry.NewMetrics("v")
	for _, connector := range []string{"ldap", "ldap", "\xff"} { // the last can't be the value of a label
		m.Emit(t.Context(), event.SourceAsked{ConnectorID: connector, Operation: "login", Outcome: "unavailable"})
	}
	m.Emit(t.Context(), event.AllConnectorsFail{})
	const want = `dex_connector_attempts_total{connector="ldap",operation="login",outcome="unavailable"} 2` + "\n" +
		`dex_connector_attempts_total{connector="other",operation="login",outcome="unavailable"} 1` + "\n"
	if got := scrape(t, m, "dex_connector_attempts_total"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
