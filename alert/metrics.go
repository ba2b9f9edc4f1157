package alert

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph/barograph/news"
)

type metrics struct {
	decisions    *prometheus.CounterVec
	open         *prometheus.GaugeVec
	deliveries   *prometheus.CounterVec
	seconds      *prometheus.HistogramVec
	waiting      *prometheus.GaugeVec
	dead         prometheus.Gauge
	conflicts    prometheus.Counter
	redisRetries prometheus.Counter
}

func newMetrics(sinks []string) *metrics {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_alert_decisions_total", Help: "Decisions about series with a spike, by action and reason."}, []string{"action", "reason"}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "barograph_alert_open", Help: "Alerts that are firing and were told, by severity; untold ones (held, silenced) as none."}, []string{"severity"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_alert_deliveries_total", Help: "Delivery attempts by sink and result (delivered, retry, dead)."}, []string{"sink", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "barograph_alert_delivery_seconds", Help: "Duration of delivery attempts.", Buckets: prometheus.ExponentialBuckets(.005, 2.5, 10)}, []string{"sink"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "barograph_alert_outbox_alerts", Help: "Alerts with deliveries waiting, by sink."}, []string{"sink"}),
		dead: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_alert_dead_deliveries", Help: "Deliveries on the dead list."}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "barograph_alert_conflicts_total", Help: "Decisions made again because another replica committed first."}),
		redisRetries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "barograph_alert_redis_retries_total", Help: "Attempts on the alert state that Redis failed."}),
	}
	for _, sink := range sinks {
		for _, result := range []string{"delivered", "retry", "dead"} {
			m.deliveries.WithLabelValues(sink, result) // shows 0: a sink that never works is seen, too
		}
	}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	var faults []error
	for _, c := range []prometheus.Collector{m.decisions, m.open, m.deliveries, m.seconds, m.waiting, m.dead, m.conflicts, m.redisRetries} {
		faults = append(faults, r.Register(c))
	}
	return errors.Join(faults...)
}

func (m *metrics) observe(s *state, outcomes []outcome) {
	for _, o := range outcomes {
		m.decisions.WithLabelValues(string(o.Action), string(o.Reason)).Inc()
	}
	counts := map[news.Severity]int{news.Warning: 0, news.Critical: 0, "none": 0}
	for _, r := range s.open {
		if r.Told {
			counts[r.Alert.Severity]++
		} else {
			counts["none"]++
		}
	}
	for severity, n := range counts {
		m.open.WithLabelValues(string(severity)).Set(float64(n))
	}
}
