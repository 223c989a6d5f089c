package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"
)

// TestKilledReplicasAreNotNoticed kills one of three replicas each second while 2,000 people sign in and refresh. A step
// whose answer is cut off is tried again at another replica, as applications and browsers do, and must then succeed. Nobody
// may lose a refresh token that they received.
func TestKilledReplicasAreNotNoticed(t *testing.T) {
	const logins, every = 2000, time.Second
	r := startMortals(t, 3)
	kills := r.killOne(t, every)

	devices := make([]*device, logins)
	err := crowd(t.Context(), logins, func(ctx context.Context, i int) error {
		tokens, err := r.login(ctx, "mock")
		if err != nil {
			return fmt.Errorf("login %d: %w", i, err)
		}
		devices[i] = &device{token: tokens.RefreshToken}
		return r.refresh(ctx, devices[i])
	})
	killed := kills.stop()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d logins; %d replicas killed, %d requests tried again at another", logins, killed, r.balancer.retries.Load())
	if killed < 3 {
		t.Errorf("%d replicas were killed, which has shown nothing", killed)
	}
	err = crowd(t.Context(), logins, func(ctx context.Context, i int) error { return r.refresh(ctx, devices[i]) })
	if err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// mortals are replicas that are killed and started again.
type mortals struct {
	*dex
	balancer *persistent
	replicas []*configuration
	files    []string
	running  []*process
}

// startMortals starts replicas on one PostgreSQL database.
func startMortals(t *testing.T, n int) *mortals {
	t.Helper()
	one := newConfiguration(t).withoutConsent().withStorage(t, "postgres").
		with("expiry", section{"authCodeReuseInterval": "5s"}) // a code whose answer got lost must work once more
	direct := newTransport(nil)
	r := &mortals{balancer: &persistent{next: direct}}
	for range n {
		replica, web := one.replica(t)
		r.balancer.replicas = append(r.balancer.replicas, web)
		r.files = append(r.files, replica.write(t))
		r.replicas = append(r.replicas, replica)
	}
	r.dex = &dex{configuration: one, transport: r.balancer}
	for i := range n {
		r.running = append(r.running, r.start(t, i))
	}
	t.Cleanup(direct.CloseIdleConnections) // before the processes end, which it would delay
	return r
}

// start starts a replica and waits until it is ready.
func (r *mortals) start(t *testing.T, i int) *process {
	t.Helper()
	p := startCommand(t, fmt.Sprint("replica ", i), exec.Command(binaries.release, "serve", r.files[i]))
	r.replicas[i].waitUntilReady(t)
	return p
}

// A killer kills the replicas one after the other.
type killer struct {
	end    chan struct{}
	ended  chan struct{}
	killed int
}

func (r *mortals) killOne(t *testing.T, every time.Duration) *killer {
	t.Helper()
	k := &killer{end: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(k.ended)
		for i := 0; ; i = (i + 1) % len(r.files) {
			select {
			case <-k.end:
				return
			case <-time.After(every):
			}
			r.running[i].kill(t)
			k.killed++
			r.running[i] = r.start(t, i)
		}
	}()
	return k
}

// stop ends the killing once all replicas run again, and returns how many died.
func (k *killer) stop() int {
	close(k.end)
	<-k.ended
	return k.killed
}

func (r *mortals) refresh(ctx context.Context, d *device) error {
	next, err := r.dex.refresh(ctx, d.token)
	if err != nil {
		return err
	}
	if next.status != http.StatusOK {
		return fmt.Errorf("refresh: status %d, error %q", next.status, next.Error)
	}
	d.token = next.RefreshToken
	return nil
}

// persistent is a load balancer that sends each request to the next replica, and then to others until one answers.
type persistent struct {
	next     http.RoundTripper
	replicas []string // host:port
	count    atomic.Int64
	retries  atomic.Int64
}

func (p *persistent) RoundTrip(r *http.Request) (*http.Response, error) {
	var failures []error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		resp, err := p.try(r)
		if err == nil && resp.StatusCode < http.StatusInternalServerError {
			return resp, nil
		}
		if err == nil {
			_ = resp.Body.Close()
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		if r.Context().Err() != nil {
			return nil, err
		}
		p.retries.Add(1)
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

// try sends a request to one replica and reads the whole answer.
func (p *persistent) try(r *http.Request) (*http.Response, error) {
	routed := r.Clone(r.Context())
	routed.Host = r.URL.Host
	routed.URL = new(url.URL)
	*routed.URL = *r.URL
	routed.URL.Host = p.replicas[int(p.count.Add(1))%len(p.replicas)]
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		routed.Body = body
	}
	resp, err := p.next.RoundTrip(routed)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
