package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "dex/internal/app" // declares the kinds of all records
	"dex/internal/store"
	"dex/internal/store/kubernetes"
)

// manyLogins names a variable: how many logins TestNothingIsLeft makes instead of those that continuous integration has time for.
const manyLogins = "DEX_MANY_LOGINS"

// TestNothingIsLeft makes many logins with refresh tokens, each refreshed once. When their time has passed, the sweep leaves
// none of their objects in the cluster.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	logins := 1000
	if text := os.Getenv(manyLogins); text != "" {
		var err error
		if logins, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	c := newConfiguration(t).withoutConsent().withStorage(t, "kubernetes").
		with("expiry", section{"refreshTokens": section{"absoluteLifetime": "1h"}})
	objects := c.cluster(t)
	d := startServer(t, binaries.release, c, nil)
	d.mustLogin(t, "mock")
	before := objects.count(t)

	began := time.Now()
	err := crowd(t.Context(), logins, func(ctx context.Context, i int) error {
		tokens, err := d.login(ctx, "mock")
		if err != nil {
			return fmt.Errorf("login %d: %w", i, err)
		}
		next, err := d.refresh(ctx, tokens.RefreshToken)
		if err == nil && next.status != http.StatusOK {
			err = fmt.Errorf("refresh %d: status %d, error %q", i, next.status, next.Error)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	peak := objects.count(t)
	t.Logf("%d logins and refreshes in %v, %.0f a second; objects %v, and before %v",
		logins, took.Round(time.Millisecond), float64(logins)/took.Seconds(), peak, before)
	if peak["refresh"] < logins || peak["code"] < logins {
		t.Errorf("not every login has left its objects for now, which shows nothing")
	}
	d.stop(t)

	began = time.Now()
	swept := c.sweep(t, time.Now().Add(3*time.Hour)) // when the last of it is long over
	left := objects.count(t)
	t.Logf("%d objects swept in %v; left %v", swept, time.Since(began).Round(time.Millisecond), left)
	for kind, n := range left {
		if n > before[kind] || kind == "refresh" || kind == "code" {
			t.Errorf("%d objects of kind %q are left", n, kind)
		}
	}
}

// count returns how many objects the namespace has, by the kind of their records; those without are upstream's own.
func (c *cluster) count(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, plural := range []string{
		"authcodes", "authrequests", "oauth2clients", "signingkeies", "refreshtokens", "passwords", "offlinesessionses", "connectors",
	} {
		var list struct {
			Items []struct {
				Metadata struct{ Labels map[string]string }
			}
		}
		if err := json.Unmarshal(c.do(t, http.MethodGet, plural, nil), &list); err != nil {
			t.Fatal(err)
		}
		for _, item := range list.Items {
			kind := item.Metadata.Labels["dex.coreos.com/record"]
			if kind == "" {
				kind = "upstream's " + plural
			}
			counts[strings.ToLower(kind)]++
		}
	}
	return counts
}

// sweep removes what is over by a time, as the server does every few minutes.
func (c *configuration) sweep(t *testing.T, by time.Time) (swept int) {
	t.Helper()
	file := c.root["storage"].(section)["config"].(section)["kubeConfigFile"].(string)
	s, err := kubernetes.Open(t.Context(), kubernetes.Config{KubeConfigFile: file}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, f := range store.Kinds() {
		for n := 1; n > 0 && f.Expires; swept += n {
			if n, err = s.Sweep(t.Context(), f.Name, by, store.MaxLimit); err != nil {
				t.Fatal(err)
			}
		}
	}
	return swept
}
