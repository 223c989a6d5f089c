package app_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"dex/internal/connector"
	"dex/internal/connector/mock"
)

// A counter counts how often sources with one set of settings are opened and closed.
type counter struct{ opened, closed atomic.Int64 }

// A tally is a source that counts how often it is opened and closed, and notices if it is used after that. It signs in the user
// u by the password p.
type tally struct {
	mock.PasswordConfig
	Version int
	counter *counter
	asked   func() // called while a password is checked; nil for nothing
	err     error  // of Open
}

func newTally(version int) *tally {
	return &tally{PasswordConfig: mock.PasswordConfig{Username: "u", Password: "p"}, Version: version, counter: &counter{}}
}

// again returns the same settings, decoded once more.
func (c *tally) again() *tally {
	other := *c
	return &other
}

func (c *tally) Open(ctx context.Context, env connector.Env) (any, error) {
	if c.err != nil {
		return nil, c.err
	}
	opened, err := c.PasswordConfig.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	c.counter.opened.Add(1)
	return &tallied{Password: opened.(connector.Password), settings: c}, nil
}

type tallied struct {
	connector.Password
	settings *tally
	closed   atomic.Bool
}

func (s *tallied) Login(ctx context.Context, scopes connector.Scopes, name, word string) (connector.Identity, bool, error) {
	if s.settings.asked != nil {
		s.settings.asked()
	}
	if s.closed.Load() {
		return connector.Identity{}, false, errors.New("the source was closed while a request had it")
	}
	return s.Password.Login(ctx, scopes, name, word)
}

func (s *tallied) Refresh(_ context.Context, _ connector.Scopes, id connector.Identity) (connector.Identity, error) {
	if s.closed.Load() {
		return connector.Identity{}, errors.New("the source was closed while a request had it")
	}
	return id, nil
}

func (s *tallied) Close() error {
	if s.closed.Swap(true) {
		return errors.New("closed twice")
	}
	s.settings.counter.closed.Add(1)
	return nil
}

// wantTally waits until a source was opened and closed as often as this.
func wantTally(t *testing.T, c *tally, opened, closed int64) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		o, cl := c.counter.opened.Load(), c.counter.closed.Load()
		if o == opened && cl == closed {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("version %d was opened %d times and closed %d times, want %d and %d", c.Version, o, cl, opened, closed)
		}
	}
}
