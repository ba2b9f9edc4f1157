package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	var stdout, stderr bytes.Buffer
	root := newRoot()
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetArgs(append([]string{"replay", path}, args...))
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

func TestReplayNamesBadLinesAndGoesOn(t *testing.T) {
	lines := quietThenBurst(t)
	want, _, err := replayed(t, lines)
	if err != nil {
		t.Fatal(err)
	}
	got, log, err := replayed(t, append([]string{lines[0], `{"id":`}, lines[1:]...))
	if err == nil || got != want || !strings.Contains(log, "in.jsonl:2: ") {
		t.Errorf("error %v, log %s", err, log)
	}
}

func TestReplayComparesBudgets(t *testing.T) {
	out, _, err := replayed(t, quietThenBurst(t), "--budget", "0.5,2")
	if err != nil {
		t.Fatal(err)
	}
	if rows := strings.Split(strings.TrimSpace(out), "\n"); len(rows) != 3 || !strings.Contains(rows[0], "median surprise") {
		t.Errorf("table\n%s", out)
	}
}

func TestReplayRefusesWrongUsage(t *testing.T) {
	var usage usageError
	if _, _, err := replayed(t, nil, "--from", "2026-11-01T00:00:00Z"); !errors.As(err, &usage) {
		t.Errorf("--from without --to: %v", err)
	}
	if _, _, err := replayed(t, nil, "--budget", "0"); !errors.As(err, &usage) {
		t.Errorf("--budget 0: %v", err)
	}
}
