package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"sync"
	"testing"
	"time"

	"dex/test/servers"
)

// A calls counts the requests to the API server for logins: those for codes, refresh tokens and connector data. It leaves out what
// happens beside them, however many there are: once a second replicas tell each other what they have answered, and a lease is
// renewed.
type calls struct {
	mu            sync.Mutex
	reads, writes int
	beside        int
}

// ofLogins are the resources of what a login stores.
var ofLogins = regexp.MustCompile(`/(authcodes|refreshtokens|offlinesessionses)(/|$)`)

func (c *calls) count(r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A sweep looks at each kind of records. How many of its requests fall into a test is chance.
	sweep := r.Method == http.MethodGet && r.URL.Query().Has("limit")
	switch {
	case sweep, r.URL.Query().Has("watch"):
	case !ofLogins.MatchString(r.URL.Path):
		c.beside++
	case r.Method == http.MethodGet:
		c.reads++
	default:
		c.writes++
	}
}

// take returns the counts since the last time.
func (c *calls) take() (reads, writes, beside int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reads, writes, beside = c.reads, c.writes, c.beside
	c.reads, c.writes, c.beside = 0, 0, 0
	return reads, writes, beside
}

// TestFewCallsToKubernetes counts the API server calls of a login and a refresh: they are expensive, for the cluster too.
func TestFewCallsToKubernetes(t *testing.T) {
	t.Parallel()
	c := newConfiguration(t).withoutConsent().withStorage(t, "kubernetes")
	counted := c.countCalls(t)
	d := startDex(t, c)
	d.mustLogin(t, "local") // fills the caches
	counted.take()

	const logins = 10
	began := time.Now()
	var tokens []string
	for range logins {
		tokens = append(tokens, d.mustLogin(t, "local").RefreshToken)
	}
	reads, writes, beside := counted.take()
	t.Logf("%d logins with a refresh token: %d reads, %d writes, %d requests beside", logins, reads, writes, beside)
	if reads+writes > 3*logins {
		t.Errorf("%d logins took %d reads and %d writes, want no more than 3 calls each", logins, reads, writes)
	}
	// Whether a user of our own database may still go on is looked up twice, when they have signed in and when the code is redeemed. What
	// else is beside depends on the time, not on the number of logins.
	if limit := 2*logins + 5 + 4*int(time.Since(began)/time.Second); beside > limit {
		t.Errorf("%d logins in %v took %d requests beside, want no more than %d", logins, time.Since(began), beside, limit)
	}
	for _, token := range tokens {
		if a := d.mustRefresh(t, token); a.status != http.StatusOK {
			t.Errorf("refresh: status %d, error %q", a.status, a.Error)
		}
	}
	reads, writes, _ = counted.take()
	t.Logf("%d refreshes: %d reads, %d writes", logins, reads, writes)
	if writes != logins {
		t.Errorf("%d refreshes took %d writes, want 1 each", logins, writes)
	}
}

// countCalls puts a proxy in front of the API server.
func (c *configuration) countCalls(t *testing.T) *calls {
	t.Helper()
	server, err := pool.Kubernetes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	counted := new(calls)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     trusting(server),
		FlushInterval: -1,
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		counted.count(r)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)

	settings := c.root["storage"].(section)["config"].(section)
	text, err := os.ReadFile(settings["kubeConfigFile"].(string))
	if err != nil {
		t.Fatal(err)
	}
	config := section{}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	config["clusters"].([]any)[0].(section)["cluster"] = section{"server": front.URL}
	changed, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	settings["kubeConfigFile"] = writeFile(t, t.TempDir(), "kubeconfig", string(changed))
	return counted
}

func trusting(server *servers.Kubernetes) http.RoundTripper {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(server.Authority.PEM)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
}
