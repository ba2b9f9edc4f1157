package trend

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph/barograph/trend/market"
)

type metrics struct {
	readings *prometheus.CounterVec
	judged   *prometheus.CounterVec
	spikes   prometheus.Counter
	retries  prometheus.Counter
	lost     prometheus.Counter
	limit    prometheus.Gauge
	holidays prometheus.Gauge // registered only where the week is a market's
	seconds  prometheus.Histogram
}

// newMetrics makes the metrics and registers them, unless the registerer is nil.
func newMetrics(to prometheus.Registerer, days *market.Market) (metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "barograph_trend_" + name, Help: help})
	}
	m := metrics{
		readings: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barograph_trend_readings_total",
			Help: "Readings by what became of them: new, copy, near_copy, repeat, too_old, too_new, no_id."}, []string{"outcome"}),
		judged: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "barograph_trend_judged_total",
			Help: "Judgements of series by what came of them: spike, told (one that does not go on), near (a near miss), usual, too_few (it abstains), warm_up."}, []string{"outcome"}),
		spikes:  counter("spikes_total", "Spikes found; one that was told is found again where it goes on."),
		retries: counter("redis_retries_total", "Redis calls repeated after an error."),
		lost: counter("baseline_conflicts_total",
			"Baselines not stored because other replicas kept changing them; they are learnt at the next item."),
		limit: prometheus.NewGauge(prometheus.GaugeOpts{Name: "barograph_trend_threshold",
			Help: "Surprise from which a series is a spike, as the budget of false alerts gives it."}),
		holidays: prometheus.NewGauge(prometheus.GaugeOpts{Name: "barograph_trend_holidays_end_timestamp_seconds",
			Help: "When the holidays known of trend.market end; from then on its week has weekends only."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "barograph_trend_redis_seconds",
			Help: "Seconds a round trip to Redis took.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}),
	}
	all := []prometheus.Collector{m.readings, m.judged, m.spikes, m.retries, m.lost, m.limit, m.seconds}
	if days != nil {
		m.holidays.Set(float64(days.KnownUntil().Unix()))
		all = append(all, m.holidays)
	}
	if to == nil {
		return m, nil
	}
	var errs []error
	for _, c := range all {
		errs = append(errs, to.Register(c))
	}
	return m, errors.Join(errs...)
}
