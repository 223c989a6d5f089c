// Package rest serves the management API as JSON over HTTP, below /api/v2. What it serves is one table of routes, from which its
// OpenAPI document is made too.
package rest

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"dex/internal/admin"
	"dex/internal/event"
	"dex/internal/telemetry"
)

// Base is the path that all routes are below.
const Base = "/api/v2"

const (
	// maxBody is the largest body that is read, in bytes: a record has at most half of that.
	maxBody = 1 << 20
	// maxCalls is how many calls are served at once; others wait.
	maxCalls = 64
	// callTimeout bounds a call. The listener's own timeouts are shorter for whoever is slow to send or to read.
	callTimeout = 50 * time.Second
)

// Options are what the door needs.
type Options struct {
	Log    *slog.Logger
	Events event.Sink
	Traces *telemetry.Traces // nil where they go nowhere
	// Enter returns what is in force for one call, and a function that the call must call at its end.
	Enter func() (Room, func())
	// Mutual says that the listener verifies client certificates.
	Mutual bool
}

// A Room is what one configuration has to administer, and who may.
type Room struct {
	Service *admin.Service
	Access  *admin.Access
}

// A Door is the handler of the API. It is safe for concurrent use.
type Door struct {
	opts  Options
	calls chan struct{}
}

// New returns the handler of the API.
func New(opts Options) *Door { return &Door{opts: opts, calls: make(chan struct{}, maxCalls)} }

// A call is a request on its way.
type call struct {
	*http.Request
	w      http.ResponseWriter
	room   Room
	route  *route
	params map[string]string // of the path
	dryRun bool
}

// service returns what is administered.
func (c *call) service() *admin.Service { return c.room.Service }

// param returns a parameter of the query, which comes once at most.
func (c *call) param(name string) string { return c.URL.Query().Get(name) }

// ServeHTTP serves a call: who calls, whether that is allowed, what is in force, and how it ended.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := uuid.NewString()
	ctx, cancel := context.WithTimeout(telemetry.WithRequestBy(r.Context(), id, hostOf(r.RemoteAddr), r.UserAgent()), callTimeout)
	defer cancel()
	header := w.Header()
	header.Set("X-Request-Id", id)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	c := &call{w: w, Request: r.WithContext(ctx)}
	err := d.serve(c) //nolint:contextcheck // the call has its context
	if err != nil {
		c.fail(err) //nolint:contextcheck // likewise
	}
	name := "unknown"
	if c.route != nil {
		name = c.route.id
	}
	reason := admin.ReasonOf(err)
	d.opts.Events.Emit(c.Context(), event.CallEnded{ //nolint:contextcheck // the call's has the caller
		By: admin.CallerOf(c.Context()).Name, Door: "rest", Call: name, Err: err, //nolint:contextcheck // likewise
		Denied: err != nil && (reason == admin.Unauthenticated || reason == admin.Forbidden),
	})
}

func (d *Door) serve(c *call) (err error) {
	if err := refuseBrowser(c.Request); err != nil {
		return err
	}
	if err := c.find(); err != nil {
		return err
	}
	ctx, span := d.opts.Traces.Call(c.Context(), "rest", c.route.id)
	c.Request = c.WithContext(ctx)
	defer func() { span.End(admin.Failure(err)) }()
	select {
	case d.calls <- struct{}{}:
		defer func() { <-d.calls }()
	case <-c.Context().Done():
		return c.Context().Err()
	}
	room, leave := d.opts.Enter()
	defer leave()
	c.room = room
	if err := d.admit(c); err != nil {
		return err
	}
	if err := c.checkQuery(); err != nil {
		return err
	}
	if err := c.checkBody(); err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			d.opts.Log.ErrorContext(c.Context(), "panic in a call of the management API", "err", p, "stack", string(debug.Stack()))
			err = errBroken
		}
	}()
	return c.route.serve(c)
}

var errBroken = errors.New("something went wrong in Dex; its log says what")

// refuseBrowser refuses what a browser sends for a page: this is for programs, and a browser may have a certificate, or be on the
// machine that a door without access control is for. Forms can't send JSON either, see checkBody.
func refuseBrowser(r *http.Request) error {
	site := r.Header.Get("Sec-Fetch-Site")
	if r.Header.Get("Origin") != "" || site != "" && site != "none" {
		return admin.Errorf(admin.Forbidden, "pages in browsers can't call the management API")
	}
	return nil
}

// admit finds out who calls and whether they may. Whoever may call anything may ask what there is to call.
func (d *Door) admit(c *call) error {
	shown := admin.Shown{Mutual: d.opts.Mutual, Local: isLocal(c.Request), Certificate: certificateOf(c.Request)}
	scheme, token, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "bearer") {
		shown.Bearer = strings.TrimSpace(token)
	}
	caller, err := c.room.Access.Caller(c.Context(), shown)
	c.Request = c.WithContext(admin.WithCaller(c.Context(), caller))
	if err != nil || c.route.needs == "" {
		return err
	}
	return admin.Allow(c.Context(), c.route.needs)
}

// forwarding are headers of proxies: whom they ask for may be anybody, even if they are on this machine.
var forwarding = []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"}

// isLocal reports whether a request came to a socket, or to an address that only this machine reaches, and by such a name: a page
// whose own name was made to lead here can't have sent it. Nor has a proxy, as far as it can be told.
func isLocal(r *http.Request) bool {
	if slices.ContainsFunc(forwarding, func(name string) bool { return len(r.Header.Values(name)) > 0 }) {
		return false
	}
	address, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	switch a := address.(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		host := hostOf(r.Host)
		ip, err := netip.ParseAddr(host)
		return a.IP.IsLoopback() && (host == "localhost" || err == nil && ip.IsLoopback())
	}
	return false
}

// hostOf returns an address without its port, and without the brackets of IPv6; empty for callers at a Unix socket, who have none.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	if strings.HasPrefix(address, "@") {
		return ""
	}
	return strings.Trim(address, "[]")
}

// certificateOf returns the client certificate whose authority TLS has verified; nil for none.
func certificateOf(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	return r.TLS.VerifiedChains[0][0]
}
