package federation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"runtime/debug"
	"sync"
	"time"

	"dex/internal/connector"
)

// openTimeout bounds one attempt to open a connector.
const openTimeout = 30 * time.Second

// Bounds of the pause after a connector failed to open, which doubles with each failure.
const (
	firstPause   = time.Second
	longestPause = time.Minute
)

// errClosed says that a source was replaced, or that the server ends.
var errClosed = fmt.Errorf("%w: %w", ErrDown, &connector.Temporary{Cause: errors.New("it is closed")})

// A source is one connector with its state.
type source struct {
	definition *Definition
	revision   string        // of the record; empty for a configured one
	broken     error         // why it can't be used until it is changed
	turn       chan struct{} // held while the source is being opened

	mu     sync.Mutex // guards the rest, never held over I/O
	opened *Opened
	err    error // of the last attempt
	pause  time.Duration
	retry  time.Time // no attempt before
	closed bool
	health health
	asked  *question // nil while there is none
}

func newSource(d *Definition) *source {
	return &source{definition: d, turn: make(chan struct{}, 1)}
}

// breakDown marks a new source as one that can't be used.
func (s *source) breakDown(err error) {
	s.broken = fmt.Errorf("%w: %w", ErrDown, err)
	s.health.keep(time.Now(), s.broken)
}

// state returns what is known without opening; false if it is time for an attempt.
func (s *source) state(now time.Time) (*Opened, error, bool) { // the error is a remembered one, not this call's
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, errClosed, true
	case s.opened != nil:
		return s.opened, nil, true
	}
	return nil, s.err, s.err != nil && now.Before(s.retry)
}

func (s *source) open(ctx context.Context, p *Pool) (*Opened, error) {
	if o, err, known := s.state(time.Now()); known {
		return o, err
	}
	select { // one opens, the others wait for the result
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if o, err, known := s.state(time.Now()); known {
		return o, err
	}
	return s.try(ctx, p)
}

// try opens the connector. The attempt goes on if the visitor goes away, since others may wait for it.
func (s *source) try(ctx context.Context, p *Pool) (*Opened, error) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), openTimeout)
	defer cancel()
	d, began := s.definition, time.Now()
	var instance any
	err := Shielded(bounded, p.log, func() (err error) {
		instance, err = d.Config.Open(bounded, p.env(d))
		return err
	})
	if err != nil {
		err = fmt.Errorf("open connector %q: %w: %w", d.ID, ErrDown, err)
		s.postpone(err)
		p.report(ctx, s, began, err)
		return nil, err
	}
	opened := &Opened{Definition: d, Instance: instance}
	if !s.take(opened) {
		return nil, errors.Join(errClosed, opened.close())
	}
	if _, ok := instance.(connector.Prober); !ok {
		p.report(ctx, s, began, nil) // it can't be probed
	}
	return opened, nil
}

// CallbackURL is where a source sends the browser back: the connector's own address, or the shared one for an empty id.
func (r *Registry) CallbackURL(connectorID string) string { return r.pool.callbackURL(connectorID) }

func (p *Pool) callbackURL(connectorID string) string { return callbackURL(p.issuer, connectorID) }

func callbackURL(issuer *url.URL, connectorID string) string {
	if connectorID == "" {
		return issuer.JoinPath("callback").String()
	}
	return issuer.JoinPath("callback", url.PathEscape(connectorID)).String()
}

// env is what a connector gets from the server.
func (p *Pool) env(d *Definition) connector.Env {
	env := connector.Env{
		ID:             d.ID,
		CallbackURL:    p.callbackURL(""),
		OwnCallbackURL: p.callbackURL(d.ID),
		MetadataURL:    p.issuer.JoinPath("saml", d.ID, "metadata").String(),
		Once:           p.once,
		Log:            p.log.With(slog.Group("connector", "type", d.Type, "id", d.ID)),
	}
	if p.logout {
		env.LogoutURL, env.OwnLogoutURL = logoutURL(p.issuer, ""), logoutURL(p.issuer, d.ID)
	}
	return env
}

// LogoutURL is where a source tells of its logouts, or where sources send the browser back after a logout for an empty id.
func (r *Registry) LogoutURL(connectorID string) string { return logoutURL(r.pool.issuer, connectorID) }

func logoutURL(issuer *url.URL, connectorID string) string {
	if connectorID == "" {
		return issuer.JoinPath("logout", "callback").String()
	}
	return issuer.JoinPath("logout", url.PathEscape(connectorID)).String()
}

// postpone sets the time of the next attempt after one that failed.
func (s *source) postpone(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	s.pause = min(max(2*s.pause, firstPause), longestPause)
	s.retry = time.Now().Add(s.pause)
}

// take keeps what was opened; false when the source has been closed meanwhile.
func (s *source) take(o *Opened) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.opened, s.err = o, nil
	return true
}

// close closes the connector, and lets nobody open it again.
func (s *source) close() error {
	s.mu.Lock()
	o := s.opened
	s.opened, s.closed = nil, true
	s.mu.Unlock()
	if o == nil {
		return nil
	}
	return o.close()
}

func (o *Opened) close() error {
	c, ok := o.Instance.(io.Closer)
	if !ok {
		return nil
	}
	if err := c.Close(); err != nil {
		return fmt.Errorf("close connector %q: %w", o.ID, err)
	}
	return nil
}

// Shielded calls into a connector and turns a panic into an error, so that one source can't end the program.
func Shielded(ctx context.Context, log *slog.Logger, call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.ErrorContext(ctx, "panic", "err", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return call()
}
