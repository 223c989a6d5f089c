package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"dex/internal/admin/api"
	"dex/internal/app"
	"dex/internal/telemetry"
)

// A span is one that a collector got.
type span struct {
	TraceID, SpanID, ParentSpanID, Name string
	Attributes                          []attribute
	Status                              struct{ Code int }
}

type attribute struct {
	Key   string
	Value struct{ StringValue, IntValue string }
}

// A collector takes OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	spans   []span
	process map[string]string // what the spans say of it
	raw     bytes.Buffer
	auth    string
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var sent struct {
			ResourceSpans []struct {
				Resource   struct{ Attributes []attribute }
				ScopeSpans []struct{ Spans []span }
			}
		}
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.auth = r.Header.Get("Authorization")
		c.raw.Write(body)
		for _, resource := range sent.ResourceSpans {
			c.process = map[string]string{}
			for _, a := range resource.Resource.Attributes {
				c.process[a.Key] = a.Value.StringValue
			}
			for _, scope := range resource.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// traced runs a server that sends its traces to an address, lets it do something, and closes it.
func traced(t *testing.T, address, more string, do func(s *server)) (log string) {
	t.Helper()
	var lines bytes.Buffer
	yaml := configuration + "telemetry: {traces: {endpoint: '" + address + "/v1/traces', headers: {Authorization: Bearer secret}" + more + "}}\n" +
		"web: {http: '127.0.0.1:0', clientRemoteIP: {header: X-Forwarded-For, trustedProxies: [192.0.2.0/24]}}\n" +
		"oauth2: {passwordConnector: local, grantTypes: [authorization_code, refresh_token, password]}\n"
	yaml = strings.Replace(yaml, "web: {http: 127.0.0.1:0}\n", "", 1)
	plan := planOf(t, yaml)
	core, err := app.New(t.Context(), plan, app.Options{Log: telemetry.NewLogger(&lines, "text", slog.LevelInfo, nil), WrapStore: withKeys(t, plan, nil)})
	if err != nil {
		t.Fatal(err)
	}
	do(&server{t: t, handler: core.Handler()})
	if err := core.Close(); err != nil {
		t.Error(err)
	}
	return lines.String()
}

// of returns the spans of the trace that has a span with a name, and that span.
func (c *collector) of(t *testing.T, name string) (root span, all []span) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.spans, func(s span) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no span %q in %+v", name, c.spans)
	}
	for _, s := range c.spans {
		if s.TraceID == c.spans[i].TraceID {
			all = append(all, s)
		}
	}
	return c.spans[i], all
}

// A request that the policy refuses is answered as it should be, so its trace has no error.
func TestTraceOfARefusal(t *testing.T) {
	c := startCollector(t)
	traced(t, c.URL, ", sampleOneIn: 1", func(s *server) {
		s.token(form("grant_type", "password", "scope", "profile", "username", "admin@example.com", "password", "password")).
			wantError(http.StatusBadRequest, "invalid_scope")
	})
	_, all := c.of(t, "POST /token")
	i := slices.IndexFunc(all, func(s span) bool { return s.Name == "policy" })
	if i < 0 {
		t.Fatalf("the policy is in no span: %+v", all)
	}
	said := map[string]string{}
	for _, a := range all[i].Attributes {
		said[a.Key] = a.Value.StringValue
	}
	if all[i].Status.Code != 0 || said["dex.outcome"] != "refused" || said["dex.rule"] != "scopes" {
		t.Errorf("the span says %v, with the status %d", said, all[i].Status.Code)
	}
}

func TestTraceOfALogin(t *testing.T) {
	c := startCollector(t)
	log := traced(t, c.URL, ", sampleOneIn: 1", func(s *server) {
		b := s.browser()
		b.post(b.passwordForm(), credentials()).wantStatus(http.StatusSeeOther)
		s.token(form("grant_type", "password", "scope", "openid offline_access", "username", "admin@example.com", "password", "password")).
			wantStatus(http.StatusOK)
	})
	for root, want := range map[string][]string{
		"POST /auth/{connector}/login": {"source", "policy"},
		"POST /token":                  {"source", "policy", "store create", "sign"},
	} {
		request, all := c.of(t, root)
		for _, name := range want {
			i := slices.IndexFunc(all, func(s span) bool { return s.Name == name })
			if i < 0 {
				t.Errorf("the trace of %s has no %q: %+v", root, name, all)
			} else if all[i].ParentSpanID == "" {
				t.Errorf("%q has no parent", name)
			}
		}
		if request.ParentSpanID != "" {
			t.Errorf("%s has the parent %s", root, request.ParentSpanID)
		}
	}
	login, _ := c.of(t, "POST /auth/{connector}/login")
	if !strings.Contains(log, `msg="login successful" connector_id=local`) || !strings.Contains(log, "trace_id="+login.TraceID) {
		t.Errorf("the log lacks trace_id=%s:\n%s", login.TraceID, log)
	}
	for _, secret := range []string{"admin@example.com", "secret", "08a8684b", "Kilgore", "s &=%", "192.0.2", "code="} {
		if strings.Contains(c.raw.String(), secret) {
			t.Errorf("the traces have %q", secret)
		}
	}
	if c.auth != "Bearer secret" {
		t.Errorf("the collector got the header %q", c.auth)
	}
}

const (
	theirTrace = "0af7651916cd43dd8448eb211c80319c"
	theirSpan  = "b7ad6b7169203331"
)

// The header of a trusted proxy gives ids, and decides what is recorded only if it may; that of anybody else means nothing.
func TestTracesOfOthers(t *testing.T) {
	for _, from := range []struct {
		name, peer, more, flag string
		ids                    bool
		spans                  int // of 50 requests
	}{
		{"a stranger", "198.51.100.1:1", ", sampleOneIn: 1", "01", false, 50},
		{"a stranger who wants to be recorded", "198.51.100.1:1", ", sampleOneIn: 1000000000", "01", false, 0},
		{"a proxy that passes that on", "192.0.2.1:1", ", sampleOneIn: 1000000000", "01", true, 0},
		{"a proxy", "192.0.2.1:1", ", sampleOneIn: 1", "00", true, 50},
		{"a proxy that decides", "192.0.2.1:1", ", sampleOneIn: 1000000000, followParent: true", "01", true, 50},
		{"a proxy that decides against", "192.0.2.1:1", ", sampleOneIn: 1, followParent: true", "00", true, 0},
		{"a stranger where proxies decide", "198.51.100.1:1", ", sampleOneIn: 1000000000, followParent: true", "01", false, 0},
	} {
		t.Run(from.name, func(t *testing.T) {
			c := startCollector(t)
			traced(t, c.URL, from.more, func(s *server) {
				for range 50 {
					r := httptest.NewRequest(http.MethodGet, "http://dex.test/dex/keys", nil)
					r.RemoteAddr = from.peer
					r.Header.Set("Traceparent", "00-"+theirTrace+"-"+theirSpan+"-"+from.flag)
					s.do(r).wantStatus(http.StatusOK)
				}
			})
			if len(c.spans) != from.spans {
				t.Fatalf("%d spans, want %d", len(c.spans), from.spans)
			}
			for _, s := range c.spans {
				if ids := s.TraceID == theirTrace && s.ParentSpanID == theirSpan; ids != from.ids {
					t.Fatalf("the span is %+v", s)
				}
			}
		})
	}
}

// Calls of the management API have traces of their own, whatever their callers say.
func TestTraceOfACall(t *testing.T) {
	c := startCollector(t)
	a := startAdministered(t, "telemetry: {traces: {endpoint: '"+c.URL+"/v1/traces', sampleOneIn: 1}}\n")
	askREST(t, "GET", a.rest, "/users", "").wantStatus(http.StatusOK)
	askREST(t, "GET", a.rest, "/users/nobody@example.com", "").wantStatus(http.StatusNotFound)
	theirs := metadata.AppendToOutgoingContext(t.Context(), "traceparent", "00-"+theirTrace+"-"+theirSpan+"-01")
	if _, err := a.dex.ListPasswords(theirs, &api.ListPasswordReq{}); err != nil {
		t.Fatal(err)
	}
	sent := func(name string) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return slices.ContainsFunc(c.spans, func(s span) bool { return s.Name == name })
	}
	for _, name := range []string{"rest listUsers", "rest getUser", "grpc ListPasswords"} {
		for began := time.Now(); !sent(name); time.Sleep(20 * time.Millisecond) {
			if time.Since(began) > 20*time.Second {
				t.Fatalf("there is no span %q", name)
			}
		}
		call, all := c.of(t, name)
		if call.TraceID == theirTrace || call.ParentSpanID != "" || len(call.Attributes) != 2 {
			t.Errorf("%s is %+v", name, call)
		}
		if !slices.ContainsFunc(all, func(s span) bool { return strings.HasPrefix(s.Name, "store ") && s.ParentSpanID == call.SpanID }) {
			t.Errorf("%s has no part: %+v", name, all)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.Contains(c.raw.String(), "nobody@example.com") {
		t.Error("the traces name a user")
	}
}

// Of OpenTelemetry's variables those count that say what the process is called, and not those that say where traces go.
func TestEnvironmentOfTraces(t *testing.T) {
	c, other := startCollector(t), startCollector(t)
	t.Setenv("OTEL_SERVICE_NAME", "dex of the shop")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=dex-0")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", other.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=other")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	traced(t, c.URL, ", sampleOneIn: 1", func(s *server) { s.get("/dex/keys").wantStatus(http.StatusOK) })
	if len(c.spans) == 0 || len(other.spans) > 0 || c.auth != "Bearer secret" {
		t.Errorf("%d spans came, and %d elsewhere; the header is %q", len(c.spans), len(other.spans), c.auth)
	}
	if c.process["service.name"] != "dex of the shop" || c.process["k8s.pod.name"] != "dex-0" {
		t.Errorf("the process is %v", c.process)
	}
}

// A collector that hangs delays neither logins nor, for long, the end.
func TestCollectorThatHangs(t *testing.T) {
	hanging := make(chan struct{})
	c := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-hanging
	}))
	defer c.Close()
	defer close(hanging)
	var began time.Time
	log := traced(t, c.URL, ", sampleOneIn: 1", func(s *server) {
		for range 1000 {
			b := s.browser()
			if q := b.login(); q.Get("code") == "" {
				t.Fatal("no code")
			}
		}
		began = time.Now()
	})
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the end took %v", took)
	}
	if !strings.Contains(log, "traces can't be sent") {
		t.Errorf("the log says nothing of the collector")
	}
}

func TestWithoutACollectorThereIsNoTrace(t *testing.T) {
	var log bytes.Buffer
	plan := planOf(t, configuration)
	core, err := app.New(t.Context(), plan, app.Options{Log: telemetry.NewLogger(&log, "text", slog.LevelInfo, nil), WrapStore: withKeys(t, plan, nil)})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, handler: core.Handler()}
	b := s.browser()
	b.post(b.consent(), url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther)
	if err := core.Close(); err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "trace_id") {
		t.Errorf("the log has a trace:\n%s", &log)
	}
}
