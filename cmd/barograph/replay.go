package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/barograph/barograph/alert"
	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
	"github.com/barograph/barograph/trend/market"
)

type replayOptions struct {
	config, format, out, from, to, report string

	explain, warm bool
	budgets       []float64
}

func newReplay() *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use:   "replay [FILE]",
		Short: "Run history through trend and alert: what would have fired",
		Long: "Reads readings, or items (which it classifies first), as JSON lines in order of arrival, or with --from and\n" +
			"--to the readings topic, and writes the alerts that would have been sent as JSON lines: with alert.routes (or\n" +
			"alert.slack.channel) those that a route takes, without any all of them. Silences are not applied, and what quiet\n" +
			"hours or a digest would delay is written at its time. Its clock is arrived_at, else classified_at (of readings),\n" +
			"else published_at. Only --warm needs Redis. Lines that cannot be read are named with file and line; exit code 1\n" +
			"then. FILE may be - for standard input.",
		Example: `  barograph replay readings.jsonl | jq -r .reason
  barograph replay -c barograph.yaml --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z --explain
  barograph replay --report out.html readings.jsonl > alerts.jsonl
  barograph replay -c barograph.yaml --warm --from 2026-10-25T00:00:00Z
  barograph replay --budget 0.5,1,2 readings.jsonl
  barograph replay --format bench events.jsonl -o alerts.jsonl`,
		Args: arguments(0, 1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error { return replay(cmd, o, args) },
	}
	configFlags(cmd, &o.config)
	cmd.Flags().StringVar(&o.from, "from", "", "with --to, read the readings topic from this time (RFC 3339) instead of a file")
	cmd.Flags().StringVar(&o.to, "to", "", "read the readings topic up to this time")
	cmd.Flags().StringVar(&o.format, "format", "", "bench: the events of the spike benchmark in, lines for its scorer out")
	cmd.Flags().StringVarP(&o.out, "out", "o", "", "file to write; without it, standard output")
	cmd.Flags().BoolVar(&o.explain, "explain", false, "write the numbers of each decision to standard error")
	cmd.Flags().Float64SliceVar(&o.budgets, "budget", nil, "false alerts a day; several compare settings in a table instead of writing alerts")
	cmd.Flags().BoolVar(&o.warm, "warm", false, "give the Redis of the configuration this past: a new monitor then speaks at once; nothing is sent")
	cmd.Flags().StringVar(&o.report, "report", "", "draw the series that alerted: a page (name.html) or a picture (name.png)")
	return cmd
}

func replay(cmd *cobra.Command, o replayOptions, args []string) error {
	if o.warm && o.from != "" && o.to == "" {
		o.to = time.Now().UTC().Format(time.RFC3339)
	}
	if err := o.check(args); err != nil {
		return usageError{fmt.Errorf("%w; see %s -h", err, cmd.CommandPath())}
	}
	cfg, err := readConfig(o.config)
	if err != nil {
		return err
	}
	output, err := createOutput(cmd.OutOrStdout(), o.out)
	if err != nil {
		return err
	}
	defer output.discard()
	runs := runsOf(cfg, o, output, cmd.ErrOrStderr())
	finishReport, discardReport, err := runs[0].draws(o.report)
	if err != nil {
		return err
	}
	defer discardReport()
	var warm *warming
	if o.warm {
		if warm, err = openWarming(cmd.Context(), cfg, cmd.ErrOrStderr()); err != nil {
			return err
		}
		defer warm.client.Close()
	}
	moments, closeSource, err := openHistory(cmd, cfg, o, args)
	if err != nil {
		return err
	}
	defer closeSource()
	bad, start := 0, time.Now()
	for m := range moments {
		if m.err != nil {
			bad++
			fmt.Fprintln(cmd.ErrOrStderr(), m.err)
			if bad == hopeless && runs[0].readings == 0 {
				return fmt.Errorf("the first %d %ss cannot be read; each is named above: is it history at all?", bad, o.unit())
			}
			continue
		}
		if warm != nil {
			if !warm.takes(m) {
				continue
			}
			if err := warm.add(cmd.Context(), m.reading); err != nil {
				return err
			}
		}
		for _, r := range runs {
			if err := r.add(m); err != nil {
				return fmt.Errorf("writing alerts: %w", err)
			}
		}
	}
	if err := cmd.Context().Err(); err != nil {
		return err
	}
	for _, r := range runs {
		if err := r.ends(); err != nil {
			return fmt.Errorf("writing alerts: %w", err)
		}
	}
	if len(runs) > 1 {
		writeBudgets(output, runs)
	}
	if err := errors.Join(output.commit(), finishReport()); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s; %.1f s\n", runs[0].summary(), time.Since(start).Seconds())
	if warm != nil {
		if err := warm.finish(cmd.Context(), runs[0].counted); err != nil {
			return err
		}
	}
	if bad > 0 {
		named := "each is"
		if bad == 1 {
			named = "it is"
		}
		return fmt.Errorf("%s could not be read; %s named above", news.Counted(bad, o.unit()), named)
	}
	return nil
}

// hopeless is from how many first lines, all of which cannot be read, the others are not tried.
const hopeless = 20

// unit is what history comes in.
func (o replayOptions) unit() string {
	if o.from != "" {
		return "message"
	}
	return "line"
}

func (o replayOptions) check(args []string) error {
	switch {
	case o.format != "" && o.format != "bench":
		return fmt.Errorf("--format is %q; there is bench", o.format)
	case (o.from == "") != (o.to == ""):
		return errors.New("--from and --to go together; with --warm, --to may be left out")
	case (o.from == "") == (len(args) == 0):
		return errors.New("give a file, or --from and --to")
	case o.from != "" && o.format != "":
		return errors.New("--format bench reads a file")
	case o.explain && o.format != "":
		return errors.New("--explain is of alerts; --format bench writes a reason in each of its lines")
	case (o.explain || o.report != "") && len(o.budgets) > 1:
		return errors.New("--explain and --report take one --budget")
	case o.warm && (o.format != "" || len(o.budgets) > 0):
		return errors.New("--warm goes by the configuration, without --format and --budget")
	case o.report != "" && o.format != "":
		return errors.New("--report is of alerts; --format bench has none")
	}
	if o.report != "" && reportFormat(o.report) == "" {
		return fmt.Errorf("--report %s: its name ends in .html or .png", o.report)
	}
	if o.from != "" {
		from, err := ingest.ParseTime(o.from)
		if err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		to, err := ingest.ParseTime(o.to)
		if err != nil {
			return fmt.Errorf("--to: %w", err)
		}
		if !from.Before(to) {
			return fmt.Errorf("--from %s is not before --to %s", o.from, o.to)
		}
	}
	for _, budget := range o.budgets {
		if budget <= 0 || math.IsInf(budget, 0) || math.IsNaN(budget) {
			return fmt.Errorf("--budget %g: it is a number of alerts a day, above 0", budget)
		}
	}
	return nil
}

// ruleOf is the rule as it is configured.
func ruleOf(c trendConfig) trend.Rule {
	exchange, _ := marketOf(c.Market) // readConfig has checked it
	return trend.Rule{FalseAlertsPerDay: c.FalseAlertsPerDay, Surprise: c.Surprise, MinNegative: c.MinNegative, WarmUp: c.WarmUp,
		Spikes: c.Spikes, Market: exchange}
}

// marketOf is nil for the hours of UTC.
func marketOf(code string) (*market.Market, error) {
	if code == "" {
		return nil, nil
	}
	return market.Open(code)
}

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
