package app_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dex/internal/app"
	"dex/internal/event"
)

// measured is a server whose metrics are read.
type measured struct {
	*server
	core *app.Core
}

func startMeasured(t *testing.T, more string) *measured {
	t.Helper()
	core := open(t, configuration+more, nil)
	return &measured{&server{t: t, handler: core.Handler()}, core}
}

// series returns the lines of /metrics that begin with a name.
func (m *measured) series(name string) []string {
	m.t.Helper()
	var lines []string
	for line := range strings.Lines((&server{t: m.t, handler: m.core.Telemetry()}).get("/metrics").wantStatus(http.StatusOK).body) {
		if strings.HasPrefix(line, name) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// However a login ends, it is counted once.
func TestEachLoginIsCountedOnce(t *testing.T) {
	password := func(m *measured, form url.Values) {
		b := m.browser()
		b.post(b.passwordForm(), form)
	}
	for _, ending := range []struct {
		name string
		do   func(m *measured)
		want string // labels
	}{
		{"granted", func(m *measured) { m.browser().login() }, `client="app",connector="mock",reason="",result="success"`},
		{"the user says no", func(m *measured) {
			b := m.browser()
			b.post(b.consent(), url.Values{"approval": {"rejected"}})
		}, `client="app",connector="mock",reason="access_denied",result="refused"`},
		{"wrong password", func(m *measured) {
			password(m, url.Values{"login": {"admin@example.com"}, "password": {"wrong"}})
		}, `client="app",connector="local",reason="wrong_password",result="refused"`},
		{"not without a page", func(m *measured) { m.get(authPath("prompt", "none")) },
			`client="app",connector="",reason="login_required",result="refused"`},
		{"nonsense", func(m *measured) { m.get(authPath("response_type", "nonsense")) },
			`client="app",connector="",reason="unsupported_response_type",result="refused"`},
		{"a connector that the client may not use", func(m *measured) {
			m.get(authPath("client_id", "strict", "redirect_uri", "https://strict.test/cb", "connector_id", "mock"))
		}, `client="strict",connector="",reason="invalid_request",result="refused"`},
		{"no such client", func(m *measured) { m.get(authPath("client_id", "made up")) },
			`client="",connector="",reason="invalid_request",result="refused"`},
		{"a login that is lost", func(m *measured) { m.get("/dex/callback?state=lost") },
			`client="",connector="",reason="invalid_request",result="refused"`},
	} {
		t.Run(ending.name, func(t *testing.T) {
			m := startMeasured(t, "")
			ending.do(m)
			want := []string{"dex_logins_total{" + ending.want + "} 1"}
			if got := m.series("dex_logins_total"); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// What strangers make up doesn't become the value of a label.
func TestStrangersCannotMakeMetricsGrow(t *testing.T) {
	m := startMeasured(t, "")
	visit := func(name string) {
		m.get(authPath("client_id", name))
		m.get(authPath("connector_id", name))
		m.get(authPath("scope", "openid "+name))
		m.get("/dex/auth/" + name + "?" + request().Encode())
		m.get("/dex/callback/" + name + "?state=" + name)
		m.token(form("grant_type", name))
		m.token(form("grant_type", "password", "username", name, "password", name))
		m.token(form("grant_type", "client_credentials", "client_id", name, "client_secret", name), noCredentials)
		m.postForm("/dex/device/code", form("client_id", name))
		m.do(httptest.NewRequest(strings.ToUpper(name), "http://dex.test/dex/token", nil))
	}
	visit("madeup0")
	before := m.series("")
	for _, name := range []string{"madeup1", "madeup2", "madeup3", "madeup4", "madeup5"} {
		visit(name)
	}
	name := func(line string) string { return line[:strings.LastIndexByte(line, ' ')] }
	known := map[string]bool{}
	for _, line := range before {
		known[name(line)] = true
	}
	for _, line := range m.series("") {
		if strings.Contains(strings.ToLower(line), "madeup") {
			t.Errorf("strangers have made up %s", line)
		}
		if !known[name(line)] && !strings.HasPrefix(line, "go_") && !strings.HasPrefix(line, "#") {
			t.Errorf("a new name has made a series: %s", line)
		}
	}
}

// The clients that come first keep their names.
func TestManyClientsShareALabel(t *testing.T) {
	m := startMeasured(t, "")
	for i := range 500 {
		id := strings.Repeat("c", i%250+1)
		m.core.Events().Emit(t.Context(), event.TokensIssued{
			Login: event.Login{ClientID: id}, GrantType: "password", AccessTokenSize: 1000 + i,
		})
	}
	for metric, most := range map[string]int{"dex_tokens_issued_total{": 201, "dex_token_size_largest_bytes{": 201} {
		if n := len(m.series(metric)); n != most {
			t.Errorf("%s has %d series, want %d", metric, n, most)
		}
	}
	want := `dex_tokens_issued_total{client="other",grant="password"} 100`
	if !slices.Contains(m.series("dex_tokens_issued_total"), want) {
		t.Errorf("no %s", want)
	}
}

func TestTokensAndSourcesAreMeasured(t *testing.T) {
	m := startMeasured(t, "oauth2: {passwordConnector: local, grantTypes: [authorization_code, refresh_token, password]}\n")
	first := m.tokens().text("refresh_token")
	m.token(refreshForm(m.token(refreshForm(first)).text("refresh_token")))
	m.token(form("grant_type", "password", "scope", "openid", "username", "admin@example.com", "password", "wrong"))
	for _, want := range []string{
		`dex_tokens_issued_total{client="app",grant="authorization_code"} 1`,
		`dex_tokens_issued_total{client="app",grant="refresh_token"} 2`,
		`dex_requests_refused_total{code="invalid_grant",endpoint="token",grant="password"} 1`,
		`dex_source_duration_seconds_count{connector="mock",operation="login",outcome="ok"} 1`,
		`dex_source_duration_seconds_count{connector="local",operation="password_grant",outcome="wrong_password"} 1`,
		`dex_token_size_bytes_count{type="id_token"} 3`,
		`dex_store_operation_duration_seconds_count{kind="code",operation="create",outcome="ok"} 1`,
	} {
		if !slices.Contains(m.series(want[:strings.IndexByte(want, '{')]), want) {
			t.Errorf("no %s in\n%s", want, strings.Join(m.series(want[:strings.IndexByte(want, '{')]), "\n"))
		}
	}
	if len(m.series("dex_logins_total{")) != 1 {
		t.Error("a password grant counts as a login in a browser")
	}
}

// everyMetric returns the registry of a server that has everything that there are metrics of.
func everyMetric(t *testing.T) *prometheus.Registry {
	t.Helper()
	dir := t.TempDir()
	writeCertificate(t, dir, time.Now().Add(-time.Hour), time.Now().Add(240*time.Hour))
	yaml := configuration + fmt.Sprintf("sessions: {}\naudit: {outputs: [{type: file, path: %[1]s/audit.log}]}\ntelemetry: {traces: {endpoint: 'http://127.0.0.1:1/v1/traces'}}\ngrpc: {addr: '127.0.0.1:0', tlsCert: %[1]s/crt, tlsKey: %[1]s/key}\n", dir)
	return open(t, yaml, nil).Registry()
}

// describedMetrics returns the metrics that a registry can show with their variable labels, besides Prometheus's own.
func describedMetrics(registry *prometheus.Registry) map[string][]string {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		registry.Describe(descs)
	}()
	found := map[string][]string{}
	parts := regexp.MustCompile(`fqName: "([^"]*)".*constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)
	for d := range descs {
		p := parts.FindStringSubmatch(d.String())
		if p == nil || strings.HasPrefix(p[1], "go_") || strings.HasPrefix(p[1], "process_") {
			continue
		}
		var labels []string
		for l := range strings.SplitSeq(p[2]+","+p[3], ",") {
			if l, _, _ = strings.Cut(l, "="); l != "" {
				labels = append(labels, l)
			}
		}
		slices.Sort(labels)
		found[p[1]] = labels
	}
	return found
}

// docs/telemetry.md lists every metric that /metrics can show, with its labels, and no other.
func TestEveryMetricIsDocumented(t *testing.T) {
	document, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:dex|http|grpc|request|response)_[a-z_]+)` \\|([^|]*)\\|").FindAllStringSubmatch(string(document), -1) {
		labels := regexp.MustCompile("[a-z_]+").FindAllString(row[2], -1)
		slices.Sort(labels)
		documented[row[1]] = labels
	}
	shown := describedMetrics(everyMetric(t))
	for name, labels := range shown {
		if known, ok := documented[name]; !ok {
			t.Errorf("%s is not in docs/telemetry.md", name)
		} else if !slices.Equal(known, labels) {
			t.Errorf("docs/telemetry.md has %s with labels %q, the program has %q", name, known, labels)
		}
	}
	for name := range documented {
		if _, ok := shown[name]; !ok {
			t.Errorf("docs/telemetry.md has %s, which the program doesn't", name)
		}
	}
}
