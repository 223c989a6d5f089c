package telemetry

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the program's Prometheus metrics, in a registry of their own. The names, labels and buckets of requests are
// upstream's, because dashboards and alerts use them. docs/telemetry.md lists all metrics.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	size     *prometheus.HistogramVec
	storage  *prometheus.HistogramVec
	swept    prometheus.Gauge
	unswept  prometheus.Counter
	*eventMetrics
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
		storage: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "dex_store_operation_duration_seconds",
			Help:    "Time that the storage took for an operation on a kind of record.",
			Buckets: []float64{.0005, .001, .0025, .01, .05, .25, 1, 5},
		}, []string{"operation", "kind", "outcome"}),
		swept: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dex_sweep_last_success_timestamp_seconds",
			Help: "When expired records were last removed by this replica, or by another one as far as it knows; the start before that.",
		}),
		unswept: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dex_sweep_failures_total",
			Help: "Sweeps that have not removed all expired records, because the storage failed.",
		}),
		eventMetrics: newEventMetrics(),
	}
	m.registry.MustRegister(
		buildInfo(version),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.requests, m.duration, m.size, m.storage, m.swept, m.unswept,
	)
	m.registry.MustRegister(m.collectors()...)
	m.swept.SetToCurrentTime()
	return m
}

// Swept notes how a sweep has ended, or that another replica has just done one.
func (m *Metrics) Swept(err error) {
	if err != nil {
		m.unswept.Inc()
		return
	}
	m.swept.SetToCurrentTime()
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
