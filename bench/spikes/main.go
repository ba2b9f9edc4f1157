// Command spikes runs the spike rule over the events of the spike benchmark and writes
// its alerts for the benchmark's scorer. README.md says how, and what came out.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

func main() {
	var rule trend.Rule
	flag.Float64Var(&rule.FalseAlertsPerDay, "budget", 1, "false alerts a day that are allowed over all series")
	flag.Float64Var(&rule.Surprise, "surprise", 0, "fixed smallest surprise of a spike, instead of a budget")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: spikes [flags] events.jsonl alerts.jsonl\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), rule); err != nil {
		fmt.Fprintln(os.Stderr, "spikes:", err)
		os.Exit(1)
	}
}

// event is a line of the benchmark's events.jsonl; times are Unix seconds.
type event struct {
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

// alert is a line for the scorer, and why.
type alert struct {
	Key      string  `json:"key"`
	T        float64 `json:"t"`
	Surprise float64 `json:"surprise"`
	Window   float64 `json:"window"`
	Reason   string  `json:"reason"`
}

func run(events, alerts string, rule trend.Rule) (err error) {
	in, err := os.Open(events)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(alerts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := bufio.NewWriter(out)
	if err := replay(bufio.NewReaderSize(in, 1<<20), json.NewEncoder(w), trend.NewReplay(rule)); err != nil {
		return fmt.Errorf("%s: %w", events, err)
	}
	return w.Flush()
}

func replay(in io.Reader, out *json.Encoder, r *trend.Replay) error {
	lines := json.NewDecoder(in)
	for n := 1; ; n++ {
		var e event
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("event %d: %w", n, err)
		}
		spike, opened := r.Add(trend.Event{
			ID:       e.ID,
			Series:   news.Series{Entity: e.Entity, Topic: e.Topic},
			Arrival:  moment(e.Arrival),
			At:       moment(e.TS),
			Negative: e.Neg > e.Neu && e.Neg > e.Pos,
			Text:     e.Text,
		})
		if !opened {
			continue
		}
		if err := out.Encode(alert{e.Entity + "/" + e.Topic, e.Arrival, spike.Surprise, spike.Window.Length.Seconds(), spike.Reason()}); err != nil {
			return err
		}
	}
}

func moment(seconds float64) time.Time { return time.UnixMicro(int64(seconds * 1e6)) }
