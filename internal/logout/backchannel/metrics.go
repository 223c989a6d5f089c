package backchannel

import "github.com/prometheus/client_golang/prometheus"

// Metrics returns the length of the queue.
func (q *Queue) Metrics() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dex_logout_tokens_waiting",
		Help: "Logout tokens that applications have yet to get, of all replicas, when the queue was last looked through.",
	}, func() float64 { return float64(q.waiting.Load()) })
}
