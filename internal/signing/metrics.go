package signing

import "github.com/prometheus/client_golang/prometheus"

var (
	rotationMetric = prometheus.NewDesc("dex_signing_key_next_rotation_timestamp_seconds",
		"When another key is due to sign tokens.", nil, nil)
	nextUseMetric = prometheus.NewDesc("dex_signing_key_next_use_timestamp_seconds",
		"When the next key, which is published already, begins to sign tokens; absent while there is none.", nil, nil)
)

// Metrics returns when keys change.
func (l *Local) Metrics() prometheus.Collector { return metrics{l} }

type metrics struct{ keys *Local }

func (m metrics) Describe(to chan<- *prometheus.Desc) {
	to <- rotationMetric
	to <- nextUseMetric
}

func (m metrics) Collect(to chan<- prometheus.Metric) {
	stored := m.keys.current.Load().stored
	to <- prometheus.MustNewConstMetric(rotationMetric, prometheus.GaugeValue, float64(stored.RotateAt.UnixMilli())/1000)
	if stored.Next == nil {
		return
	}
	use := stored.RotateAt
	if ready := stored.NextSince.Add(m.keys.MaxAge()); ready.After(use) {
		use = ready
	}
	to <- prometheus.MustNewConstMetric(nextUseMetric, prometheus.GaugeValue, float64(use.UnixMilli())/1000)
}
