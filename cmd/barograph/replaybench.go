package main

import (
	"encoding/json"
	"time"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// benchEvent is a line of the spike benchmark's events.jsonl; times are Unix seconds.
type benchEvent struct {
	ID      string  `json:"id"`
	TS      float64 `json:"ts"`
	Arrival float64 `json:"arrival"`
	Entity  string  `json:"entity"`
	Topic   string  `json:"topic"`
	Neg     float64 `json:"neg"`
	Neu     float64 `json:"neu"`
	Pos     float64 `json:"pos"`
	Text    string  `json:"text"`
}

// benchAlert is a line for the benchmark's scorer, and why.
type benchAlert struct {
	Key      string  `json:"key"`
	T        float64 `json:"t"`
	Surprise float64 `json:"surprise"`
	Window   float64 `json:"window"`
	Reason   string  `json:"reason"`
}

func benchMoment(line []byte) (m moment, err error) {
	m.event = &benchEvent{}
	err = json.Unmarshal(line, m.event)
	if err == nil {
		err = news.Sentiment{Negative: m.event.Neg, Neutral: m.event.Neu, Positive: m.event.Pos}.Check()
	}
	m.at = unixMoment(m.event.Arrival)
	return m, err
}

func unixMoment(seconds float64) time.Time { return time.UnixMicro(int64(seconds * 1e6)) }

// addEvent judges one event of one series, without the series around it.
func (r *replayRun) addEvent(m moment) error {
	e := m.event
	of := news.Series{Entity: e.Entity, Topic: e.Topic}
	negative := e.Neg > e.Neu && e.Neg > e.Pos
	spike, opened := r.bench.Add(trend.Event{ID: e.ID, Series: of, Arrival: m.at, At: unixMoment(e.TS),
		Negative: negative, Leans: !negative && e.Neg >= trend.LeansFrom, Text: e.Text})
	if !opened {
		return nil
	}
	r.fired(of, spike.Surprise)
	if r.out == nil {
		return nil
	}
	return r.out.Encode(benchAlert{e.Entity + "/" + e.Topic, e.Arrival, spike.Surprise, spike.Window.Length.Seconds(), spike.Reason()})
}
