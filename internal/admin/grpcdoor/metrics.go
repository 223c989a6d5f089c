package grpcdoor

import (
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Metrics counts calls, under the names that upstream has for them. A nil *Metrics counts nothing.
type Metrics struct {
	started, handled, received, sent *prometheus.CounterVec
}

// NewMetrics returns metrics that a registry shows.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		registry.MustRegister(c)
		return c
	}
	return &Metrics{
		started:  counter("grpc_server_started_total", "Calls of the management API that began.", labels...),
		handled:  counter("grpc_server_handled_total", "Calls of the management API that ended, by their status.", append(labels, "grpc_code")...),
		received: counter("grpc_server_msg_received_total", "Requests of the management API that were read.", labels...),
		sent:     counter("grpc_server_msg_sent_total", "Answers of the management API that were sent.", labels...),
	}
}

// prepare shows the methods that nobody has called yet, by zeros.
func (m *Metrics) prepare(services map[string]grpc.ServiceInfo) {
	if m == nil {
		return
	}
	for service, info := range services {
		for _, method := range info.Methods {
			kind := "unary"
			if method.IsServerStream {
				kind = "bidi_stream"
			}
			for _, c := range []*prometheus.CounterVec{m.started, m.received, m.sent} {
				c.WithLabelValues(kind, service, method.Name)
			}
			m.handled.WithLabelValues(kind, service, method.Name, codes.OK.String())
		}
	}
}

// A count is a call that has begun.
type count struct {
	metrics *Metrics
	labels  []string
}

// began counts a call. Only registered methods get here, so that nobody can make up labels.
func (m *Metrics) began(kind, method string) count {
	service, name := split(method)
	c := count{metrics: m, labels: []string{kind, service, name}}
	if m != nil {
		m.started.WithLabelValues(c.labels...).Inc()
		m.received.WithLabelValues(c.labels...).Inc()
	}
	return c
}

func (c count) ended(err error) {
	if c.metrics == nil {
		return
	}
	c.metrics.handled.WithLabelValues(append(c.labels, status.Code(err).String())...).Inc()
	if err == nil {
		c.metrics.sent.WithLabelValues(c.labels...).Inc()
	}
}

// split takes the name of a method apart, /service/method.
func split(full string) (service, method string) {
	for i := len(full) - 1; i > 0; i-- {
		if full[i] == '/' {
			return full[1:i], full[i+1:]
		}
	}
	return "", full
}
