package main

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

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
		Long: "Reads readings, or items (which it classifies first), as JSON lines in order of arrival, or with --from\n" +
			"the readings topic, and writes the alerts that would have been sent as JSON lines: with alert.routes (or\n" +
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
	cmd.Flags().StringVar(&o.from, "from", "", "read the readings topic from this time on (RFC 3339) instead of a file")
	cmd.Flags().StringVar(&o.to, "to", "", "read the readings topic up to this time; without it, up to now")
	cmd.Flags().StringVar(&o.format, "format", "", "bench: the events of the spike benchmark in, lines for its scorer out")
	cmd.Flags().StringVarP(&o.out, "out", "o", "", "file to write; without it, standard output")
	cmd.Flags().BoolVar(&o.explain, "explain", false, "write the numbers of each decision to standard error")
	cmd.Flags().Float64SliceVar(&o.budgets, "budget", nil, "false alerts a day; several compare settings in a table instead of writing alerts")
	cmd.Flags().BoolVar(&o.warm, "warm", false, "give the Redis of the configuration this past: a new monitor then speaks at once; nothing is sent")
	cmd.Flags().StringVar(&o.report, "report", "", "draw the series that alerted: a page (name.html) or a picture (name.png)")
	return cmd
}

func replay(cmd *cobra.Command, o replayOptions, args []string) error {
	if o.from != "" && o.to == "" {
		o.to = time.Now().UTC().Format(time.RFC3339Nano)
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
	bad, unread, start := 0, 0, time.Now()
	for m := range moments {
		if m.unread {
			unread++
			continue
		}
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
	if unread > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s skipped: classify wrote there that it could not read a row\n", news.Counted(unread, "line"))
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s; %.1f s\n", runs[0].summary(), time.Since(start).Seconds())
	if err := runs[0].mostlyLost(cfg.Trend.History); err != nil {
		return err
	}
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
	case o.to != "" && o.from == "":
		return errors.New("--to goes with --from")
	case (o.from == "") == (len(args) == 0):
		return errors.New("give a file, or --from")
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
