package e2e

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dex/test/servers"
)

const (
	// away is how long the API server is away: longer than two health checks.
	away = 30 * time.Second
	// toldWithin is how long anybody waits meanwhile before they are told so.
	toldWithin = 5 * time.Second
	// backWithin is how long after its return a login must work that begins then.
	backWithin = time.Second
)

// TestAPIServerIsAway shows what people and applications see while the API server that keeps the records is down or hangs:
// an answer soon, nothing lost, and everything works again as soon as it is back.
func TestAPIServerIsAway(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*servers.Kubernetes) (back func() error, err error){
		"down": func(k *servers.Kubernetes) (func() error, error) {
			return func() error { return k.Start(context.Background()) }, k.Stop()
		},
		"hangs": (*servers.Kubernetes).Freeze,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := startKubernetes(t)
			testAway(t, k, func() (func() error, error) { return end(k) })
		})
	}
}

// startKubernetes starts an API server for one test.
func startKubernetes(t *testing.T, flags ...string) *servers.Kubernetes {
	t.Helper()
	k, err := servers.StartKubernetes(t.Context(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// onKubernetes gives the server a new namespace of an API server as its storage.
func (c *configuration) onKubernetes(t *testing.T, k *servers.Kubernetes) *configuration {
	t.Helper()
	n, err := k.NewNamespace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.root["storage"] = section{"type": "kubernetes", "config": section{"kubeConfigFile": n.KubeConfigFile}}
	return c
}

// waits keeps how long the longest answer has taken.
type waits struct {
	next    http.RoundTripper
	longest atomic.Int64 // nanoseconds
}

func (w *waits) RoundTrip(r *http.Request) (*http.Response, error) {
	asked := time.Now()
	answer, err := w.next.RoundTrip(r)
	if took := int64(time.Since(asked)); took > w.longest.Load() {
		w.longest.Store(took)
	}
	return answer, err
}

func testAway(t *testing.T, k *servers.Kubernetes, end func() (back func() error, err error)) {
	d := startServer(t, binaries.release, newConfiguration(t).withoutConsent().onKubernetes(t, k), nil)
	waits := &waits{next: d.transport}
	d.transport = waits
	// One who has a token, one application that has a code, and one who has just opened the form.
	tokens := d.mustLogin(t, "local")
	answer, err := newVisitor(d.transport).signIn(t.Context(), d.authURL("/auth/local", nil))
	if err != nil {
		t.Fatal(err)
	}
	v := newVisitor(d.transport)
	form, err := v.get(t.Context(), d.authURL("/auth/local", nil))
	if err != nil {
		t.Fatal(err)
	}

	back, err := end()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for round := 0; round == 0 || time.Since(began) < away; round++ {
		told := func(what string, failed func() (bool, error)) {
			t.Helper()
			waits.longest.Store(0)
			ok, err := failed()
			if took := time.Duration(waits.longest.Load()); took > toldWithin {
				t.Errorf("round %d: %s: an answer after %v, want one within %v", round, what, took, toldWithin)
			}
			if err != nil || !ok {
				t.Errorf("round %d: %s: not told that it failed: %v", round, what, err)
			}
		}
		told("a login", func() (bool, error) { // the application is told, or the user where it begins
			v := newVisitor(d.transport)
			p, err := v.get(t.Context(), d.authURL("/auth/local", nil))
			if err == nil && p.status == http.StatusOK {
				p, err = v.enterPassword(t.Context(), p, adminEmail, adminPassword)
			}
			if err != nil {
				return false, err
			}
			told := p.answer.Get("error") == "server_error" ||
				p.status == http.StatusInternalServerError && strings.Contains(p.body, "Try again in a moment")
			return told, nil
		})
		told("the code", func() (bool, error) {
			a, err := d.redeem(t.Context(), answer.Get("code"))
			return err == nil && a.status == http.StatusInternalServerError && a.Error == "server_error", err
		})
		told("the refresh token", func() (bool, error) {
			a, err := d.refresh(t.Context(), tokens.RefreshToken)
			return err == nil && a.status == http.StatusInternalServerError && a.Error == "server_error", err
		})
		if round == 0 {
			eventually(t, patience, "readiness says so", func() bool { return d.healthz(t, "/ready") != http.StatusOK })
			if status := d.healthz(t, "/live"); status != http.StatusOK {
				t.Errorf("/healthz/live answers %d, as if a restart helped", status)
			}
		}
		time.Sleep(500 * time.Millisecond) // people who try again now and then
	}

	if err := back(); err != nil {
		t.Fatal(err)
	}
	returned := time.Now()
	for {
		asked := time.Now()
		p, err := v.enterPassword(t.Context(), form, adminEmail, adminPassword)
		if err == nil && p.answer.Get("code") != "" {
			t.Logf("the login from before works, begun %v after the server's return", asked.Sub(returned).Round(time.Millisecond))
			break
		}
		if asked.Sub(returned) > backWithin {
			t.Fatalf("the login that began %v after the server's return fails: %+v, %v", asked.Sub(returned), p, err)
		}
	}
	if a, err := d.redeem(t.Context(), answer.Get("code")); err != nil || a.status != http.StatusOK {
		t.Errorf("the code from before: %+v, %v", a, err)
	}
	if a := d.mustRefresh(t, tokens.RefreshToken); a.status != http.StatusOK {
		t.Errorf("the refresh token from before: status %d, error %q", a.status, a.Error)
	}
	d.mustLogin(t, "local")
	eventually(t, 5*time.Second, "readiness says that it is back", func() bool { return d.healthz(t, "/ready") == http.StatusOK })
}

// healthz returns the status of a health endpoint.
func (d *dex) healthz(t *testing.T, path string) int {
	t.Helper()
	status, _ := d.fetch(t, d.telemetry+"/healthz"+path)
	return status
}
