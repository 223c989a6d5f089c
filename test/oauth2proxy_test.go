package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A gate stands between oauth2-proxy and browsers on one side and Dex on the other, at the address of the issuer. It remembers
// what is asked of the token endpoint, and can answer in its place.
type gate struct {
	*httptest.Server

	mu       sync.Mutex
	asked    []tokenRequest
	instead  http.HandlerFunc // answers token requests; nil: Dex does
	question url.Values       // the last authorization request
}

// A tokenRequest is what oauth2-proxy sent to the token endpoint.
type tokenRequest struct {
	header http.Header
	form   url.Values
}

func newGate(t *testing.T, address string) *gate {
	t.Helper()
	g := &gate{}
	behind := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: address})
			r.Out.Host = r.In.Host
			r.Out.Header.Set("X-Remote-User", "jane") // for the connectors of type authproxy
			r.Out.Header.Set("X-Remote-User-Email", "jane@example.com")
		},
		// Dex is not there yet.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/auth"):
			g.mu.Lock()
			g.question = r.URL.Query()
			g.mu.Unlock()
		case strings.HasSuffix(r.URL.Path, "/token"):
			if instead := g.note(t, r); instead != nil {
				instead(w, r)
				return
			}
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

// note remembers a token request, and returns what answers it.
func (g *gate) note(t *testing.T, r *http.Request) http.HandlerFunc {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, tokenRequest{r.Header.Clone(), form})
	return g.instead
}

// answer replaces the token endpoint; nil restores it.
func (g *gate) answer(instead http.HandlerFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.instead = instead
}

// requests returns the token requests for a grant so far.
func (g *gate) requests(grant string) (found []tokenRequest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.asked {
		if r.form.Get("grant_type") == grant {
			found = append(found, r)
		}
	}
	return found
}

// asks returns the last authorization request.
func (g *gate) asks() url.Values {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.question
}

// The secrets in these tests. The cookie secret is the article's.
const (
	proxyClientSecret = "secret with:signs/+&%"
	proxyCookieSecret = "bVbMfxlt8Wmq4E1OYTICqS_AZHTeVDUEdFP5LGbY05c"
)

// A guardedSite is a Dex with room for several oauth2-proxies, one for each set of flags. Each client has a connector of its
// own, so that nobody has to choose one.
type guardedSite struct {
	*dex
	gate *gate
	free []string // addresses of proxies that are registered as redirect URIs
}

// The clients of a guarded site.
const (
	proxyClientID    = "oauth2-proxy" // through a mock: kilgore@kilgore.trout, in the group authors
	localClientID    = "local"        // with a password
	manyClientID     = "many"         // jane, in many groups
	doubtfulClientID = "doubtful"     // jane, whose address nobody has verified
)

// manyGroups are the ids of 500 groups, as Entra ID has them.
func manyGroups() (groups []string) {
	for i := range 500 {
		sum := sha256.Sum256([]byte(strconv.Itoa(i)))
		groups = append(groups, fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
	}
	return groups
}

// startGuardedSite starts Dex with some settings changed. It doesn't ask for consent unless oauth2-proxy insists.
func startGuardedSite(t *testing.T, change func(*configuration)) *guardedSite {
	t.Helper()
	s := &guardedSite{}
	c := newConfiguration(t).withoutConsent()
	s.gate = newGate(t, strings.TrimSuffix(strings.TrimPrefix(c.issuer, "http://"), "/dex"))
	c.withIssuer(s.gate.URL + "/dex")
	var callbacks []string
	for range 40 {
		address := freeAddress(t)
		s.free = append(s.free, address)
		callbacks = append(callbacks, "http://"+address+"/oauth2/callback")
	}
	clients := []section{{"id": clientID, "name": "Example App", "secret": clientSecret, "redirectURIs": []string{callbackURL}}}
	for id, connector := range map[string]string{
		proxyClientID: "mock", localClientID: "local", manyClientID: "many", doubtfulClientID: "doubtful",
	} {
		clients = append(clients, section{
			"id": id, "name": "Oauth2 Proxy Static Client", "secret": proxyClientSecret, "redirectURIs": callbacks,
			"allowedConnectors": []string{connector},
		})
	}
	c.with("staticClients", clients)
	c.with("connectors", []section{
		{"type": "mockCallback", "id": "mock", "name": "Example"},
		{"type": "authproxy", "id": "many", "name": "Many", "config": section{"staticGroups": manyGroups(), "refreshMaxAge": "1h"}},
		{"type": "authproxy", "id": "doubtful", "name": "Doubtful", "config": section{"emailVerified": false}},
	})
	if change != nil {
		change(c)
	}
	s.dex = startDex(t, c)
	return s
}

// An authProxy is a running oauth2-proxy.
type authProxy struct {
	*process
	url string
}

// startProxy starts oauth2-proxy with the article's arguments, for plain HTTP on this machine. More arguments add to them or
// replace them.
func (s *guardedSite) startProxy(t *testing.T, more ...string) *authProxy {
	t.Helper()
	p := s.runProxy(t, s.issuer, more...)
	p.waitReady(t)
	return p
}

// runProxy is startProxy without the wait, for any issuer.
func (s *guardedSite) runProxy(t *testing.T, issuer string, more ...string) *authProxy {
	t.Helper()
	address := s.free[0]
	s.free = s.free[1:]
	args := []string{
		"--provider=oidc", "--oidc-issuer-url=" + issuer, "--scope=openid profile email", "--email-domain=*",
		"--upstream=static://200", "--http-address=" + address, "--cookie-secure=false", "--request-logging=false",
	}
	for _, arg := range more { // given twice, some flags would add up
		flag, _, _ := strings.Cut(arg, "=")
		args = slices.DeleteFunc(args, func(was string) bool { return strings.HasPrefix(was, flag+"=") })
	}
	return runAuthProxy(t, "http://"+address, append(args, more...))
}

// runAuthProxy starts oauth2-proxy with the article's environment.
func runAuthProxy(t *testing.T, address string, args []string, env ...string) *authProxy {
	t.Helper()
	cmd := exec.Command(oauth2ProxyProgram(t), args...)
	cmd.Env = append(cleanEnvironment(), "OAUTH2_PROXY_CLIENT_ID="+proxyClientID,
		"OAUTH2_PROXY_CLIENT_SECRET="+proxyClientSecret, "OAUTH2_PROXY_COOKIE_SECRET="+proxyCookieSecret)
	cmd.Env = append(cmd.Env, env...)
	return &authProxy{startCommand(t, "oauth2-proxy", cmd), address}
}

// waitReady waits until the proxy answers.
func (p *authProxy) waitReady(t *testing.T) {
	t.Helper()
	eventually(t, patience, "oauth2-proxy answers", func() bool {
		if !p.running() {
			t.Fatalf("oauth2-proxy ended at start:\n%s", p.log)
		}
		resp, err := http.Get(p.url + "/ping")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// wantLog expects words in the log.
func (p *authProxy) wantLog(t *testing.T, words string) {
	t.Helper()
	eventually(t, patience, fmt.Sprintf("oauth2-proxy logs %q", words), func() bool { return strings.Contains(p.log.String(), words) })
}

// oauth2ProxyProgram returns the program that OAUTH2_PROXY_BIN names, or the newest release, built from its module.
func oauth2ProxyProgram(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("OAUTH2_PROXY_BIN"); path != "" {
		return path
	}
	path, err := buildOAuth2Proxy()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildOAuth2Proxy = sync.OnceValues(func() (string, error) {
	path, err := filepath.Abs(filepath.Join(filepath.Dir(binaries.dex), "oauth2-proxy"))
	if err != nil {
		return "", err
	}
	// Without cgo, as in make test, so that its build is reused.
	return path, goBuild(filepath.Join("servers", "oauth2proxy"), "CGO_ENABLED=0", "-trimpath", "-o", path,
		"github.com/oauth2-proxy/oauth2-proxy/v7")
})

// An arrival is where a visitor of a guarded application ended up.
type arrival struct {
	*page
	visitor   *visitor
	consented bool // the consent page was shown
}

// enter signs somebody in at the proxy with a new browser, on the way to a page of the application.
func (p *authProxy) enter(t *testing.T) *arrival {
	t.Helper()
	a := &arrival{visitor: newVisitor(newTransport(nil))}
	a.comeBack(t, p)
	return a
}

// comeBack is enter for the same browser.
func (a *arrival) comeBack(t *testing.T, p *authProxy) {
	t.Helper()
	var err error
	a.page, err = a.visitor.get(t.Context(), p.url+"/oauth2/start?rd=/report")
	if err == nil && strings.HasSuffix(a.url.Path, "/login") {
		a.page, err = a.visitor.enterPassword(t.Context(), a.page, adminEmail, adminPassword)
	}
	if a.consented = err == nil && strings.HasSuffix(a.url.Path, "/approval"); a.consented {
		a.page, err = a.visitor.answerConsent(t.Context(), a.page, "approve")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mustEnter is enter for somebody who gets in.
func (p *authProxy) mustEnter(t *testing.T) *arrival {
	t.Helper()
	a := p.enter(t)
	a.wantIn(t, p)
	return a
}

// wantIn expects to be at the page that the visitor wanted.
func (a *arrival) wantIn(t *testing.T, p *authProxy) {
	t.Helper()
	if a.status != http.StatusOK || a.url.String() != p.url+"/report" {
		t.Fatalf("the visitor arrives at %s with status %d:\n%s\n%s", a.url, a.status, a.body, p.log)
	}
}

// ask visits another page of the proxy with the same browser.
func (a *arrival) ask(t *testing.T, address string) *page {
	t.Helper()
	p, err := a.visitor.get(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// userInfo is what the proxy says about its user.
type userInfo struct {
	User, Email, PreferredUsername string
	Groups                         []string
}

func (a *arrival) userInfo(t *testing.T, p *authProxy) (u userInfo) {
	t.Helper()
	answer := a.ask(t, p.url+"/oauth2/userinfo")
	if err := json.Unmarshal([]byte(answer.body), &u); err != nil {
		t.Fatalf("/oauth2/userinfo, status %d: %v", answer.status, err)
	}
	return u
}
