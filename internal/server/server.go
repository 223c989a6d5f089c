// Package server is the HTTP plumbing around the other rooms' handlers: listeners, TLS, routes, and what all requests and
// answers have in common.
package server

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"dex/internal/telemetry"
)

// Options are what all routes share. Only the first three are required.
type Options struct {
	Issuer  *url.URL // its path is before every route
	Log     *slog.Logger
	MaxBody int64 // in bytes, for routes without their own; 0 refuses all bodies there

	Metrics       *telemetry.Metrics // nil: none
	Traces        *telemetry.Traces  // nil: none
	Headers       map[string]string  // override the security headers by name; an empty value leaves one out
	CORS          CORS
	ClientAddress ClientAddress

	// NotFound answers if there is no route; nil means plain text.
	NotFound http.Handler
	// ErrorPage answers errors outside of the handlers, unless the route does: 405, 413 and 500. Nil means plain text.
	ErrorPage func(w http.ResponseWriter, r *http.Request, status int)
}

// handler is the outermost handler of the routes.
type handler struct {
	log       *slog.Logger
	headers   []headerLine
	addresses ClientAddress
	errorPage func(w http.ResponseWriter, r *http.Request, status int)
	next      http.Handler
}

// New returns a handler that serves the routes below the issuer's path.
//
// Each request's context has an id and the client's address, see [telemetry.RequestID] and [telemetry.ClientAddress]; the
// id is also sent as X-Request-Id. Every answer but a redirect has the security headers, including those to unknown paths
// and after panics. A handler that reads a body beyond the limit gets an [http.MaxBytesError], and whatever error status it
// answers with becomes 413.
func New(opts Options, routes []Route) http.Handler {
	if opts.NotFound == nil {
		opts.NotFound = http.HandlerFunc(http.NotFound)
	}
	if opts.ErrorPage == nil {
		opts.ErrorPage = func(w http.ResponseWriter, _ *http.Request, status int) {
			http.Error(w, http.StatusText(status), status)
		}
	}
	return &handler{
		log:       opts.Log,
		headers:   securityHeaders(opts.Headers),
		addresses: opts.ClientAddress.normalized(),
		errorPage: opts.ErrorPage,
		next:      newRouter(opts, routes),
	}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// An id that came with the request is ignored: it would let strangers forge the trail in the log.
	id := uuid.NewString()
	r = r.WithContext(telemetry.WithRequestBy(r.Context(), id, h.addresses.of(r), r.UserAgent()))

	x := &exchange{Recorder: telemetry.Record(w), id: [1]string{id}, headers: h.headers}
	if r.Body != nil && r.Body != http.NoBody {
		x.body = body{ReadCloser: r.Body, writer: w}
		r.Body = &x.body
	}
	h.setHeaders(x)
	defer h.recoverPanic(x, r)
	h.next.ServeHTTP(x, r)
}

// setHeaders sets the headers of every answer; handlers may override them.
func (h *handler) setHeaders(x *exchange) {
	header := x.Header()
	for _, line := range h.headers {
		header[line.name] = line.value[:]
	}
	header["X-Request-Id"] = x.id[:]
}

// exchange is a request on its way through the handlers, and the writer of its answer.
type exchange struct {
	telemetry.Recorder
	id      [1]string // of the request, ready to be a header's value
	headers []headerLine
	body    body
}

// WriteHeader begins the answer. It turns an error into 413 if the body was too large, so that handlers need not tell that
// from a malformed one.
func (x *exchange) WriteHeader(status int) {
	if x.body.exceeded && status >= 400 {
		status = http.StatusRequestEntityTooLarge
	}
	if redirects(status) {
		for _, line := range x.headers {
			if line.page {
				x.Header().Del(line.name)
			}
		}
	}
	x.Recorder.WriteHeader(status)
}

// body is a request body that remembers whether it was cut off at the limit.
type body struct {
	io.ReadCloser
	writer   http.ResponseWriter // net/http's own
	exceeded bool
}

// bound makes the body end with an error after limit bytes. MaxBytesReader can close the connection only through
// net/http's own writer, not a wrapped one.
func (b *body) bound(limit int64) { b.ReadCloser = http.MaxBytesReader(b.writer, b.ReadCloser, limit) }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF { // the usual end, which needs no costly look into the error
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			b.exceeded = true
		}
	}
	return n, err
}
