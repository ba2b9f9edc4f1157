package ingest

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one consumer.
type metrics struct {
	messages          *prometheus.CounterVec
	deadLetters       *prometheus.CounterVec
	deadLetterRetries prometheus.Counter
	lag               *prometheus.GaugeVec
	commits           *prometheus.CounterVec
	rebalances        prometheus.Counter
	errors            *prometheus.CounterVec
	resets            *prometheus.CounterVec
}

func newMetrics(group string, topics []string, b *budget, registerer prometheus.Registerer) (*metrics, error) {
	labels := prometheus.Labels{"group": group}
	counter := func(name, help string, by ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barograph_ingest_" + name, Help: help, ConstLabels: labels}, by)
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "barograph_ingest_" + name, Help: help, ConstLabels: labels}, value)
	}
	retries := counter("dead_letter_retries_total", "Failed attempts to write a dead letter.")
	rebalances := counter("generations_total", "Generations of the consumer group that this member took part in.")
	m := &metrics{
		messages:          counter("messages_total", "Messages read.", "topic"),
		deadLetters:       counter("dead_letters_total", "Messages written to the dead-letter topic, by class of reason.", "topic", "reason"),
		deadLetterRetries: retries.WithLabelValues(),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "barograph_ingest_lag", ConstLabels: labels,
			Help: "Messages of the partition that are not done."}, []string{"topic", "partition"}),
		commits:    counter("commits_total", "Commits of offsets, by result (ok, error).", "result"),
		rebalances: rebalances.WithLabelValues(),
		errors:     counter("errors_total", "Failed requests to Kafka, by what was asked for (fetch, offsets, join, metadata).", "request"),
		resets:     counter("offset_resets_total", "Times a position was no longer on the topic and reading went on at the earliest message.", "topic"),
	}
	// What Prometheus has not seen at 0 has no step to 5,000.
	for _, topic := range topics {
		for _, class := range Classes() {
			m.deadLetters.WithLabelValues(topic, string(class))
		}
	}
	if registerer == nil {
		return m, nil
	}
	var failed error
	for _, c := range []prometheus.Collector{m.messages, m.deadLetters, retries, m.lag, m.commits, rebalances, m.errors, m.resets,
		gauge("in_flight_items", "Messages delivered and not done.", func() float64 { n, _ := b.inFlight(); return float64(n) }),
		gauge("in_flight_bytes", "Bytes of messages delivered and not done.", func() float64 { _, n := b.inFlight(); return float64(n) }),
	} {
		failed = errors.Join(failed, registerer.Register(c))
	}
	return m, failed
}

func (m *metrics) setLag(p *partition, lag int64) {
	m.lag.WithLabelValues(p.topic, strconv.Itoa(p.id)).Set(float64(max(0, lag)))
}

func (m *metrics) dropLag(p *partition) {
	m.lag.DeleteLabelValues(p.topic, strconv.Itoa(p.id))
}
