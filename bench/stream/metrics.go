package main

import (
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// families are metrics by name, as scraped.
type families map[string]*dto.MetricFamily

// scrape reads the metrics of all replicas as if they were of one.
func (b *bench) scrape() (families, error) {
	all := families{}
	for _, url := range b.metrics {
		its, err := scrape(url)
		if err != nil {
			return nil, err
		}
		for name, family := range its {
			if all[name] == nil {
				all[name] = family
			} else {
				all[name].Metric = append(all[name].Metric, family.Metric...)
			}
		}
	}
	return all, nil
}

func scrape(url string) (families, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept-Encoding", "identity") // compressing takes longer than sending
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(response.Body)
}

// count is a histogram's count over all of its labels.
func (f families) count(name string) (count float64) {
	for _, m := range f[name].GetMetric() {
		count += float64(m.GetHistogram().GetSampleCount())
	}
	return count
}

// value is a counter over all of its labels.
func (f families) value(name string) (total float64) {
	for _, m := range f[name].GetMetric() {
		total += m.GetCounter().GetValue()
	}
	return total
}

// tokens are those that went through the models.
func (f families) tokens() (text, padding float64) {
	for _, m := range f["barograph_classify_tokens_total"].GetMetric() {
		for _, label := range m.GetLabel() {
			switch label.GetValue() {
			case "padding":
				padding += m.GetCounter().GetValue()
			case "text":
				text += m.GetCounter().GetValue()
			}
		}
	}
	return text, padding
}

// seconds is a histogram's sum where a label has the value.
func (f families) seconds(name, value string) (total float64) {
	for _, m := range f[name].GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetValue() == value {
				total += m.GetHistogram().GetSampleSum()
			}
		}
	}
	return total
}

// quantile is the upper bound of the bucket in which the quantile of what came between two
// scrapes lies: buckets are a quarter apart.
func quantile(before, after *dto.MetricFamily, q float64) float64 {
	then := map[float64]uint64{}
	for _, bucket := range before.GetMetric()[0].GetHistogram().GetBucket() {
		then[bucket.GetUpperBound()] = bucket.GetCumulativeCount()
	}
	now := after.GetMetric()[0].GetHistogram()
	total := now.GetSampleCount() - before.GetMetric()[0].GetHistogram().GetSampleCount()
	for _, bucket := range now.GetBucket() {
		if float64(bucket.GetCumulativeCount()-then[bucket.GetUpperBound()]) >= q*float64(total) {
			return bucket.GetUpperBound()
		}
	}
	return now.GetBucket()[len(now.GetBucket())-1].GetUpperBound()
}
