package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/internal/slackfake"
)

// The demo ends up in Slack, and says what happened when it is told to stop.
func TestDemo(t *testing.T) {
	const channel = "C0DEMO"
	chat := slackfake.Start(t)
	chat.AddChannel(channel, "demo")
	t.Setenv("SLACK_TOKEN", slackfake.Token)
	t.Setenv("SLACK_CHANNEL", channel)
	t.Setenv("SLACK_API_URL", chat.URL)
	p := command(t, "demo", "demo")
	p.run(t)
	chat.Wait(t, 3*time.Minute, "the alert about BA in Slack", func() bool {
		for _, message := range chat.Messages(channel) {
			if strings.Contains(message.Text, "BA") {
				return true
			}
		}
		return false
	})
	p.stop(t)
	for _, want := range []string{"Up after", "Boeing", "alerts: 1\n", "warning   BA"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the demo did not print %q:\n%s", want, p.log)
		}
	}
}

// --for does not count how long the models take to load.
func TestDemoCountsFromWhenItIsUp(t *testing.T) {
	p := command(t, "demo", "demo", "--for", "10s") // it ends when a report is due
	p.run(t)
	select {
	case <-p.ended:
	case <-time.After(3 * time.Minute):
		t.Fatal("the demo does not end")
	}
	if p.err != nil || !regexp.MustCompile(`(?m)^1[01] s, `).MatchString(p.log.String()) || strings.Contains(p.log.String(), "canceled") {
		t.Errorf("the demo did not run for 10 s, or reports its end as a fault: %v\n%s", p.err, p.log)
	}
}

func TestSimulatedClock(t *testing.T) {
	began := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	clock := simulated{start: began.Add(-demoHistory), began: began}
	for real, want := range map[time.Duration]time.Duration{
		0:                -demoHistory,
		time.Second:      -demoHistory + demoSpeed*time.Second,
		80 * time.Second: -demoHistory + demoSpeed*80*time.Second,
		time.Hour:        time.Hour, // caught up: real time from here on
	} {
		if got := clock.at(began.Add(real)).Sub(began); got != want {
			t.Errorf("after %s it is %s, want %s", real, got, want)
		}
	}
}
