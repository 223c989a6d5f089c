package kubernetes_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/internal/kubeapi"
	"dex/internal/store"
	"dex/internal/store/kubernetes"
	"dex/test/servers"
)

// TestThrottled writes to a server that takes one write at a time and refuses all others.
func TestThrottled(t *testing.T) {
	small, err := servers.StartKubernetes(t.Context(), "--enable-priority-and-fairness=false",
		"--max-requests-inflight=4", "--max-mutating-requests-inflight=1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := small.Close(); err != nil {
			t.Error(err)
		}
	})
	n, err := small.NewNamespace(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var refused atomic.Int64
	count := kubeapi.Transport(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			answer, err := next.RoundTrip(r)
			if err == nil && answer.StatusCode == http.StatusTooManyRequests {
				refused.Add(1)
			}
			return answer, err
		})
	})
	s := open(t, config(n), quiet, count)
	const writers = 32
	var work errgroup.Group
	var failed [writers]error
	for i := range writers {
		work.Go(func() error {
			_, failed[i] = s.Create(t.Context(), store.Record{Kind: "refresh", Key: fmt.Sprint(i), Data: []byte("1")})
			return nil
		})
	}
	_ = work.Wait()
	t.Logf("%d requests were refused, %d writes failed", refused.Load(), countErrors(failed[:]))
	if refused.Load() == 0 {
		t.Error("no request was refused, which has shown nothing")
	}
	for i, err := range failed {
		_, found := s.Get(t.Context(), "refresh", fmt.Sprint(i))
		switch {
		case err == nil && found != nil:
			t.Errorf("write %d succeeded, and reading it gives: %v", i, found)
		case err != nil && !errors.Is(found, store.ErrNotFound):
			t.Errorf("write %d failed (%v), and reading it gives: %v", i, err, found)
		case err != nil && !strings.Contains(err.Error(), "status 429") && !strings.Contains(err.Error(), "no answer within"):
			t.Errorf("write %d: the error does not say what is wrong: %v", i, err)
		}
	}
	if succeeded := writers - countErrors(failed[:]); succeeded < writers/8 {
		t.Errorf("only %d of %d writes succeeded: waiting as the server says does not help", succeeded, writers)
	}
	for i, err := range failed { // one after the other, the server takes them
		if err != nil {
			create(t, s, "refresh", fmt.Sprint(i), 1)
		}
	}
}

func countErrors(errs []error) (n int) {
	for _, err := range errs {
		if err != nil {
			n++
		}
	}
	return n
}

// TestSilentServer shows how soon an operation ends if the server hangs, and that everything goes on at once afterwards.
func TestSilentServer(t *testing.T) {
	s := open(t, config(fresh(t)), quiet)
	create(t, s, "login", "a", 1)
	thaw, err := server.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []time.Duration{3 * time.Second, time.Second} { // the first time, and the next
		began := time.Now()
		_, err := s.Get(t.Context(), "login", "a")
		wantRefusal(t, "Get", err)
		if err == nil || !strings.Contains(err.Error(), server.URL) || !strings.Contains(err.Error(), "no answer within "+limit.String()) {
			t.Errorf("the error does not say who does not answer: %v", err)
		}
		if took := time.Since(began); took > limit+1900*time.Millisecond {
			t.Errorf("it took %v to say so, want %v", took, limit)
		}
	}
	if err := thaw(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := s.Get(t.Context(), "login", "a"); err != nil {
		t.Errorf("Get right afterwards: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Get right afterwards took %v", took)
	}
}

// TestDeadConnection cuts the connection off without a word, as when a machine or a route between is gone. A new one works.
func TestDeadConnection(t *testing.T) {
	n := fresh(t)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	relay, err := servers.NewRelay(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := relay.Close(); err != nil {
			t.Error(err)
		}
	})
	through := *server
	through.URL = "https://127.0.0.1:" + strconv.Itoa(relay.Port)
	file, err := through.WriteKubeConfig(n.Namespace, object{"token": n.Token})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, kubernetes.Config{KubeConfigFile: file}, quiet)
	create(t, s, "login", "a", 1)
	changes := watch(t, s)
	relay.Freeze()
	began := time.Now()
	for _, err = s.Get(t.Context(), "login", "a"); err != nil; _, err = s.Get(t.Context(), "login", "a") {
		if time.Since(began) > patience {
			t.Fatalf("Get still fails: %v", err)
		}
	}
	took := time.Since(began)
	t.Logf("a new connection %v after the old one died", took)
	if took > 8*time.Second {
		t.Errorf("it took %v", took)
	}
	post(t, n, "oauth2clients", "OAuth2Client", exampleApp, object{"id": "example-app"})
	wantChange(t, "on the new connection", changes, "client", "example-app")
}
