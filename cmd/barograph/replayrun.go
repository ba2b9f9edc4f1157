package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/barograph/barograph/alert"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// replayRun is history under one setting.
type replayRun struct {
	rule    trend.Rule
	counted *trend.History // of readings
	bench   *trend.Replay  // of benchmark events, instead
	desk    *alert.History
	out     *json.Encoder // nil: alerts are only counted
	explain io.Writer     // nil: not wanted
	report  *report       // nil: not wanted

	now, first time.Time
	limit      float64 // threshold of the last judgement
	readings   int
	series     map[news.Series]bool // that fired
	surprises  []float64            // of alerts, when people would have been told first
	abstained  map[string]time.Time // when --explain last said so, by series and kind
	decided    int                  // alerts that fired, also those that no route takes
}

func runsOf(cfg config, o replayOptions, out, explain io.Writer) []*replayRun {
	rule := ruleOf(cfg.Trend)
	rules := []trend.Rule{rule}
	for i, budget := range o.budgets {
		rule.FalseAlertsPerDay, rule.Surprise = budget, 0
		rules = append(rules[:i], rule)
	}
	var runs []*replayRun
	for _, rule := range rules {
		r := &replayRun{rule: rule, series: map[news.Series]bool{}}
		if o.format == "bench" {
			r.bench = trend.NewReplay(rule)
		} else {
			r.counted = trend.NewHistory(rule, cfg.Trend.History)
			r.desk = alert.NewHistory(alert.Config{Settle: alertSettle, Quiet: cfg.Alert.Quiet, Critical: cfg.Alert.Critical,
				Routes: cfg.Alert.ownRoutes()})
		}
		if len(rules) == 1 && (!o.warm || o.out != "") {
			r.out = json.NewEncoder(out)
			r.out.SetEscapeHTML(false)
		}
		if o.explain {
			r.explain = explain
			if r.counted != nil {
				r.counted.Judged, r.abstained = r.judged, map[string]time.Time{}
			}
		}
		runs = append(runs, r)
	}
	return runs
}

// add lets a moment of history pass. Clocks of several machines differ a little: time does
// not go back.
func (r *replayRun) add(m moment) error {
	r.readings++
	if r.first.IsZero() {
		r.first = m.at
	}
	if m.at.After(r.now) {
		if r.report != nil {
			r.report.before(m.at, r.counted, r.now)
		}
		r.now = m.at
	}
	if r.bench != nil {
		return r.addEvent(m)
	}
	if err := r.hears(r.desk.Consider(nil, r.now)); err != nil { // what was decided since the reading before
		return err
	}
	spikes := r.counted.Observe(m.reading, r.now)
	r.limit = r.counted.Threshold(r.now)
	if r.report != nil {
		r.report.passes(m.reading, r.now)
	}
	return r.hears(r.desk.Consider(spikes, r.now))
}

// ends lets what waits to settle speak: nothing else comes.
func (r *replayRun) ends() error {
	if r.desk == nil {
		return nil
	}
	return r.hears(r.desk.Consider(nil, r.now.Add(alertSettle)))
}

func (r *replayRun) hears(decisions []alert.Said) error {
	for _, said := range decisions {
		if r.explain != nil {
			fmt.Fprintln(r.explain, explained(said, r.limit))
		}
		if said.Action == alert.Fire {
			r.decided++
		}
		if !said.Told {
			continue
		}
		if r.report != nil {
			r.report.hears(said, r.counted, r.limit)
		}
		if said.First {
			r.fired(said.Alert.Series, said.Alert.Surprise)
		}
		if r.out == nil {
			continue
		}
		if err := r.out.Encode(said.Alert); err != nil {
			return err
		}
	}
	return nil
}

func (r *replayRun) fired(of news.Series, surprise float64) {
	r.series[of] = true
	r.surprises = append(r.surprises, surprise)
}

// explained is a decision with its numbers on one line, at the time and by the threshold of then.
func explained(said alert.Said, threshold float64) string {
	return fmt.Sprintf("%s  %-8s %-18s %s%s", stampOf(said.At), said.Action, said.Reason, numbersOf(said.Alert, threshold), untold(said))
}

// untold says where people would be told but for the routes.
func untold(said alert.Said) string {
	if said.Told || said.Action != alert.Fire && said.Action != alert.Escalate {
		return ""
	}
	return ", no route takes it"
}

// judged explains what is no decision: near misses, each as it comes nearer, and that the rule
// abstains, once a day for a series.
func (r *replayRun) judged(j trend.Judgement) {
	s := j.Spike
	switch j.Outcome {
	case trend.NearMiss:
		if !j.Higher {
			return
		}
		fmt.Fprintf(r.explain, "%s  %-8s %-18s %s\n", stampOf(s.At), "none", "near_miss", numbersOf(news.Alert{Kind: s.Kind, Series: s.Series,
			Items: s.Window.Items, Negative: s.Window.Negative, Positive: s.Window.Positive, Copies: s.Window.Copies, Expected: s.Expected,
			VolumeFactor: s.VolumeFactor, Window: news.Duration(s.Window.Length), Share: s.Share(), ShareBefore: s.ShareBefore, Surprise: s.Surprise}, j.Threshold))
	case trend.TooFew:
		key := s.Series.Key() + string(s.Kind)
		if last, said := r.abstained[key]; said && s.At.Sub(last) < 24*time.Hour {
			return
		}
		r.abstained[key] = s.At
		why := fmt.Sprintf("%d of %s in %s", s.Count(), news.Counted(s.Window.Items, "item"), news.Duration(s.Window.Length))
		if s.Kind == news.SpikeVolume {
			why = "its volume has been seen for less than a day, or is below min_negative"
		}
		fmt.Fprintf(r.explain, "%s  %-8s %-18s %-8s %q: %s\n", stampOf(s.At), "abstain", "too_few", s.Kind.OrNegative(), s.Series.String(), why)
	}
}

func stampOf(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// numbersOf are those of a judgement.
func numbersOf(a news.Alert, threshold float64) string {
	kind := a.Kind.OrNegative()
	counted, shares := fmt.Sprintf("%ss %d, items %d", kind, a.Count(), a.Items), fmt.Sprintf(", share %.2f before %.2f", a.Share, a.ShareBefore)
	if kind == news.SpikeVolume { // all are
		counted, shares = fmt.Sprintf("items %d", a.Items), ""
	}
	return fmt.Sprintf("%-8s %q: %s, expected %.3g, volume factor %.2f, window %s%s, surprise %.2f threshold %.2f, sources %d, copies %d",
		kind, a.Series.String(), counted, a.Expected, a.VolumeFactor, a.Window, shares, a.Surprise, threshold, a.Sources, a.Copies)
}

func (r *replayRun) days() float64 { return r.now.Sub(r.first).Hours() / 24 }

func (r *replayRun) summary() string {
	text := fmt.Sprintf("%d readings over %.1f days, %s in %d series", r.readings, r.days(), news.Counted(len(r.surprises), "alert"), len(r.series))
	if r.counted == nil {
		return text
	}
	if n := r.decided - len(r.surprises); n > 0 {
		text += fmt.Sprintf("; %s more that no route takes", news.Counted(n, "alert"))
	}
	c := r.counted.Counts
	text += fmt.Sprintf("; %d series counted, %d copies, %d repeats, %d judgements, of which %d abstained for thin data",
		r.counted.Series(), c.Copies, c.Repeats, c.Judged, c.Thin)
	if c.Refused > 0 {
		text += fmt.Sprintf("; %d not counted: older than trend.history, ahead of the clock or without an id", c.Refused)
	}
	if !r.now.IsZero() && math.IsInf(r.counted.Threshold(r.now), 1) {
		text += "; all of it lies within trend.warm_up, in which nothing fires"
	}
	return text
}

// mostlyLost is the error of a history of which less than half was counted: what it says of the rest is
// nothing to go by.
func (r *replayRun) mostlyLost(history time.Duration) error {
	if r.counted == nil || r.counted.Counts.Refused*2 <= r.readings {
		return nil
	}
	return fmt.Errorf("%d of %d readings were not counted: at their turn they were older than trend.history, %s, or ahead of the clock, or they have no id. "+
		"Replay takes them in order of arrived_at, else classified_at: sort them; of texts that were classified long after they came, give arrived_at, or drop the other (jq -c 'del(.classified_at)')",
		r.counted.Counts.Refused, r.readings, news.Duration(history))
}

// threshold is that at the end of history; infinite where that lies in the warm-up.
func (r *replayRun) threshold() float64 {
	switch {
	case r.now.IsZero():
		return math.Inf(1)
	case r.bench != nil:
		return r.bench.Threshold(r.now)
	}
	return r.counted.Threshold(r.now)
}

// writeBudgets compares settings. What a budget allows need not come: below the floor of the
// threshold nothing is a spike, and then budgets differ in nothing.
func writeBudgets(out io.Writer, runs []*replayRun) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "budget\talerts\talerts a day\tseries\tmedian surprise\tlast threshold\tfloor reached\t")
	reached := false
	for _, r := range runs {
		slices.SortFunc(r.surprises, cmp.Compare[float64])
		median, perDay, threshold, floor := "-", "-", "-", "-"
		if n := len(r.surprises); n > 0 {
			median = fmt.Sprintf("%.2f", (r.surprises[(n-1)/2]+r.surprises[n/2])/2)
		}
		if r.days() > 0 {
			perDay = fmt.Sprintf("%.2f", float64(len(r.surprises))/r.days())
		}
		if limit := r.threshold(); !math.IsInf(limit, 1) {
			threshold, floor = fmt.Sprintf("%.2f", limit), "no"
			if limit <= trend.LeastSurprise {
				floor, reached = "yes", true
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%s\t%s\t%s\t\n", strconv.FormatFloat(r.rule.FalseAlertsPerDay, 'f', -1, 64), len(r.surprises), perDay, len(r.series), median, threshold, floor)
	}
	w.Flush()
	if reached {
		fmt.Fprintf(out, "floor: a surprise below %g is no spike, whatever the budget; so few series do not use up the budgets that reach it\n", trend.LeastSurprise)
	}
}
