package audit

import "github.com/prometheus/client_golang/prometheus"

var (
	recordsDesc = prometheus.NewDesc("dex_audit_records_total", "Records that an output of the audit has taken.", []string{"output"}, nil)
	droppedDesc = prometheus.NewDesc("dex_audit_dropped_total",
		"Records that are lost to an output of the audit, because its queue was full, or because it refused them.", []string{"output"}, nil)
	queuedDesc = prometheus.NewDesc("dex_audit_queued_records", "Records that wait for an output of the audit.", []string{"output"}, nil)
	upDesc     = prometheus.NewDesc("dex_audit_output_up", "Whether an output of the audit takes records.", []string{"output"}, nil)
)

// Describe implements prometheus.Collector.
func (a *Audit) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{recordsDesc, droppedDesc, queuedDesc, upDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (a *Audit) Collect(to chan<- prometheus.Metric) {
	for _, o := range a.outlets {
		o.mu.Lock()
		up := 1.0
		if o.failures > 0 || o.hangs() {
			up = 0
		}
		taken, dropped, queued := float64(o.taken), float64(o.dropped), float64(o.records)
		o.mu.Unlock()
		to <- prometheus.MustNewConstMetric(recordsDesc, prometheus.CounterValue, taken, o.name)
		to <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, dropped, o.name)
		to <- prometheus.MustNewConstMetric(queuedDesc, prometheus.GaugeValue, queued, o.name)
		to <- prometheus.MustNewConstMetric(upDesc, prometheus.GaugeValue, up, o.name)
	}
}
