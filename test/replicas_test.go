package e2e

import (
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// alternating is the worst load balancer: each request reaches a different replica than the one before.
type alternating struct {
	next     http.RoundTripper
	replicas []string // host:port
	count    atomic.Int64
}

func (a *alternating) RoundTrip(r *http.Request) (*http.Response, error) {
	routed := r.Clone(r.Context())
	routed.Host = r.URL.Host // what the browser has in its address bar
	routed.URL.Host = a.replicas[int(a.count.Add(1))%len(a.replicas)]
	return a.next.RoundTrip(routed)
}

// TestLoginMayChangeReplicaAtEachStep shows that two servers on one storage, both started at the same moment on an empty
// one, act as one provider: no step of a login, refresh or verification needs the replica of the step before.
func TestLoginMayChangeReplicaAtEachStep(t *testing.T) {
	t.Parallel()
	onEach(t, append([]string{"sqlite3"}, sharedStorages...), testChangingReplicas)
}

func testChangingReplicas(t *testing.T, kind string) {
	d := newConfiguration(t).withReuseInterval("60s").withStorage(t, kind).startReplicas(t, 2)
	for range 4 { // an odd number of requests each, so that they begin at either replica
		d.hop(t)
		if first, second := d.keyIDs(t), d.keyIDs(t); !slices.Equal(first, second) {
			t.Errorf("the replicas publish different keys: %v and %v", first, second)
		}
	}
}

// hop signs in, refreshes and verifies, each step at another replica than the one before.
func (d *dex) hop(t *testing.T) {
	t.Helper()
	tokens := d.mustLogin(t, "local")
	next := d.mustRefresh(t, tokens.RefreshToken)
	again := d.mustRefresh(t, tokens.RefreshToken)
	if next.status != http.StatusOK || again.RefreshToken != next.RefreshToken {
		t.Errorf("a refresh gets status %d, and its repetition at the other replica %d with another token",
			next.status, again.status)
	}
	for range 2 {
		if status, subject := d.userInfo(t, next.AccessToken); status != http.StatusOK || subject == "" {
			t.Errorf("UserInfo answers %d to a token that the other replica may have signed", status)
		}
	}
}

// startReplicas starts servers on one storage and returns them as one server behind a load balancer.
func (c *configuration) startReplicas(t *testing.T, n int) *dex {
	t.Helper()
	direct := newTransport(nil)
	balancer := &alternating{next: direct, replicas: []string{c.root["web"].(section)["http"].(string)}}
	all := []*configuration{c}
	for range n - 1 {
		other, web := c.replica(t)
		all = append(all, other)
		balancer.replicas = append(balancer.replicas, web)
	}
	for _, one := range all {
		startProcess(t, "dex at "+one.telemetry, binaries.dex, "serve", one.write(t))
	}
	t.Cleanup(direct.CloseIdleConnections)
	for _, one := range all {
		one.waitUntilReady(t)
	}
	return &dex{configuration: c, transport: balancer}
}

// startBalanced starts two servers on one storage, and the worst load balancer where browsers can reach it, at their issuer. Its host is
// this machine, by a name or by an address.
func (c *configuration) startBalanced(t *testing.T, host string) *dex {
	t.Helper()
	address := freeAddress(t)
	issuer := strings.Replace(address, "127.0.0.1", host, 1)
	d := c.withIssuer("http://"+issuer+"/dex").startReplicas(t, 2)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	balancer := &http.Server{ReadHeaderTimeout: patience, Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: issuer}) }, Transport: d.transport,
	}}
	ended := make(chan struct{})
	go func() {
		_ = balancer.Serve(listener) // until it is closed
		close(ended)
	}()
	t.Cleanup(func() {
		_ = balancer.Close()
		<-ended
	})
	return d
}

// replica returns the configuration of another server on the same storage, and its address.
func (c *configuration) replica(t *testing.T) (other *configuration, web string) {
	t.Helper()
	web = freeAddress(t)
	telemetry := freeAddress(t)
	replica := *c
	replica.telemetry = "http://" + telemetry
	replica.root = maps.Clone(c.root)
	return replica.with("web", section{"http": web}).with("telemetry", section{"http": telemetry}), web
}

// waitUntilReady waits until the configuration's server is ready.
func (c *configuration) waitUntilReady(t *testing.T) {
	t.Helper()
	eventually(t, patience, "the server at "+c.telemetry+" is ready", func() bool {
		resp, err := http.Get(c.telemetry + "/healthz/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// userInfo sends an access token to the UserInfo endpoint.
func (d *dex) userInfo(t *testing.T, accessToken string) (status int, subject string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.endpoint("/userinfo"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	p, err := newVisitor(d.transport).visit(r)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	if err := json.Unmarshal([]byte(p.body), &claims); err != nil {
		t.Fatalf("UserInfo, status %d: %v", p.status, err)
	}
	return p.status, claims.Subject
}
