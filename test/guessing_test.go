package e2e

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestGuessingTellsNobodyWhoExists compares how long a wrong password takes for an existing and a non-existing user. It is
// not parallel, so that it measures the server rather than the other tests, and tries a few times because other programs may
// use the machine too.
func TestGuessingTellsNobodyWhoExists(t *testing.T) {
	const (
		tries     = 3
		tolerance = 0.25 // of the longer time
	)
	d := startServer(t, binaries.release, newConfiguration(t).with("web", section{
		"clientRemoteIP": section{"header": forwardedFor, "trustedProxies": []string{"127.0.0.1/32"}},
	}), nil)
	var known, unknown time.Duration
	for range tries {
		known, unknown = medianTimes(t, d)
		difference := math.Abs(float64(known-unknown)) / float64(max(known, unknown))
		t.Logf("known user %v, unknown user %v, %.0f %% apart", known, unknown, 100*difference)
		if difference < tolerance {
			return
		}
	}
	t.Errorf("a wrong password takes %v for a user that exists and %v for one that doesn't", known, unknown)
}

// medianTimes guesses for both users alternately.
func medianTimes(t *testing.T, d *dex) (known, unknown time.Duration) {
	t.Helper()
	const guesses = 15
	v := newVisitor(&everywhere{RoundTripper: d.transport})
	form, err := v.get(t.Context(), d.authURL("/auth/local", nil))
	if err != nil {
		t.Fatal(err)
	}
	guess := func(login string) time.Duration {
		start := time.Now()
		p, err := v.enterPassword(t.Context(), form, login, "a wrong password")
		if err != nil {
			t.Fatal(err)
		}
		if p.status != http.StatusUnauthorized || !strings.Contains(p.body, "Login failed") {
			t.Fatalf("a wrong password gets status %d", p.status)
		}
		return time.Since(start)
	}
	var knowns, unknowns []time.Duration
	for range guesses {
		knowns = append(knowns, guess(adminEmail))
		unknowns = append(unknowns, guess("nobody@example.com"))
	}
	return median(knowns), median(unknowns)
}

const forwardedFor = "X-Forwarded-For"

// everywhere sends each request as a proxy would, for a different client, because one client may not guess so often.
type everywhere struct {
	http.RoundTripper
	clients byte
}

func (e *everywhere) RoundTrip(r *http.Request) (*http.Response, error) {
	e.clients++
	r = r.Clone(r.Context())
	r.Header.Set(forwardedFor, fmt.Sprintf("192.0.2.%d", e.clients))
	return e.RoundTripper.RoundTrip(r)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
