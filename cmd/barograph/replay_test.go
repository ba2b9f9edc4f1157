package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/news"
)

// quietThenBurst are readings of a company: two quiet days, then ten negative ones in ten
// minutes, then a quiet day.
func quietThenBurst(t *testing.T) []string {
	t.Helper()
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	var lines []string
	add := func(at time.Duration, negative float64) {
		line, err := json.Marshal(news.Reading{ID: fmt.Sprint("r", len(lines)), Source: "wire", PublishedAt: start.Add(at),
			ClassifiedAt: start.Add(at + 5*time.Second), Entities: []string{"ACME"}, Title: fmt.Sprint("headline ", len(lines)),
			Sentiment: news.Sentiment{Negative: negative, Neutral: 1 - negative}})
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	for hour := range 48 {
		add(time.Duration(hour)*time.Hour, .1)
	}
	for minute := range 10 {
		add(48*time.Hour+time.Duration(minute)*time.Minute, .9)
	}
	for hour := range 24 {
		add(time.Duration(49+hour)*time.Hour, .1)
	}
	return lines
}

func replayed(t *testing.T, lines []string, args ...string) (out, log string, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return run(t, append([]string{"replay", path}, args...)...)
}

// run runs a command in this process.
func run(t *testing.T, args ...string) (out, log string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	root := newRoot()
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

// A burst fires once and is resolved; its alert carries the evidence. What a prefix of
// history gives is a prefix of what all of it gives.
func TestReplayFindsTheBurstAtItsTime(t *testing.T) {
	lines := quietThenBurst(t)
	whole, log, err := replayed(t, lines, "--explain")
	if err != nil {
		t.Fatal(err)
	}
	var fired news.Alert
	if err := json.NewDecoder(strings.NewReader(whole)).Decode(&fired); err != nil {
		t.Fatal(err)
	}
	if fired.Series.Entity != "ACME" || fired.Negative < 3 || len(fired.Evidence) == 0 || fired.Sources != 1 {
		t.Errorf("alert %+v", fired)
	}
	if !strings.Contains(whole, `"status":"resolved"`) {
		t.Errorf("never resolved: %s", whole)
	}
	if !strings.Contains(log, "first_exceedance") || !strings.Contains(log, "volume factor") {
		t.Errorf("--explain wrote %s", log)
	}
	timesOf(t, log)
	for n := 48; n < len(lines); n += 3 {
		prefix, _, err := replayed(t, lines[:n])
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(whole, prefix) {
			t.Errorf("the first %d readings give alerts that all do not: %s", n, prefix)
		}
	}
}

// timesOf are those of the lines of --explain, which do not go back.
func timesOf(t *testing.T, log string) (times []string) {
	t.Helper()
	for line := range strings.Lines(log) {
		if len(line) < 19 || line[10] != ' ' || line[13] != ':' { // the summary, or progress
			continue
		}
		if len(times) > 0 && line[:19] < times[len(times)-1] {
			t.Errorf("after %s comes %s", times[len(times)-1], line)
		}
		times = append(times, line[:19])
	}
	return times
}

// Each decision and each message has its own time, its kind and the count of that kind.
func TestReplaySaysWhenAndWhat(t *testing.T) {
	lines := quietThenBurst(t)
	good := strings.NewReplacer(`"negative":0.9`, `"negative":0`, `"positive":0`, `"positive":0.9`)
	for i := 48; i < 58; i++ {
		lines[i] = good.Replace(lines[i])
	}
	for kind, want := range map[string]string{"positive": `positive "ACME": positives `, "volume": `volume   "ACME": items `} {
		out, log, err := replayed(t, lines, "--explain", "-c", writeConfig(t, "trend: {spikes: ["+kind+"]}"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log, want) || strings.Contains(log, want+"0") || strings.Contains(log, "negatives") {
			t.Errorf("--explain wrote %s, want %s", log, want)
		}
		times, told := timesOf(t, log), 0
		var last news.Alert
		for line := range strings.Lines(out) {
			var a news.Alert
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(times, stampOf(a.UpdatedAt)) {
				t.Errorf("a message of %s, and decisions at %q", a.UpdatedAt, times)
			}
			if a.ID == last.ID && !a.UpdatedAt.After(last.UpdatedAt) || a.ID != last.ID && !a.UpdatedAt.Equal(a.FiredAt) {
				t.Errorf("told at %s, after %s", a.UpdatedAt, last.UpdatedAt)
			}
			if a.ResolvedAt != nil && !a.UpdatedAt.Equal(*a.ResolvedAt) {
				t.Errorf("told at %s of the end at %s", a.UpdatedAt, a.ResolvedAt)
			}
			told, last = told+1, a
		}
		if least := map[string]int{"positive": 3, "volume": 2}[kind]; told < least || last.ResolvedAt == nil {
			t.Errorf("%d messages; want at least %d, that it fired, grew and ended: %s", told, least, out)
		}
	}
}

func TestReplayNamesBadLinesAndGoesOn(t *testing.T) {
	lines := quietThenBurst(t)
	want, _, err := replayed(t, lines)
	if err != nil {
		t.Fatal(err)
	}
	got, log, err := replayed(t, append([]string{`{"id":`, "", lines[0], `{"id":"no time"}`}, lines[1:]...))
	if err == nil || got != want || !strings.Contains(log, "in.jsonl:1: ") || !strings.Contains(log, "in.jsonl:4: ") {
		t.Errorf("error %v, log %s", err, log)
	}
}

func TestReplayComparesBudgets(t *testing.T) {
	out, _, err := replayed(t, quietThenBurst(t), "--budget", "0.5,2")
	if err != nil {
		t.Fatal(err)
	}
	if rows := strings.Split(strings.TrimSpace(out), "\n"); len(rows) != 4 || !strings.Contains(rows[0], "median surprise") {
		t.Errorf("table\n%s", out)
	}
}

// The table says by which threshold a budget came to its alerts, and where the floor rather than
// the budget set it.
func TestReplaySaysWhereABudgetEnds(t *testing.T) {
	lines := quietThenBurst(t)
	out, _, err := replayed(t, lines, "--budget", "0.001,1000000")
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(out), "\n")
	if len(rows) != 4 || !strings.HasSuffix(rows[0], "last threshold  floor reached") || !strings.HasPrefix(rows[3], "floor: a surprise below 1.95 ") {
		t.Fatalf("table\n%s", out)
	}
	small, large := strings.Fields(rows[1]), strings.Fields(rows[2])
	if small[6] != "no" || !(small[5] > "1.95") || !slices.Equal(large[5:], []string{"1.95", "yes"}) || large[0] != "1000000" {
		t.Errorf("table\n%s", out)
	}
	if out, _, err = replayed(t, lines, "--budget", "0.001,0.002"); err != nil || strings.Contains(out, "floor:") {
		t.Errorf("%v: no budget reaches the floor, and the table says\n%s", err, out)
	}
	if out, _, err = replayed(t, lines[:10], "--budget", "1,2"); err != nil || !slices.Equal(strings.Fields(lastLine(out))[5:], []string{"-", "-"}) {
		t.Errorf("%v: there is no threshold in the warm-up, and the table says\n%s", err, out)
	}
}

func TestReplayRefusesWrongUsage(t *testing.T) {
	for _, args := range []string{"--to 2026-11-01T00:00:00Z", "--from 2026-11-01T00:00:00Z readings.jsonl", "--from 2026-11-08T00:00:00Z --to 2026-11-01T00:00:00Z", "--budget 0", "--format csv",
		"--format bench --explain", "--budget 1,2 --explain"} {
		var usage usageError
		if _, _, err := replayed(t, nil, strings.Fields(args)...); !errors.As(err, &usage) {
			t.Errorf("%s: %v, want that of wrong usage", args, err)
		}
	}
	_, _, err := run(t, "replay", "--from", "2026-11-08T00:00:00Z", "--to", "2026-11-08T00:00:00Z")
	if err == nil || !strings.Contains(err.Error(), "--from 2026-11-08T00:00:00Z is not before --to") {
		t.Errorf("a stretch that is none: %v", err)
	}
}

// A file of something else is said to be that, instead of a fault in each of its lines.
func TestReplayKnowsAWrongFile(t *testing.T) {
	readings := quietThenBurst(t)
	event := `{"id":"1","ts":1772409600,"arrival":1772409600,"entity":"E","topic":"T","neg":0.1,"neu":0.8,"pos":0.1,"text":"1"}`
	var usage usageError
	if _, log, err := replayed(t, readings, "--format", "bench"); !errors.As(err, &usage) || !strings.Contains(err.Error(), "holds readings") || log != "" {
		t.Errorf("readings as events: %v\n%s", err, log)
	}
	if _, log, err := replayed(t, []string{event}); !errors.As(err, &usage) || !strings.Contains(err.Error(), "--format bench") || log != "" {
		t.Errorf("events as readings: %v\n%s", err, log)
	}
	wrong := slices.Repeat([]string{`{"sentiment":{}}`}, 1000)
	_, log, err := replayed(t, wrong)
	if err == nil || !strings.HasPrefix(err.Error(), "the first 20 lines cannot be read") || strings.Count(log, "\n") != 20 {
		t.Errorf("a file of nothing else: %v\n%s", err, log)
	}
	if _, log, err = replayed(t, slices.Concat(readings[:1], wrong)); err == nil || !strings.HasPrefix(err.Error(), "1000 lines could not be read; each is") || strings.Count(log, "no id") != 1000 {
		t.Errorf("behind a reading: %v", err)
	}
}

func TestReplayRefusesWhatIsNoProbability(t *testing.T) {
	lines := quietThenBurst(t)[:30]
	for _, wrong := range []string{`{"negative":7,"neutral":0,"positive":0}`, `{"negative":0.1,"neutral":-3,"positive":0}`, `{"negative":0.9,"neutral":0.9,"positive":0.9}`} {
		bad := slices.Clone(lines)
		bad[20] = `{"id":"x","published_at":"2026-03-03T00:00:00Z","sentiment":` + wrong + `}`
		_, log, err := replayed(t, bad)
		if err == nil || err.Error() != "1 line could not be read; it is named above" || !strings.Contains(log, "in.jsonl:21: sentiment") || !strings.Contains(log, "29 readings") {
			t.Errorf("%s: %v\n%s", wrong, err, log)
		}
		if _, err := decodeReading(kafka.Message{Value: []byte(bad[20])}); err == nil {
			t.Errorf("the stream counts %s", wrong)
		}
	}
	event := `{"id":"1","ts":1772409600,"arrival":1772409600,"entity":"E","topic":"T","neg":1.5,"neu":0,"pos":0,"text":"1"}`
	if _, log, err := replayed(t, []string{event}, "--format", "bench"); err == nil || !strings.Contains(log, "in.jsonl:1: sentiment.negative is 1.5") {
		t.Errorf("an event: %v\n%s", err, log)
	}
}

// What fails before its end leaves neither the output nor a part of it.
func TestAFailedCommandLeavesNoOutput(t *testing.T) {
	dir := t.TempDir()
	readings := filepath.Join(dir, "readings.jsonl")
	if err := os.WriteFile(readings, []byte(strings.Join(quietThenBurst(t), "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.jsonl")
	for _, args := range [][]string{{"replay", readings, "-o", out}, append([]string{"classify", readings, "-o", out}, modelArguments(t)...)} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		root := newRoot()
		root.SetArgs(args)
		if err := root.ExecuteContext(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want that it was interrupted", args[0], err)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
			t.Errorf("%s left %v, %v", args[0], files, err)
		}
	}
}

// With routes the alerts are those that a route takes, from when it takes them; what nobody
// would have heard of is only explained.
func TestReplayTellsWhatARouteTakes(t *testing.T) {
	lines := quietThenBurst(t)
	all, _, err := replayed(t, lines, "-c", writeConfig(t, "alert: {critical: 3}"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, routes, first, summary string }{
		{"all", "", "warning", "1 alert in 1 series;"},
		{"of its company", "{sink: w, entities: [ACME]}", "warning", "1 alert in 1 series;"},
		{"of others", "{sink: w, entities: [OTHER]}", "", "0 alerts in 0 series; 1 alert more that no route takes"},
		{"critical ones, from when it is", "{sink: w, min_severity: critical}", "critical", "1 alert in 1 series;"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := writeConfig(t, "alert: {critical: 3, webhooks: [{name: w, url: 'http://127.0.0.1:1/'}], routes: ["+tt.routes+"]}")
			page := filepath.Join(t.TempDir(), "out.html")
			out, log, err := replayed(t, lines, "-c", config, "--explain", "--report", page)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(log, tt.summary) || !strings.Contains(log, "first_exceedance") {
				t.Errorf("log %s, want %s", log, tt.summary)
			}
			if untold := strings.Contains(log, "no route takes it"); untold != (tt.first != "warning") {
				t.Errorf("--explain names what no route takes: %t: %s", untold, log)
			}
			var a news.Alert
			if err := json.NewDecoder(strings.NewReader(out)).Decode(&a); tt.first != "" && err != nil || string(a.Severity) != tt.first {
				t.Errorf("%v: first told %q, want severity %q", err, out, tt.first)
			}
			if !strings.HasSuffix(all, lastLine(out)) {
				t.Errorf("the last message is %s, without routes %s", lastLine(out), lastLine(all))
			}
			drawn, err := os.ReadFile(page)
			if err != nil || strings.Contains(string(drawn), "No alert would have been sent") != (tt.first == "") {
				t.Errorf("the page shows another number of alerts: %v", err)
			}
			if at := a.UpdatedAt.Format("2 Jan 2006 15:04") + " UTC as " + tt.first; tt.first != "" && !strings.Contains(string(drawn), at) {
				t.Errorf("the page does not say %q", at)
			}
			table, _, err := replayed(t, lines, "-c", config, "--budget", "1,2")
			if count := strings.Fields(strings.Split(table, "\n")[1])[1]; err != nil || (count == "0") != (tt.first == "") {
				t.Errorf("%v: the table\n%s", err, table)
			}
		})
	}
}

func lastLine(text string) string {
	lines := strings.SplitAfter(text, "\n")
	return lines[max(0, len(lines)-2)]
}

func TestReplayRefusesARouteThatIsWrong(t *testing.T) {
	_, _, err := replayed(t, nil, "-c", writeConfig(t, "alert: {routes: [{sink: w}, {sink: w, min_severity: fatal}]}"))
	if err == nil || !strings.Contains(err.Error(), `alert.routes: route 2: min_severity "fatal"`) {
		t.Errorf("error %v", err)
	}
}

// What the rule did not say is explained, too: that it abstains, once a day, and what came near.
func TestExplainOfWhatIsNoSpike(t *testing.T) {
	_, log, err := replayed(t, quietThenBurst(t), "--explain")
	if err != nil {
		t.Fatal(err)
	}
	timesOf(t, log)
	if strings.Count(log, `abstain  too_few            negative "ACME": 1 of 12 items in 12h`) != 1 || strings.Count(log, `too_few            negative "ACME"`) != 1 {
		t.Errorf("the first negative of ACME is too few, and it says\n%s", log)
	}
	_, log, err = replayed(t, quietThenBurst(t), "--explain", "-c", writeConfig(t, "trend: {surprise: 3.5}"))
	if near := `none     near_miss          negative "ACME": negatives `; err != nil || !strings.Contains(log, near) || strings.Index(log, near) > strings.Index(log, "first_exceedance") {
		t.Errorf("%v: before it is a spike it is near one, and it says\n%s", err, log)
	}
}
