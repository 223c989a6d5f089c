package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
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
	d := startReplicas(t, kind)
	for range 4 { // an odd number of requests each, so that they begin at either replica
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
		if first, second := d.keyIDs(t), d.keyIDs(t); !slices.Equal(first, second) {
			t.Errorf("the replicas publish different keys: %v and %v", first, second)
		}
	}
}

// startReplicas starts two servers and returns them as one server behind a load balancer.
func startReplicas(t *testing.T, kind string) *dex {
	t.Helper()
	one := newConfiguration(t).withReuseInterval("60s").withStorage(t, kind)
	other, web := one.replica(t)
	issuer, err := url.Parse(one.issuer)
	if err != nil {
		t.Fatal(err)
	}

	direct := newTransport(nil)
	for _, c := range []*configuration{one, other} {
		startProcess(t, "dex at "+c.telemetry, binaries.dex, "serve", c.write(t))
	}
	t.Cleanup(direct.CloseIdleConnections)
	for _, c := range []*configuration{one, other} {
		c.waitUntilReady(t)
	}
	return &dex{configuration: one, transport: &alternating{next: direct, replicas: []string{issuer.Host, web}}}
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
