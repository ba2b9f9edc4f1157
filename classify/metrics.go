package classify

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the stage's counters; with a nil Registerer they count unseen.
type metrics struct {
	items    *prometheus.CounterVec   // model, result: read, copy, error
	tokens   *prometheus.CounterVec   // model, kind: text, padding
	rows     *prometheus.HistogramVec // model
	seconds  *prometheus.HistogramVec // step: tokenise, infer, total
	busy     prometheus.CounterFunc
	waiting  prometheus.Gauge
	live     *prometheus.GaugeVec   // bundle, model, version, digest
	failures *prometheus.CounterVec // bundle
}

func newMetrics(r prometheus.Registerer, b *busy) (*metrics, error) {
	m := &metrics{
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_classify_items_total",
			Help: "Items done, by model and result: read, copy (of a text read before), error.",
		}, []string{"model", "result"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_classify_tokens_total",
			Help: "Tokens run through the model, by kind: text, or padding to the batch's longest.",
		}, []string{"model", "kind"}),
		rows: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "barograph_classify_batch_rows",
			Help:    "Texts (or windows of long texts) in a batch.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}, []string{"model"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "barograph_classify_seconds",
			Help:    "Time by step: tokenise (a text), infer (a batch), total (an item from Submit to its reading).",
			Buckets: prometheus.ExponentialBuckets(10e-6, 4, 11),
		}, []string{"step"}),
		busy: prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "barograph_classify_busy_seconds_total",
			Help: "Time in which at least one batch was running.",
		}, func() float64 { return b.until(time.Now()).Seconds() }),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "barograph_classify_queue_items",
			Help: "Items submitted and not done.",
		}),
		live: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "barograph_classify_model_info",
			Help: "1 for the model that serves in a configured bundle's place.",
		}, []string{"bundle", "model", "version", "digest"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_classify_model_load_failures_total",
			Help: "Bundles found in the place of one that serves and not loaded; the old one goes on.",
		}, []string{"bundle"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.items, m.tokens, m.rows, m.seconds, m.busy, m.waiting, m.live, m.failures} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(model string) func(batchRun) {
	text, padding := m.tokens.WithLabelValues(model, "text"), m.tokens.WithLabelValues(model, "padding")
	rows, seconds := m.rows.WithLabelValues(model), m.seconds.WithLabelValues("infer")
	return func(run batchRun) {
		text.Add(float64(run.tokens))
		padding.Add(float64(run.padding))
		rows.Observe(float64(run.rows))
		seconds.Observe(run.seconds)
	}
}

// info shows which bundle serves in a place.
func (m *metrics) info(place string, b *Bundle) {
	m.live.DeletePartialMatch(prometheus.Labels{"bundle": place})
	m.live.WithLabelValues(place, b.Name, b.Version, b.Digest).Set(1)
	m.failures.WithLabelValues(place) // shows 0
}
