package app_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dex/internal/faulttest"
	"dex/internal/login"
	"dex/internal/oauth"
	"dex/internal/store"
)

// counting counts what a storage is asked.
type counting struct {
	store.Store
	reads, writes, lists atomic.Int64
}

func (c *counting) List(ctx context.Context, kind string, q store.Query) ([]store.Record, error) {
	c.lists.Add(1)
	return c.Store.List(ctx, kind, q)
}

func (c *counting) Get(ctx context.Context, kind, key string) (store.Record, error) {
	c.reads.Add(1)
	return c.Store.Get(ctx, kind, key)
}

func (c *counting) Create(ctx context.Context, r store.Record) (string, error) {
	c.writes.Add(1)
	return c.Store.Create(ctx, r)
}

func (c *counting) Replace(ctx context.Context, r store.Record) (string, error) {
	c.writes.Add(1)
	return c.Store.Replace(ctx, r)
}

func (c *counting) Delete(ctx context.Context, kind, key, revision string) error {
	c.writes.Add(1)
	return c.Store.Delete(ctx, kind, key, revision)
}

// A stranger's request is as large as the endpoint lets in, or a little larger.
type strangers map[string]*http.Request

// junk returns parameters without a meaning that fill so many bytes.
func junk(bytes int) string {
	var b strings.Builder
	for i := 0; b.Len() < bytes-6; i++ {
		b.WriteString("&" + strconv.FormatInt(int64(i), 36) + "=")
	}
	return b.String()
}

// words returns as many short scopes as fill so many bytes.
func words(bytes int) string {
	var b strings.Builder
	for i := 0; b.Len() < bytes-6; i++ {
		b.WriteString("+" + strconv.FormatInt(int64(i), 36))
	}
	return b.String()
}

// requests returns the worst that strangers may send to a route, besides what they send without knowing it.
func (s *server) requests(pattern string, maxBody int64) strangers {
	s.t.Helper()
	b := s.browser()
	path := "/dex" + strings.NewReplacer("{connector}", "mock", "{file...}", "main.css").Replace(pattern)
	switch pattern {
	case "/":
		path = "/dex"
	case "/.well-known/oauth-authorization-server/dex":
		path = pattern
	case "/auth/{connector}/login":
		path = b.visit("/dex/auth/odd%20id%2F%25?" + request().Encode()).wantStatus(http.StatusFound).path()
	case "/callback", "/callback/{connector}":
		trip := b.visit(authPath("connector_id", "mock")).wantStatus(http.StatusFound).location()
		path += "?" + trip.RawQuery
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	const header = 60 << 10 // what the server takes, less what else is in it
	full := request("state", scrambled(8000), "scope", "openid"+strings.Repeat(" audience:server:client_id:app", 49))
	form := "client_id=app&client_secret=app-secret&grant_type=client_credentials&token=x&scope=openid"
	made := strangers{
		"a long query":            httptest.NewRequest(http.MethodGet, "http://dex.test"+path+separator+junk(header), nil),
		"scopes in the query":     httptest.NewRequest(http.MethodGet, "http://dex.test"+path+separator+request("scope", "-").Encode()+"&scope=openid"+words(header), nil),
		"the longest request":     httptest.NewRequest(http.MethodGet, "http://dex.test"+path+separator+full.Encode(), nil),
		"a body full of names":    post(path, form+junk(int(maxBody)-len(form))),
		"a body full of scopes":   post(path, form+words(int(maxBody)-len(form))),
		"a body with one value":   post(path, "client_id=app&state="+strings.Repeat("%00", int(maxBody-100)/3)),
		"a body that is too long": post(path, strings.Repeat("a", int(maxBody)+1)),
		"a public client's":       post(path, "client_id=cli&scope=openid"+strings.Repeat("+audience:server:client_id:cli", 49)+junk(40<<10)),
	}
	for _, r := range made {
		for _, c := range b.jar.Cookies(r.URL) {
			r.AddCookie(c)
		}
	}
	return made
}

func post(path, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://dex.test"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

// A cost is what a request has cost.
type cost struct {
	cpu           time.Duration
	memory        uint64 // all that was allocated, in bytes
	reads, writes int64
}

// measure serves a request and returns its cost, without what others do at the time as far as the system can tell.
func measure(t testing.TB, h http.Handler, stored *counting, r *http.Request) cost {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after runtime.MemStats
	w := httptest.NewRecorder()
	stored.reads.Store(0)
	stored.writes.Store(0)
	runtime.ReadMemStats(&before)
	start := threadTime(t)
	h.ServeHTTP(w, r)
	c := cost{cpu: threadTime(t) - start, reads: stored.reads.Load(), writes: stored.writes.Load()}
	runtime.ReadMemStats(&after)
	c.memory = after.TotalAlloc - before.TotalAlloc
	return c
}

// threadTime returns how long this thread has been computing.
func threadTime(t testing.TB) time.Duration {
	t.Helper()
	const thisThread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thisThread, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A row is what docs/limits.md says of an endpoint.
type row struct {
	maxBody       int64
	reads, writes int64
	memory        uint64
}

var (
	endpointRow  = regexp.MustCompile("(?m)^\\| `(/[^`]*)` \\| ([^|]*) \\| ([^|]*) \\| ([^|]*) \\| ([^|]*) \\| ([^|]*) \\|$")
	parameterRow = regexp.MustCompile("(?m)^\\| ((?:`[a-z_]+`,? ?)+) \\| ([0-9]+ (?:bytes|KiB)) \\|$")
	quoted       = regexp.MustCompile("`([^`]*)`")
)

// size reads a number of bytes as the page writes it.
func size(t testing.TB, text string) int64 {
	t.Helper()
	number, unit, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n * map[string]int64{"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20}[unit]
}

// documented reads the table of endpoints.
func documented(t testing.TB) map[string]row {
	t.Helper()
	page, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]row{}
	for _, m := range endpointRow.FindAllStringSubmatch(string(page), -1) {
		r := row{memory: uint64(size(t, m[6]))}
		if m[2] != "none" {
			r.maxBody = size(t, m[2])
		}
		r.reads, r.writes = number(t, m[4]), number(t, m[5])
		rows[m[1]] = r
	}
	return rows
}

func number(t testing.TB, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// everySelfService switches on all that users may do themselves by mail. No server takes any.
const everySelfService = "mail: {from: dex@dex.test, host: 127.0.0.1, port: 1}\nlocalUsers: {passwordReset: true, verifyEmail: true, invitations: true}\n"

// startCounted runs a server that serves all grants, has sessions, second factors and self-service, and counts what its storage is asked.
func startCounted(t testing.TB) (*server, *counting, map[string]int64) {
	t.Helper()
	var stored *counting
	a := open(t, configuration+everySelfService+"sessions: {checkSessionIframe: true}\n"+
		"mfa: {authenticators: [{id: otp, type: TOTP, config: {}}, {id: key, type: WebAuthn, config: {passwordless: true}}]}\noauth2: {passwordConnector: \"odd id/%\", grantTypes: [\""+
		strings.Join(everyGrant, `", "`)+"\"]}\n", func(s store.Store) store.Store {
		stored = &counting{Store: s}
		return stored
	})
	h := a.Handler()
	return &server{t: t, handler: h}, stored, a.MaxBodies()
}

// cheap says whether a request took little time, and no more memory than the page says.
func cheap(c cost, said row) bool {
	return c.cpu <= raceFactor*50*time.Millisecond && c.memory <= raceFactor*said.memory
}

// Requests of a megabyte cost seconds of CPU, and gigabytes of memory where the choice of connectors repeated them for each.
// Now the largest request that any endpoint takes costs little, and writes nothing before somebody has proved who they are.
var _ = faulttest.Add("R10", func(t *testing.T) {
	s, stored, bodies := startCounted(t)
	rows := documented(t)
	for pattern, maxBody := range bodies {
		said, ok := rows[pattern]
		if !ok {
			t.Errorf("docs/limits.md says nothing of %s", pattern)
			continue
		}
		if maxBody == 0 {
			maxBody = oauth.MaxForm
		}
		if said.maxBody != 0 && said.maxBody != maxBody {
			t.Errorf("%s takes %d bytes, and docs/limits.md says %d", pattern, maxBody, said.maxBody)
		}
		for name, r := range s.requests(pattern, maxBody) {
			c := measure(t, s.handler, stored, r)
			for range 4 { // what others do at the time only ever adds to the cost: the least is what counts
				if cheap(c, said) {
					break
				}
				c = measure(t, s.handler, stored, s.requests(pattern, maxBody)[name])
			}
			if !cheap(c, said) || c.reads > said.reads || c.writes > said.writes {
				t.Errorf("%s: %s costs %+v, and docs/limits.md says %+v", pattern, name, c, said)
			}
		}
	}
	if len(rows) != len(bodies) {
		t.Errorf("docs/limits.md has %d endpoints, and there are %d", len(rows), len(bodies))
	}
})

// Each parameter has a bound, and the page says which.
var _ = faulttest.Add("R11", func(t *testing.T) {
	page, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]int{}
	for _, m := range parameterRow.FindAllStringSubmatch(string(page), -1) {
		for _, name := range quoted.FindAllStringSubmatch(m[1], -1) {
			said[name[1]] = int(size(t, m[2]))
		}
	}
	bounds := oauth.ParameterBounds()
	for name, longest := range bounds {
		if said[name] != longest {
			t.Errorf("%s may have %d bytes, and docs/limits.md says %d", name, longest, said[name])
		}
	}
	if len(said) != len(bounds) {
		t.Errorf("docs/limits.md has %d parameters, and there are %d", len(said), len(bounds))
	}
	for _, number := range []string{fmt.Sprint(oauth.MaxScopes, " scopes"), fmt.Sprint(oauth.MaxForm>>10, " KiB"), fmt.Sprint(login.MaxAnswer>>20, " MiB")} {
		if !strings.Contains(string(page), number) {
			t.Errorf("docs/limits.md doesn't speak of %s", number)
		}
	}

	s := allGrants(t, "")
	long := func(name string) string { return strings.Repeat("x", bounds[name]+1) }
	for _, name := range []string{
		"response_mode", "scope", "state", "nonce", "prompt", "approval_prompt", "max_age", "login_hint", "acr_values",
		"ui_locales", "connector_id", "id_token_hint", "code_challenge", "code_challenge_method",
	} {
		s.get(authPath(name, long(name))).wantRedirectError("invalid_request")
	}
	for _, name := range []string{"client_id", "redirect_uri"} {
		s.get(authPath(name, long(name))).wantStatus(http.StatusBadRequest)
	}
	for _, name := range []string{"code", "code_verifier", "connector_id", "refresh_token", "device_code", "subject_token_type", "audience"} {
		s.token(form("grant_type", "authorization_code", name, long(name))).wantError(400, "invalid_request")
	}
	many := strings.TrimSpace("openid" + strings.Repeat(" a b", oauth.MaxScopes/2))
	s.get(authPath("scope", many)).wantRedirectError("invalid_scope")
	s.token(ownerForm("scope", many)).wantError(400, "invalid_scope")
	s.token(exchangeForm("scope", many)).wantError(400, "invalid_scope")
	s.token(refreshForm("x", "scope", many)).wantError(400, "invalid_scope")
	s.postForm("/dex/device/code", form("client_id", "app", "scope", many)).wantError(400, "invalid_scope")
	several := exchangeForm()
	several["audience"] = strings.Fields(strings.Repeat("app ", oauth.MaxScopes+1))
	s.token(several).wantError(400, "invalid_request")

	// What can't be kept when a connector has been chosen is refused before the choice is shown.
	tooLong := url.Values{"state": {scrambled(10_400)}, "login_hint": {scrambled(2000)}}
	s.get("/dex/auth?" + request().Encode() + "&" + tooLong.Encode()).wantStatus(http.StatusSeeOther)
	for _, state := range []int{100, 4000, 9000, 9900, 10_000, 10_050} {
		b := s.browser()
		choice := b.visit(authPath("state", scrambled(state)))
		if choice.status == http.StatusOK {
			b.visit(authPath("state", scrambled(state), "connector_id", "mock")).wantStatus(http.StatusFound)
		}
	}
})

// BenchmarkStrangers prints what the largest requests cost that each endpoint takes.
func BenchmarkStrangers(b *testing.B) {
	s, stored, bodies := startCounted(b)
	for pattern, maxBody := range bodies {
		if maxBody == 0 {
			maxBody = oauth.MaxForm
		}
		for name := range s.requests(pattern, maxBody) {
			b.Run(pattern+"/"+name, func(b *testing.B) {
				var sum cost
				for range b.N {
					b.StopTimer()
					r := s.requests(pattern, maxBody)[name]
					b.StartTimer()
					c := measure(b, s.handler, stored, r)
					sum.cpu += c.cpu
					sum.memory += c.memory
					sum.reads += c.reads
					sum.writes += c.writes
				}
				n := float64(b.N)
				b.ReportMetric(float64(sum.cpu.Microseconds())/1000/n, "cpu-ms/op")
				b.ReportMetric(float64(sum.memory>>10)/n, "KiB/op")
				b.ReportMetric(float64(sum.reads)/n, "reads/op")
				b.ReportMetric(float64(sum.writes)/n, "writes/op")
			})
		}
	}
}
