package telemetry

import (
	"context"
	"maps"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"dex/internal/event"
)

// Metrics are the program's Prometheus metrics, in a registry of their own. Names, labels and buckets are those of
// upstream Dex, because dashboards and alerts use them.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	size     *prometheus.HistogramVec
	attempts *prometheus.CounterVec
	logouts  *prometheus.CounterVec
}

// NewMetrics returns the metrics of the given version of the program: its build, the Go runtime, the process, and HTTP
// requests, and events.
func NewMetrics(version string) *Metrics {
	labels := []string{"code", "method", "handler"}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total",
			Help: "HTTP requests answered.",
		}, labels),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "request_duration_seconds",
			Help:    "Time from a request's header to the end of its answer.",
			Buckets: []float64{.25, .5, 1, 2.5, 5, 10},
		}, labels),
		size: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "response_size_bytes",
			Help:    "Size of the bodies of answers.",
			Buckets: []float64{200, 500, 900, 1500},
		}, labels),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dex_connector_attempts_total",
			Help: "Attempts to learn from a connector who somebody is, by what it was for and how it ended.",
		}, []string{"connector", "operation", "outcome"}),
		logouts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dex_logout_tokens_total",
			Help: "Attempts to tell applications that a session has ended, by result: sent, failed (and tried again), given_up.",
		}, []string{"result"}),
	}
	m.registry.MustRegister(
		buildInfo(version),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.requests, m.duration, m.size, m.attempts, m.logouts,
	)
	return m
}

func buildInfo(version string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dex_build_info",
		Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{
			"version":    version,
			"go_version": runtime.Version(),
			"platform":   runtime.GOOS + "/" + runtime.GOARCH,
		},
	})
	g.Set(1)
	return g
}

// Registry returns the registry, where other rooms register their metrics.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Emit counts an event; it implements event.Sink.
func (m *Metrics) Emit(_ context.Context, e event.Event) {
	switch e := e.(type) {
	case event.SourceAsked:
		if utf8.ValidString(e.ConnectorID) { // no label can hold anything else
			m.attempts.WithLabelValues(e.ConnectorID, e.Operation, e.Outcome).Inc()
		}
	case event.LogoutTokenSent:
		m.logouts.WithLabelValues("sent").Inc()
	case event.LogoutTokenFailed:
		m.logouts.WithLabelValues("failed").Inc()
	case event.LogoutTokenGivenUp:
		m.logouts.WithLabelValues("given_up").Inc()
	}
}

// Route returns a handler that counts and times h's answers. The pattern becomes the label handler.
func (m *Metrics) Route(pattern string, h http.Handler) http.Handler {
	rt := &route{metrics: m, pattern: pattern, next: h}
	rt.series.Store(&map[outcome]*series{})
	return rt
}

// route is a handler with its metrics. Looking up a labelled metric costs a hash and a lock, so it keeps those that it has
// used. Adding one replaces the whole map, which happens only a few times in the life of a process.
type route struct {
	metrics *Metrics
	pattern string
	next    http.Handler

	adding sync.Mutex
	series atomic.Pointer[map[outcome]*series]
}

// outcome identifies one of a route's series. Both values come from small sets, so that strangers can't make the metrics
// grow.
type outcome struct {
	status int
	method string
}

type series struct {
	requests prometheus.Counter
	duration prometheus.Observer
	size     prometheus.Observer
}

func (rt *route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A recorder further out sees the same answer, so a second one would be wasted.
	rec, recorded := w.(interface {
		Status() int
		Size() int64
	})
	if !recorded {
		own := Record(w)
		w, rec = &own, &own
	}
	start := time.Now()
	returned := false
	defer func() {
		status := rec.Status()
		switch {
		case status != 0:
		case returned:
			status = http.StatusOK // what net/http sends for a handler that wrote nothing
		default:
			status = http.StatusInternalServerError // a panic, which is answered further out
		}
		s := rt.observe(outcome{status, methodLabel(r.Method)})
		s.requests.Inc()
		s.duration.Observe(time.Since(start).Seconds())
		s.size.Observe(float64(rec.Size()))
	}()
	rt.next.ServeHTTP(w, r)
	returned = true
}

// observe returns the series of an outcome.
func (rt *route) observe(o outcome) *series {
	if s := (*rt.series.Load())[o]; s != nil {
		return s
	}
	rt.adding.Lock()
	defer rt.adding.Unlock()
	known := *rt.series.Load()
	if s := known[o]; s != nil {
		return s
	}
	code := strconv.Itoa(o.status)
	s := &series{
		requests: rt.metrics.requests.WithLabelValues(code, o.method, rt.pattern),
		duration: rt.metrics.duration.WithLabelValues(code, o.method, rt.pattern),
		size:     rt.metrics.size.WithLabelValues(code, o.method, rt.pattern),
	}
	more := maps.Clone(known)
	more[o] = s
	rt.series.Store(&more)
	return s
}

// methodLabel returns the method in lower case, or "unknown": clients may invent methods.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet:
		return "get"
	case http.MethodPost:
		return "post"
	case http.MethodHead:
		return "head"
	case http.MethodOptions:
		return "options"
	case http.MethodPut:
		return "put"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		return "delete"
	case http.MethodConnect:
		return "connect"
	case http.MethodTrace:
		return "trace"
	}
	return "unknown"
}
