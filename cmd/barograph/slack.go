package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/barograph/barograph/alert"
	"github.com/barograph/barograph/internal/chart"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// prepareSlack gives the Slack sink what it needs of other stages: charts of what the trend
// stage counted. It comes before the sinks are made.
func (m *monitor) prepareSlack() error {
	if m.cfg.Alert.Slack == nil {
		return nil
	}
	if err := m.openCounts(); err != nil {
		return err
	}
	c := *m.cfg.Alert.Slack
	c.Chart, c.Log, c.Registerer = m.chart, m.log, m.registry
	m.cfg.Alert.Slack = &c
	return nil
}

// openCounts gives the console and Slack what the trend stage counts, also where another
// process runs it: this one only looks then.
func (m *monitor) openCounts() (err error) {
	switch {
	case m.counts != nil:
	case m.trend != nil:
		m.counts = m.trend
	default:
		m.counts, err = trend.New(trend.Config{Redis: m.redis, Prefix: m.cfg.Redis.Prefix, History: m.cfg.Trend.History, Clock: m.clock, Log: m.log,
			Rule: ruleOf(m.cfg.Trend)})
	}
	return err
}

// newSlackActions makes what answers buttons and the slash command, where there is an app
// token and this process delivers alerts.
func (m *monitor) newSlackActions(sinks map[string]alert.Sink, routes []alert.Route) (err error) {
	sink, is := sinks["slack"].(*alert.Slack)
	if !is || m.cfg.Alert.Slack == nil || m.cfg.Alert.Slack.AppToken == "" || !m.stages.alert {
		return nil
	}
	var channels []string
	for _, r := range routes {
		if r.Sink == "slack" {
			channels = append(channels, r.Channel)
		}
	}
	m.slack, err = alert.NewSlackActions(alert.SlackActionsConfig{
		Slack: sink, Desk: m.desk, Channels: channels, Corrections: m.corrections,
		Reading: readingFinder{broker: m.broker, topic: m.cfg.Kafka.Readings}.find,
		Picture: m.picture, Log: m.log, Registerer: m.registry,
	})
	return err
}

// Size of a chart in Slack, pixels, and how much of the past it shows: at least so long, and
// so many windows.
const (
	chartWidth, chartHeight = 960, 440
	chartPast               = 6 * time.Hour
	chartWindows            = 6
)

// chart draws an alert's window as it slid over the hours before and since, on the band of what
// is no spike.
func (m *monitor) chart(ctx context.Context, a news.Alert) ([]byte, error) {
	course, err := m.courseOf(ctx, a)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = chart.PNG(&out, chartWidth, chartHeight, course)
	return out.Bytes(), err
}

// courseOf is what chart draws.
func (m *monitor) courseOf(ctx context.Context, a news.Alert) (chart.Series, error) {
	window := time.Duration(a.Window)
	if window < trend.BucketLength {
		return chart.Series{}, errors.New("the alert has no window")
	}
	to := m.clock()
	if a.ResolvedAt != nil {
		to = *a.ResolvedAt
	}
	from := a.StartedAt.Add(-max(chartPast, chartWindows*window)).Truncate(trend.BucketLength)
	moments, err := m.counts.Slide(ctx, a.Series, a.Kind, from, to, window, a.Surprise)
	if err != nil {
		return chart.Series{}, err
	}
	buckets, err := m.counts.Buckets(ctx, a.Series, a.Kind, from, to)
	if err != nil {
		return chart.Series{}, err
	}
	// Room for the label of the last mark, which may be of this minute.
	course := chart.Series{Title: a.Series.String(), Kind: a.Kind, Note: a.Reason, From: from, To: to.Add(to.Sub(from) / 10), Length: trend.BucketLength, Window: window,
		Marks: []chart.Mark{{At: a.FiredAt, Since: a.StartedAt, Label: "alert " + a.FiredAt.UTC().Format("15:04")}}}
	for _, b := range buckets {
		course.Buckets = append(course.Buckets, barOf(b, a.Kind))
	}
	for _, moment := range moments {
		course.Points = append(course.Points, pointOf(moment))
	}
	if a.ResolvedAt != nil {
		course.Marks = append(course.Marks, chart.Mark{At: *a.ResolvedAt, Label: "over " + a.ResolvedAt.UTC().Format("15:04"), Over: true})
	}
	return course, nil
}

func barOf(b trend.Bucket, kind news.SpikeKind) chart.Bucket {
	return chart.Bucket{Start: b.Start, Items: b.Items, Count: b.Count(kind)}
}

func pointOf(m trend.Moment) chart.Point {
	return chart.Point{At: m.At, Count: float64(m.Count), Expected: m.Expected, Limit: m.Limit}
}

// picture answers a person who asks for a series in their own words.
func (m *monitor) picture(ctx context.Context, words string) (alert.Picture, error) {
	asked := m.seriesNamed(words)
	found, err := m.counts.Outlook(ctx, asked)
	if err != nil {
		return alert.Picture{}, err
	}
	for _, o := range found {
		if len(o.Recent) > 0 {
			return pictureOf(o, m.clock()), nil
		}
	}
	return alert.Picture{}, alert.ErrUnknownSeries
}

// seriesNamed are the series that words may mean, the likeliest first: "AAPL", "Apple",
// "AAPL / Earnings", "/ Earnings"; nothing is everything.
func (m *monitor) seriesNamed(words string) (series []news.Series) {
	company, topic, _ := strings.Cut(words, "/")
	company, topic = strings.TrimPrefix(strings.TrimSpace(company), "$"), strings.TrimSpace(topic)
	names := append([]string{company, strings.ToUpper(company)}, m.watch.Tag(news.Item{Text: company})...)
	for _, name := range names {
		series = append(series, news.Series{Entity: name, Topic: topic})
	}
	if topic == "" && company != "" {
		series = append(series, news.Series{Topic: company})
	}
	return series
}

func pictureOf(o trend.Outlook, now time.Time) alert.Picture {
	p := alert.Picture{Series: o.Series, Kind: o.Kind, Length: o.Window.Length, Items: o.Window.Items, Count: o.Count(), Expected: o.Expected,
		ShareBefore: o.ShareBefore, Surprise: o.Surprise, TooFew: o.TooFew, DayItems: make([]int, 24), DayCounts: make([]int, 24)}
	for _, b := range o.Recent {
		if hour := 23 - int(now.Sub(b.Start)/time.Hour); hour >= 0 && hour < 24 {
			p.DayItems[hour] += b.Items
			p.DayCounts[hour] += b.Count(o.Kind)
		}
	}
	return p
}
