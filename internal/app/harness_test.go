package app_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"dex/internal/app"
	"dex/internal/config"
	"dex/internal/event"
	"dex/internal/signing"
	"dex/internal/store"
	"dex/internal/store/memory"
)

const (
	issuer   = "http://dex.test/dex"
	callback = "https://app.test/callback"

	configuration = `
issuer: http://dex.test/dex
storage: {type: memory}
web: {http: 127.0.0.1:0}
enablePasswordDB: true
staticPasswords:
- email: admin@example.com
  # password
  hash: "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"
  username: admin
  name: Admin User
  userID: 08a8684b-db88-4b73-90a9-3cd1661f5466
  groups: [team-a]
connectors:
- {type: mockCallback, id: mock, name: Example}
- {type: mockPassword, id: "odd id/%", name: Other, config: {username: u, password: p}}
staticClients:
- {id: app, secret: app-secret, name: App, redirectURIs: ["https://app.test/callback", "https://app.test/callback?x=1"]}
- {id: other, secret: "o+%ther secret", name: Other, redirectURIs: ["https://other.test/cb"], trustedPeers: [app]}
- {id: strict, secret: s, name: Strict, redirectURIs: ["https://strict.test/cb"], allowedConnectors: [local]}
- {id: cli, public: true, name: Command line}
`
)

// A server is Dex in memory, reached without a network.
type server struct {
	t       testing.TB
	handler http.Handler
}

// start runs a server with the configuration above and more of the same kind.
func start(t *testing.T, more string) *server {
	t.Helper()
	return startWith(t, configuration+more)
}

// startWith runs a server with a configuration.
func startWith(t testing.TB, yaml string) *server {
	t.Helper()
	return startOn(t, yaml, nil)
}

// startOn runs a server with a configuration, with something around its storage.
func startOn(t testing.TB, yaml string, wrap func(store.Store) store.Store) *server {
	t.Helper()
	h := open(t, yaml, wrap).Handler()
	return &server{t: t, handler: h}
}

// open returns a server that does not run yet.
func open(t testing.TB, yaml string, wrap func(store.Store) store.Store, edit ...func(*app.Options)) *app.Core {
	t.Helper()
	plan, problems := app.Check(config.Source{Name: "test.yaml", Data: []byte(yaml), Env: environment})
	if plan == nil {
		t.Fatal(app.Report(problems))
	}
	opts := app.Options{
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), WrapStore: withKeys(t, plan, wrap), Events: []event.Sink{inAllFlows},
	}
	for _, e := range edit {
		e(&opts)
	}
	a, err := app.New(t.Context(), plan, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// environment has no variables: what upstream has behind a flag, the configuration switches on here.
func environment(string) (string, bool) { return "", false }

// firstKeys are signing keys for all servers that need nothing special, as RSA keys take long to make.
var firstKeys = sync.OnceValues(func() (signing.Keyset, error) {
	s := memory.New()
	_, err := signing.Open(context.Background(), s, signing.Config{
		Algorithm: signing.RS256, RotationPeriod: 6 * time.Hour, TokenLifetime: 24 * time.Hour,
	}, slog.New(slog.DiscardHandler), event.Discard)
	if err != nil {
		return signing.Keyset{}, err
	}
	e, err := store.In(s, signing.Kind).Get(context.Background(), signing.RecordKey)
	return e.Value, err
})

// withKeys puts keys into an empty storage before it is wrapped, unless the configuration says something about them.
func withKeys(t testing.TB, plan *app.Plan, wrap func(store.Store) store.Store) func(store.Store) store.Store {
	t.Helper()
	return func(inner store.Store) store.Store {
		if plan.Config.Signer == nil && plan.Config.Storage.Type == "memory" {
			keys, err := firstKeys()
			if err != nil {
				t.Fatal(err)
			}
			keys.RotateAt = time.Now().Add(6 * time.Hour)
			if _, err := store.In(inner, signing.Kind).Create(t.Context(), signing.RecordKey, keys); err != nil {
				t.Fatal(err)
			}
		}
		if wrap == nil {
			return inner
		}
		return wrap(inner)
	}
}

// An answer is what the server said.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

func (s *server) do(r *http.Request) answer {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return answer{s.t, w.Code, w.Header(), w.Body.String()}
}

func (s *server) get(path string) answer {
	return s.do(httptest.NewRequest(http.MethodGet, "http://dex.test"+path, nil))
}

// location returns where the answer sends the browser.
func (a answer) location() *url.URL {
	a.t.Helper()
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil {
		a.t.Fatal(err)
	}
	return u
}

// json returns a member of the answer, and its members.
func (a answer) json() map[string]any {
	a.t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		a.t.Fatalf("answer %d is no JSON: %v\n%s", a.status, err, a.body)
	}
	return v
}

func (a answer) text(member string) string {
	a.t.Helper()
	s, _ := a.json()[member].(string)
	return s
}

// wantStatus ends the test unless the answer has the status.
func (a answer) wantStatus(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d\n%v\n%s", a.status, status, a.header, a.body)
	}
	return a
}

// wantError checks an answer of the token endpoint.
func (a answer) wantError(status int, code string) {
	a.t.Helper()
	if a.status != status || a.text("error") != code {
		a.t.Errorf("got %d %s, want %d and error %s", a.status, a.body, status, code)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		a.t.Errorf("Cache-Control is %q, want no-store", got)
	}
}

// wantRedirectError checks that the application is told of an error.
func (a answer) wantRedirectError(code string) url.Values {
	a.t.Helper()
	a.wantStatus(http.StatusSeeOther)
	q := a.params()
	if q.Get("error") != code {
		a.t.Errorf("the application is told %v, want error %s", q, code)
	}
	if q.Get("iss") != issuer {
		a.t.Errorf("iss is %q, want %s", q.Get("iss"), issuer)
	}
	return q
}

// params returns what a redirect tells the application, in the fragment or in the query.
func (a answer) params() url.Values {
	a.t.Helper()
	_, fragment, ok := strings.Cut(a.header.Get("Location"), "#")
	if !ok {
		return a.location().Query()
	}
	q, err := url.ParseQuery(fragment)
	if err != nil {
		a.t.Fatal(err)
	}
	return q
}

// A browser keeps cookies.
type browser struct {
	*server
	jar http.CookieJar
}

func (s *server) browser() *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{s, jar}
}

func (b *browser) send(r *http.Request) answer {
	b.t.Helper()
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	a := b.do(r)
	b.jar.SetCookies(r.URL, (&http.Response{Header: a.header}).Cookies())
	return a
}

func (b *browser) visit(path string) answer {
	b.t.Helper()
	return b.send(httptest.NewRequest(http.MethodGet, "http://dex.test"+path, nil))
}

func (b *browser) post(path string, form url.Values) answer {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://dex.test"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.send(r)
}

// request returns a good authorization request, changed by pairs of name and value; the value "-" removes the name.
func request(pairs ...string) url.Values {
	v := url.Values{
		"client_id": {"app"}, "redirect_uri": {callback}, "response_type": {"code"},
		"scope": {"openid email profile groups offline_access"}, "state": {"s &=%"}, "nonce": {"n"},
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "-" {
			v.Del(pairs[i])
			continue
		}
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// scrambled returns a state of a length that can't be compressed much.
func scrambled(length int) string {
	b := make([]byte, length)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	return base64.RawURLEncoding.EncodeToString(b)[:length]
}

func authPath(pairs ...string) string { return "/dex/auth?" + request(pairs...).Encode() }

// path returns what a redirect within the server leads to.
func (a answer) path() string {
	a.t.Helper()
	u := a.location()
	if u.Host != "" && u.Host != "dex.test" {
		a.t.Fatalf("redirect leaves the server: %s", u)
	}
	return u.RequestURI()
}

// passwordForm begins a login with the password form and returns its path.
func (b *browser) passwordForm(pairs ...string) string {
	b.t.Helper()
	return b.visit(authPath(append(pairs, "connector_id", "local")...)).wantStatus(http.StatusFound).path()
}

func credentials() url.Values {
	return url.Values{"login": {"Admin@example.com"}, "password": {"password"}}
}

// consent signs in through the mock and returns the path of the consent page.
func (b *browser) consent(pairs ...string) string {
	b.t.Helper()
	trip := b.visit(authPath(append(pairs, "connector_id", "mock")...)).wantStatus(http.StatusFound)
	return b.visit(trip.path()).wantStatus(http.StatusSeeOther).path()
}

// login signs in through the mock, approves, and returns the answer to the application.
func (b *browser) login(pairs ...string) url.Values {
	b.t.Helper()
	page := b.consent(pairs...)
	return b.post(page, url.Values{"approval": {"approve"}}).wantStatus(http.StatusSeeOther).location().Query()
}

// code signs in and returns the code.
func (s *server) code(pairs ...string) string {
	s.t.Helper()
	code := s.browser().login(pairs...).Get("code")
	if code == "" {
		s.t.Fatal("no code")
	}
	return code
}

// token sends a form to the token endpoint.
func (s *server) token(form url.Values, edit ...func(*http.Request)) answer {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://dex.test/dex/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if len(edit) == 0 {
		r.SetBasicAuth("app", "app-secret")
	}
	for _, e := range edit {
		e(r)
	}
	return s.do(r)
}

// noCredentials leaves client authentication to the form.
func noCredentials(*http.Request) {}

func codeForm(code string, pairs ...string) url.Values {
	return form(append([]string{"grant_type", "authorization_code", "code", code, "redirect_uri", callback}, pairs...)...)
}

func refreshForm(token string, pairs ...string) url.Values {
	return form(append([]string{"grant_type", "refresh_token", "refresh_token", token}, pairs...)...)
}

func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// tokens signs in and redeems the code.
func (s *server) tokens(pairs ...string) answer {
	s.t.Helper()
	return s.token(codeForm(s.code(pairs...))).wantStatus(http.StatusOK)
}

// claims returns what a token says.
func claims(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %q", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
