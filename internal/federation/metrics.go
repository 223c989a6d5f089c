package federation

import (
	"strings"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	metricLabels = []string{"connector", "type"}

	upMetric = prometheus.NewDesc("dex_connector_up",
		"Whether users could sign in through a connector when it was last looked at.", metricLabels, nil)
	checkedMetric = prometheus.NewDesc("dex_connector_check_timestamp_seconds",
		"When a connector was last looked at.", metricLabels, nil)
)

// Metrics returns the metrics of all connectors that were looked at.
func (p *Pool) Metrics() prometheus.Collector { return metrics{p} }

type metrics struct{ pool *Pool }

func (m metrics) Describe(to chan<- *prometheus.Desc) {
	to <- upMetric
	to <- checkedMetric
}

func (m metrics) Collect(to chan<- prometheus.Metric) {
	for _, h := range m.pool.Health() {
		if h.Checked.IsZero() || !utf8.ValidString(h.ID) { // such an id can't be a label, and all metrics would fail
			continue
		}
		up := 1.0
		if h.Err != nil {
			up = 0
		}
		kind := strings.ToValidUTF8(h.Type, "?")
		to <- prometheus.MustNewConstMetric(upMetric, prometheus.GaugeValue, up, h.ID, kind)
		to <- prometheus.MustNewConstMetric(checkedMetric, prometheus.GaugeValue, float64(h.Checked.UnixMilli())/1000, h.ID, kind)
	}
}
