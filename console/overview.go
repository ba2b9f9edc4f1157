package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/barograph/barograph/news"
)

const (
	sparkStep     = 30 * time.Minute
	sparkSteps    = 48
	mostJudged    = 1000 // series whose pressure is worked out, those with the latest negatives
	pressureStays = 3 * time.Second
	overviewTop   = 15
)

// seriesRow is a series in the list by pressure.
type seriesRow struct {
	Outlook
	Items24    int    `json:"items_24h"`
	Negative24 int    `json:"negative_24h"` // as in news.Window
	Positive24 int    `json:"positive_24h"`
	Alert      string `json:"alert"` // ID of the one that is on; "" = none
	Spark      spark  `json:"spark"`
}

// spark is the last 24 hours by the half hour.
type spark struct {
	Start    time.Time     `json:"start"`
	Step     news.Duration `json:"step"`
	Items    []int         `json:"items"`
	Negative []int         `json:"negative"` // as in news.Window
	Positive []int         `json:"positive"`
}

// pressures remembers for a moment what working out the list has cost.
type pressures struct {
	mu   sync.Mutex
	rows []seriesRow
	at   time.Time // the machine's clock
}

// pressure lists the series, the one under the highest pressure first; "everything" is left
// out.
func (s *Server) pressure(ctx context.Context) ([]seriesRow, error) {
	s.pressures.mu.Lock()
	defer s.pressures.mu.Unlock()
	if time.Since(s.pressures.at) < pressureStays {
		return s.pressures.rows, nil
	}
	now := s.now()
	names := s.sources.Index.Series(now.Add(-24*time.Hour), mostJudged, func(of news.Series) bool { return of != news.Series{} })
	outlooks, err := s.sources.Outlook(ctx, names)
	if err != nil {
		return nil, err
	}
	on, err := s.alertsOn(ctx, outlooks)
	if err != nil {
		return nil, err
	}
	rows := make([]seriesRow, 0, len(outlooks))
	for _, o := range outlooks {
		rows = append(rows, rowOf(o, on[o.Series], now))
	}
	slices.SortStableFunc(rows, func(a, b seriesRow) int {
		return cmp.Or(cmp.Compare(b.Surprise, a.Surprise), cmp.Compare(b.Negative24+b.Positive24, a.Negative24+a.Positive24),
			cmp.Compare(b.Items24, a.Items24), strings.Compare(a.Series.Key(), b.Series.Key()))
	})
	s.pressures.rows, s.pressures.at = rows, time.Now()
	return rows, nil
}

// alertsOn is the ID of the alert that is on for a series: of several kinds, of the one that the
// outlook beside it is about.
func (s *Server) alertsOn(ctx context.Context, beside []Outlook) (map[news.Series]string, error) {
	firing, err := s.sources.Firing(ctx)
	if err != nil {
		return nil, err
	}
	on, kind := map[news.Series]string{}, news.SpikeNegative
	if len(beside) > 0 {
		kind = beside[0].Kind.OrNegative() // it is the same of all
	}
	for _, a := range firing {
		if on[a.Series] == "" || a.Kind.OrNegative() == kind {
			on[a.Series] = a.ID
		}
	}
	return on, nil
}

func rowOf(o Outlook, alert string, now time.Time) seriesRow {
	row := seriesRow{Outlook: o, Alert: alert}
	row.Spark = spark{Start: now.Truncate(sparkStep).Add(-(sparkSteps - 1) * sparkStep), Step: news.Duration(sparkStep),
		Items: make([]int, sparkSteps), Negative: make([]int, sparkSteps), Positive: make([]int, sparkSteps)}
	for _, c := range o.Recent {
		row.Items24 += c.Items
		row.Negative24 += c.Negative
		row.Positive24 += c.Positive
		if i := int(c.Start.Sub(row.Spark.Start) / sparkStep); i >= 0 && i < sparkSteps && !c.Start.Before(row.Spark.Start) {
			row.Spark.Items[i] += c.Items
			row.Spark.Negative[i] += c.Negative
			row.Spark.Positive[i] += c.Positive
		}
	}
	return row
}

// overview is what one sees first.
func (s *Server) overview(r *http.Request) (any, error) {
	p := params{values: r.URL.Query()}
	if err := p.end(); err != nil {
		return nil, err
	}
	firing, err := s.sources.Firing(r.Context())
	if err != nil {
		return nil, err
	}
	rows, err := s.pressure(r.Context())
	if err != nil {
		return nil, err
	}
	everything, err := s.sources.Outlook(r.Context(), []news.Series{{}})
	if err != nil {
		return nil, err
	}
	models, err := s.knownModels(r.Context())
	if err != nil {
		return nil, err
	}
	now := s.now()
	kept, since, complete := s.sources.Index.Extent()
	var lag *int64
	if s.sources.Lag != nil {
		if n, known := s.sources.Lag(); known {
			lag = &n
		}
	}
	return struct {
		Now            time.Time    `json:"now"`
		ItemsPerSecond float64      `json:"items_per_second"`
		Lag            *int64       `json:"lag"`
		Firing         []news.Alert `json:"firing"`
		Everything     seriesRow    `json:"everything"`
		Series         []seriesRow  `json:"series"`
		SeriesTotal    int          `json:"series_total"`
		Models         []Model      `json:"models"`
		Index          any          `json:"index"`
	}{
		Now: now, ItemsPerSecond: s.sources.Index.Rate(), Lag: lag, Firing: emptyNotNull(whole(firing)), Everything: rowOf(everything[0], "", now),
		Series: rows[:min(overviewTop, len(rows))], SeriesTotal: len(rows), Models: models,
		Index: struct {
			Readings int        `json:"readings"`
			Since    *time.Time `json:"since"`
			Complete bool       `json:"complete"`
		}{kept, timeOrNull(since), complete},
	}, nil
}

// listSeries is the list by pressure, or what of it matches.
func (s *Server) listSeries(r *http.Request) (any, error) {
	p := params{values: r.URL.Query()}
	text, kind := strings.ToLower(p.text("q")), p.oneOf("kind", "company", "topic", "pair")
	limit, offset := p.number("limit", 50, 1, 500), p.number("offset", 0, 0, mostJudged)
	if err := p.end(); err != nil {
		return nil, err
	}
	rows, err := s.pressure(r.Context())
	if err != nil {
		return nil, err
	}
	found := []seriesRow{}
	for _, row := range rows {
		if (kind == "" || kind == kindOf(row.Series)) && strings.Contains(strings.ToLower(row.Series.String()), text) {
			found = append(found, row)
		}
	}
	total := len(found)
	found = found[min(offset, total):min(offset+limit, total)]
	return struct {
		Now    time.Time   `json:"now"`
		Total  int         `json:"total"`
		Series []seriesRow `json:"series"`
	}{s.now(), total, found}, nil
}

func kindOf(of news.Series) string {
	switch {
	case of.Entity != "" && of.Topic != "":
		return "pair"
	case of.Entity != "":
		return "company"
	}
	return "topic"
}

func emptyNotNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// whole gives the alerts lists where Go has nil.
func whole(alerts []news.Alert) []news.Alert {
	for i := range alerts {
		alerts[i].Evidence = emptyNotNull(alerts[i].Evidence)
	}
	return alerts
}
