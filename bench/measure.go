package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// warmUp is how long an operation runs before it is measured.
	warmUp = 500 * time.Millisecond
	// slice is how long an operation runs between two measurements of bare signatures. Both then see the same load from
	// other programs, which can double the CPU time of the same work.
	slice = time.Second
)

// A result is what was measured of an operation.
type result struct {
	latencies  []time.Duration // of the operations that succeeded; measure sorts them
	failures   int
	failure    error // the first
	elapsed    time.Duration
	cpu        time.Duration   // used by the server
	signatures []time.Duration // CPU time of one, before the first slice and after each; none if the operation has none
}

// rate returns the operations per second.
func (r *result) rate() float64 { return float64(len(r.latencies)) / r.elapsed.Seconds() }

// perOperation returns the server's CPU time per operation.
func (r *result) perOperation() time.Duration {
	return r.cpu / time.Duration(max(len(r.latencies), 1))
}

// percentile returns the latency that p percent of the operations don't exceed.
func (r *result) percentile(p int) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	return r.latencies[(len(r.latencies)-1)*p/100]
}

// signature returns the mean CPU time of a bare signature.
func (r *result) signature() time.Duration {
	var sum time.Duration
	for _, cost := range r.signatures {
		sum += cost
	}
	return sum / time.Duration(max(len(r.signatures), 1))
}

// measure lets all clients repeat an operation concurrently for the configured duration.
func measure(ctx context.Context, o options, srv *server, baseline *signer, op operation) (*result, error) {
	workers, err := prepare(ctx, o, srv, op)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, w := range workers {
			w.close()
		}
	}()
	var warm result
	if warm.work(ctx, warmUp, workers); warm.failure != nil {
		return nil, fmt.Errorf("warm up: %w", warm.failure)
	}
	profiled := profile(ctx, o, srv, op)
	r := new(result)
	if err := r.sign(ctx, baseline, op); err != nil {
		return nil, err
	}
	for left := o.duration; left > 0 && ctx.Err() == nil; left -= slice {
		if err := r.measure(ctx, min(left, slice), srv, workers); err != nil {
			return nil, err
		}
		if err := r.sign(ctx, baseline, op); err != nil {
			return nil, err
		}
	}
	slices.Sort(r.latencies)
	return r, errors.Join(<-profiled, ctx.Err())
}

// sign adds a measurement of bare signatures, if the operation has any.
func (r *result) sign(ctx context.Context, baseline *signer, op operation) error {
	if op.signatures == 0 {
		return nil
	}
	cost, err := baseline.cost(ctx)
	r.signatures = append(r.signatures, cost)
	return err
}

// measure lets the workers work for a time, and adds the CPU time that the server used for it.
func (r *result) measure(ctx context.Context, d time.Duration, srv *server, workers []worker) error {
	before, err := srv.cpu()
	if err != nil {
		return err
	}
	r.work(ctx, d, workers)
	after, err := srv.cpu()
	r.cpu += after - before
	return err
}

// A worker is a client that is ready for its operation.
type worker struct {
	*client
	once once
}

func prepare(ctx context.Context, o options, srv *server, op operation) ([]worker, error) {
	workers := make([]worker, o.clients)
	for i := range workers {
		c := newClient(srv.issuer)
		do, err := op.prepare(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
		workers[i] = worker{c, do}
	}
	return workers, nil
}

// work lets the workers work for a time, waits for the operations then in progress, and adds their outcomes.
func (r *result) work(ctx context.Context, d time.Duration, workers []worker) {
	results := make([]result, len(workers))
	began := time.Now()
	var running sync.WaitGroup
	for i, w := range workers {
		running.Go(func() { results[i] = w.repeat(ctx, began.Add(d)) })
	}
	running.Wait()
	r.elapsed += time.Since(began)
	for _, one := range results {
		r.latencies = append(r.latencies, one.latencies...)
		r.failures += one.failures
		if r.failure == nil {
			r.failure = one.failure
		}
	}
}

func (w worker) repeat(ctx context.Context, until time.Time) result {
	var r result
	for began := time.Now(); began.Before(until) && ctx.Err() == nil; {
		err := w.once(ctx)
		ended := time.Now()
		if err == nil {
			r.latencies = append(r.latencies, ended.Sub(began))
		} else {
			r.failures++
			if r.failure == nil {
				r.failure = err
			}
		}
		began = ended
	}
	return r
}

// profile records a CPU profile of the server while an operation is measured, if the options ask for it.
func profile(ctx context.Context, o options, srv *server, op operation) <-chan error {
	done := make(chan error, 1)
	if o.profiles == "" {
		done <- nil
		return done
	}
	name := fmt.Sprintf("%s-%s.pprof", srv.setup, strings.ReplaceAll(op.name, " ", "-"))
	source := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", srv.admin, int(max(o.duration.Seconds(), 1)))
	go func() { done <- save(ctx, source, filepath.Join(o.profiles, name)) }()
	return done
}

// save downloads a URL to a file.
func save(ctx context.Context, source, name string) (err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: status %d", answer.StatusCode)
	}
	file, err := os.Create(name) //nolint:gosec // in the folder that the command line names
	if err != nil {
		return err
	}
	_, err = io.Copy(file, answer.Body)
	return errors.Join(err, file.Close())
}
