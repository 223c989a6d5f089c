package telemetry

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

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

// unknownMethod stands for all methods that clients have invented.
const unknownMethod = "unknown"

// methodLabel returns the method in lower case, or unknownMethod.
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
	return unknownMethod
}
