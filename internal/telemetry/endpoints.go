package telemetry

import (
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Endpoints are what the telemetry listener serves. There is no authentication, so the listener belongs on a network that
// only operators reach.
type Endpoints struct {
	Metrics *Metrics
	Health  *Health
	// Profiling adds /debug/pprof/. Profiles show what is in memory; recording one takes time, and the listener must
	// allow an answer to take as long as the requested profile.
	Profiling bool
}

// Handler returns the handler of the endpoints.
func (e Endpoints) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(e.Metrics.registry, promhttp.HandlerOpts{}))
	mux.Handle("GET /healthz", report(e.Health.detail))
	mux.Handle("GET /healthz/ready", report(e.Health.readiness))
	mux.HandleFunc("GET /healthz/live", live)
	if e.Profiling {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol) // go tool pprof posts what doesn't fit a query
	}
	return mux
}

// live answers as long as the process can answer anything.
func live(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok")) // the client hung up: nobody is left to tell
}
