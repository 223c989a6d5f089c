package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"dex/internal/faulttest"
	"dex/test/servers"
)

const (
	// hang is longer than the timeout of any write except Kubernetes's, and longer than a reuse interval.
	hang = 12 * time.Second
	// retriesFor is how long an unanswered request can be repeated.
	retriesFor = time.Minute
	// stormers is the number of devices that use their tokens all the time.
	stormers = 16
)

// An application lost its login if a replica's storage hung, or the storage's answer got lost: the write had happened, and the
// repeated request was taken for a thief's. Two replicas are under load while one's storage answers get lost, and while the
// storage's server stops and continues. Requests that fail are repeated at either of them.
var _ = faulttest.Add("O1", func(t *testing.T) {
	onEach(t, sharedStorages, func(t *testing.T, kind string) {
		t.Parallel() // most of it is waiting
		s := startStorm(t, kind)
		ctx, end := context.WithCancel(t.Context())
		devices, ctx := errgroup.WithContext(ctx)
		for i := range stormers {
			devices.Go(func() error { return s.weather(ctx, i) })
		}
		step := func(name string, begin, end func()) {
			s.quiet(ctx, t)
			t.Logf("%s: after %d answers", name, s.answers())
			begin()
			time.Sleep(hang) // what the test is about
			end()
		}
		step("the answers to one replica get lost", func() { s.relays[0].Mute(true) }, func() {
			s.relays[0].Mute(false)
			s.relays[0].Cut()
		})
		var thaw func() error
		step("the server freezes, and goes on", func() {
			var err error
			if thaw, err = pool.Freeze(kind); err != nil {
				t.Fatal(err)
			}
		}, func() {
			if err := thaw(); err != nil {
				t.Fatal(err)
			}
		})
		s.quiet(ctx, t)
		end()
		if err := devices.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		t.Logf("%d answers, %d requests sent again", s.answered, s.repeated)
		if s.repeated == 0 {
			t.Error("nothing was sent again, which has shown nothing")
		}
		s.catchThief(t)
	})
})

// A storm is two replicas on one storage, each behind a relay, and what devices got from them.
type storm struct {
	*dex
	relays   []*servers.Relay
	replicas []*dex

	mu                 sync.Mutex
	answered, repeated int
}

func startStorm(t *testing.T, kind string) *storm {
	t.Helper()
	one := newConfiguration(t).withoutConsent().withReuseInterval("1s").withStorage(t, kind)
	other, web := one.replica(t)
	other.with("web", section{"http": web})
	s := &storm{}
	for i, c := range []*configuration{one, other} {
		s.relays = append(s.relays, c.throughRelay(t, kind))
		startProcess(t, fmt.Sprint("replica ", i), binaries.release, "serve", c.write(t))
	}
	issuer, err := url.Parse(one.issuer)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []*configuration{one, other} {
		c.waitUntilReady(t)
		direct := newTransport(nil)
		t.Cleanup(direct.CloseIdleConnections)
		host := []string{issuer.Host, web}[i]
		s.replicas = append(s.replicas, &dex{
			configuration: one, transport: &alternating{next: direct, replicas: []string{host}},
		})
	}
	s.dex = s.replicas[0]
	return s
}

// throughRelay puts a relay in front of a storage's server.
func (c *configuration) throughRelay(t *testing.T, kind string) *servers.Relay {
	t.Helper()
	text, err := json.Marshal(c.root["storage"])
	if err != nil {
		t.Fatal(err)
	}
	storage := section{}
	if err := json.Unmarshal(text, &storage); err != nil {
		t.Fatal(err)
	}
	settings := storage["config"].(section)
	var relay *servers.Relay
	before := func(port int) int {
		if relay, err = servers.NewRelay(t.Context(), port); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = relay.Close() })
		return relay.Port
	}
	switch kind {
	case "etcd":
		settings["endpoints"] = []string{moved(t, settings["endpoints"].([]any)[0].(string), before)}
	case "kubernetes":
		settings["kubeConfigFile"] = movedCluster(t, settings["kubeConfigFile"].(string), before)
	default:
		settings["port"] = before(int(settings["port"].(float64)))
	}
	c.root["storage"] = storage
	return relay
}

// moved changes the port of an address.
func moved(t *testing.T, address string, before func(port int) int) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	u.Host = net.JoinHostPort(u.Hostname(), strconv.Itoa(before(port)))
	return u.String()
}

// movedCluster writes a kubeconfig file whose server has a different port.
func movedCluster(t *testing.T, file string, before func(port int) int) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	config := section{}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	cluster := config["clusters"].([]any)[0].(section)["cluster"].(section)
	cluster["server"] = moved(t, cluster["server"].(string), before)
	changed, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, t.TempDir(), "kubeconfig", string(changed))
}

// weather signs in and refreshes until the context ends. Its error says what was lost.
func (s *storm) weather(ctx context.Context, i int) error {
	for n := 0; ctx.Err() == nil; n++ {
		at := s.replicas[(i+n)%len(s.replicas)]
		code, err := newVisitor(at.transport).signIn(ctx, at.authURL("/auth/mock", nil))
		if err != nil || code.Get("code") == "" {
			continue // the login didn't happen, and is started again
		}
		token, err := s.insist(ctx, i, "code", func(d *dex) (*tokenAnswer, error) { return d.redeem(ctx, code.Get("code")) })
		if err != nil {
			return err
		}
		for range 20 {
			before := token
			token, err = s.insist(ctx, i, "refresh token", func(d *dex) (*tokenAnswer, error) { return d.refresh(ctx, before) })
			if err != nil {
				return err
			}
			if err := rest(ctx, 2*time.Second/10); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// insist sends a request to the replicas in turn until it gets an answer.
func (s *storm) insist(ctx context.Context, i int, what string, send func(*dex) (*tokenAnswer, error)) (string, error) {
	begun := time.Now()
	for try := 0; ; try++ {
		a, err := send(s.replicas[(i+try)%len(s.replicas)])
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case err == nil && a.status == http.StatusOK:
			s.count(try)
			return a.RefreshToken, nil
		case err == nil && a.status < http.StatusInternalServerError:
			return "", fmt.Errorf("%s, presented for the %d. time after %v: status %d, error %q: the login is lost",
				what, try+1, time.Since(begun).Round(time.Second), a.status, a.Error)
		case time.Since(begun) > retriesFor:
			return "", fmt.Errorf("%s: no answer within %v", what, retriesFor)
		}
		if err := rest(ctx, 2*time.Second); err != nil {
			return "", err
		}
	}
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (s *storm) count(repeated int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered++
	s.repeated += repeated
}

func (s *storm) answers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered
}

// quiet waits until the devices get answers again, or one of them has lost its login.
func (s *storm) quiet(ctx context.Context, t *testing.T) {
	t.Helper()
	enough := s.answers() + 10*stormers
	eventually(t, 2*patience, "devices have answers", func() bool { return ctx.Err() != nil || s.answers() >= enough })
}

// catchThief shows that a token that was answered works for nobody else, at either replica.
func (s *storm) catchThief(t *testing.T) {
	t.Helper()
	for i := range s.replicas {
		stolen := s.replicas[0].mustLogin(t, "mock").RefreshToken
		newest := s.replicas[0].mustRefresh(t, stolen).RefreshToken
		time.Sleep(8 * time.Second) // the reuse interval, and the usual difference between replicas' clocks
		wantRefused(t, "a stolen token", s.replicas[i].mustRefresh(t, stolen))
		wantRefused(t, "the newest token of the login that has ended", s.replicas[0].mustRefresh(t, newest))
	}
}
