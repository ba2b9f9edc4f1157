package alert

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/barograph/barograph/internal/slackfake"
	"github.com/barograph/barograph/news"
)

// floor is an office with people in it: a running desk, and buttons that work.
type floor struct {
	*office
	desk        *Desk
	actions     *SlackActions
	corrections *Corrections
}

// newFloor finds a reading for every text of the evidence; that of the text c is one toward a
// company.
func newFloor(t *testing.T, change func(*SlackActionsConfig)) *floor {
	t.Helper()
	f := &floor{office: newOffice(t)}
	f.desk = f.office.desk(t, nil)
	f.corrections = newCorrections(t, func(c *CorrectionsConfig) { c.Redis = f.redis })
	cfg := SlackActionsConfig{
		Slack: f.desk.cfg.Sinks["slack"].(*Slack), Desk: f.desk, Channels: []string{"#alerts"}, Corrections: f.corrections, Log: quietLog(),
		Reading: func(_ context.Context, id, entity string, since time.Time) (news.Reading, string, error) {
			toward := ""
			if id == "c" {
				toward = entity
			}
			return news.Reading{ID: id, Lang: "en", Text: "text of " + id, Sentiment: news.Sentiment{Negative: .9, Neutral: .1},
				Model: news.Model{Name: "en", Version: "1"}, PublishedAt: since}, toward, nil
		},
		Picture: func(_ context.Context, words string) (Picture, error) {
			if words != "AAPL" {
				return Picture{}, ErrUnknownSeries
			}
			return Picture{Series: apple, Length: time.Hour, Items: 12, Count: 10, Expected: 2, Surprise: 3}, nil
		},
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if f.actions, err = NewSlackActions(cfg); err != nil {
		t.Fatal(err)
	}
	run(t, f.desk)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.actions.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return f
}

// fired lets an alert fire and returns its message and its thread's.
func (f *floor) fired(t *testing.T) (message, thread slackfake.Message) {
	t.Helper()
	consider(t, f.desk, burst(apple, noon, 10, 3))
	f.slack.Wait(t, 20*time.Second, "the alert and its thread", func() bool {
		m := f.slack.Messages(alertsChannel)
		return len(m) == 1 && len(f.slack.Thread(alertsChannel, m[0].TS)) == 1
	})
	message = f.slack.Messages(alertsChannel)[0]
	return message, f.slack.Thread(alertsChannel, message.TS)[0]
}

// shows waits until the message, or its thread, shows words.
func (f *floor) shows(t *testing.T, ts, words string) {
	t.Helper()
	f.slack.Wait(t, 20*time.Second, fmt.Sprintf("%q in Slack", words), func() bool {
		for _, m := range append(f.slack.Messages(alertsChannel), f.slack.Thread(alertsChannel, ts)...) {
			if strings.Contains(string(m.BlocksJSON), words) {
				return true
			}
		}
		return false
	})
}

func TestAcknowledge(t *testing.T) {
	f := newFloor(t, nil)
	message, _ := f.fired(t)
	envelope := f.slack.Press(t, message, "barograph-alert", pressAck, slackfake.Who{User: "U0LEE"})
	f.shows(t, message.TS, `Acknowledged by \u003c@U0LEE\u003e`)
	f.slack.Send(t, envelope) // Slack gives it again
	f.slack.Press(t, message, "barograph-alert", pressAck, slackfake.Who{User: "U0KIM"})
	eventually(t, "both presses worked on", func() bool {
		return testutil.ToFloat64(f.actions.presses.WithLabelValues("acknowledge", "done")) == 3
	})
	a := openAlert(t, f.desk)
	if len(a.Notes) != 1 || a.Notes[0].By != "slack:U0LEE" {
		t.Errorf("notes %+v", a.Notes)
	}
	if m := f.slack.Messages(alertsChannel); len(m) != 1 || m[0].Edits != 1 || strings.Contains(string(m[0].BlocksJSON), pressAck) {
		t.Errorf("%d messages, %+v", len(m), m)
	}
}

func TestMuteButtons(t *testing.T) {
	for _, action := range []string{pressMuteHour, pressMuteDay, pressMuteResolved} {
		t.Run(action, func(t *testing.T) {
			f := newFloor(t, nil)
			message, _ := f.fired(t)
			envelope := f.slack.Press(t, message, "barograph-alert", action, slackfake.Who{})
			f.shows(t, message.TS, "Muted by ")
			f.slack.Send(t, envelope)
			eventually(t, "both presses worked on", func() bool {
				return testutil.ToFloat64(f.actions.presses.WithLabelValues("mute", "done")) == 2
			})
			silences, err := f.desk.store.silences(t.Context())
			if err != nil || len(silences) != 1 || silences[0].Entity != "AAPL" || silences[0].Author != "slack:U0KIM" ||
				(silences[0].Alert != "") != (action == pressMuteResolved) {
				t.Errorf("silences %+v, %v", silences, err)
			}
			if m := f.slack.Messages(alertsChannel)[0]; m.Edits != 1 {
				t.Errorf("%d edits, want 1", m.Edits)
			}
		})
	}
}

// A correction is a label with the text, and thanks where it was said.
func TestCorrectFromTheThread(t *testing.T) {
	f := newFloor(t, nil)
	message, thread := f.fired(t)
	envelope := f.slack.Press(t, thread, "barograph-text-1", pressNeutral, slackfake.Who{})
	f.shows(t, message.TS, `Thanks, \u003c@U0KIM\u003e: it is neutral.`)
	f.slack.Send(t, envelope)
	f.slack.Press(t, thread, "barograph-text-2", pressNotAbout, slackfake.Who{User: "U0LEE"})
	f.shows(t, message.TS, "not about this company")
	f.slack.Press(t, thread, "barograph-text-3", pressPositive, slackfake.Who{})
	f.shows(t, message.TS, "it is positive.")
	eventually(t, "all presses worked on", func() bool {
		return testutil.ToFloat64(f.actions.presses.WithLabelValues("correct", "done")) == 4
	})
	labels, err := f.corrections.List(t.Context(), 10)
	if err != nil || len(labels) != 3 {
		t.Fatalf("labels %+v, %v", labels, err)
	}
	byItem := map[string]news.Label{}
	for _, l := range labels {
		byItem[l.ID] = l
	}
	entity, sentiment, toward := byItem["b"], byItem["a"], byItem["c"]
	if toward.Task != news.TaskSentiment || toward.Label != "positive" || toward.Entity != "AAPL" {
		t.Errorf("%+v", toward)
	}
	if entity.Task != news.TaskEntity || entity.Label != news.NotAbout || entity.Entity != "AAPL" || entity.ID != "b" || entity.Author != "slack:U0LEE" {
		t.Errorf("%+v", entity)
	}
	if sentiment.Task != news.TaskSentiment || sentiment.Label != "neutral" || sentiment.Was != "negative" || sentiment.ID != "a" ||
		sentiment.Text != "text of a" || sentiment.Model.Name != "en" || sentiment.Entity != "" {
		t.Errorf("%+v", sentiment)
	}
	if got := f.slack.Thread(alertsChannel, message.TS); len(got) != 1 || got[0].Edits != 3 {
		t.Errorf("%d messages in the thread, edited %d times", len(got), got[0].Edits)
	}
}

// Also after the alert was resolved and forgotten.
func TestCorrectAfterTheEnd(t *testing.T) {
	f := newFloor(t, nil)
	message, thread := f.fired(t)
	f.arrival.add(2 * time.Hour)
	f.shows(t, message.TS, "AAPL: bad news (resolved)")
	f.slack.Press(t, thread, "barograph-text-1", pressPositive, slackfake.Who{})
	f.shows(t, message.TS, "it is positive.")
	if labels, err := f.corrections.List(t.Context(), 10); err != nil || len(labels) != 1 || labels[0].Label != "positive" {
		t.Errorf("labels %+v, %v", labels, err)
	}
	got := f.slack.Thread(alertsChannel, message.TS)[0]
	if n := strings.Count(string(got.BlocksJSON), pressNeutral); n != 2 {
		t.Errorf("%d texts can still be corrected, want 2: %s", n, got.BlocksJSON)
	}
}

// Who presses learns that it did not work, and only they.
func TestFailedPress(t *testing.T) {
	f := newFloor(t, func(c *SlackActionsConfig) {
		c.Reading = func(context.Context, string, string, time.Time) (news.Reading, string, error) {
			return news.Reading{}, "", errors.New("<!channel> is & away")
		}
	})
	_, thread := f.fired(t)
	f.slack.Press(t, thread, "barograph-text-1", pressNeutral, slackfake.Who{})
	f.slack.Wait(t, 20*time.Second, "an apology", func() bool { return len(f.slack.Said()) == 1 })
	said := f.slack.Said()[0]
	if !strings.Contains(said.Text, "&lt;!channel&gt; is &amp; away") || !strings.Contains(string(said.Raw), "ephemeral") {
		t.Errorf("said %s", said.Raw)
	}
}

// Other workspaces and channels, and buttons of others, do nothing.
func TestStrangersAreIgnored(t *testing.T) {
	f := newFloor(t, nil)
	message, _ := f.fired(t)
	strange := message
	strange.BlocksJSON = []byte(strings.ReplaceAll(string(message.BlocksJSON), pressAck, "somebody-elses"))
	f.slack.Press(t, message, "barograph-alert", pressAck, slackfake.Who{Team: "T0EVIL"})
	f.slack.Press(t, message, "barograph-alert", pressAck, slackfake.Who{Channel: "C0002DESK"})
	f.slack.Press(t, strange, "barograph-alert", "somebody-elses", slackfake.Who{})
	f.slack.Command(t, "/barograph", "AAPL", slackfake.Who{Team: "T0EVIL"})
	f.slack.Command(t, "/barograph", "AAPL", slackfake.Who{Channel: "C0002DESK"})
	eventually(t, "all of them ignored", func() bool {
		return testutil.ToFloat64(f.actions.presses.WithLabelValues("any", "ignored")) == 3 &&
			testutil.ToFloat64(f.actions.presses.WithLabelValues("command", "ignored")) == 2
	})
	if a := openAlert(t, f.desk); len(a.Notes) != 0 {
		t.Errorf("notes %+v", a.Notes)
	}
	for _, s := range f.slack.Said() {
		if strings.Contains(s.Text, "AAPL") {
			t.Errorf("a stranger was told %q", s.Text)
		}
	}
}

func TestSlashCommand(t *testing.T) {
	f := newFloor(t, nil)
	f.fired(t)
	f.slack.Command(t, "/barograph", " AAPL ", slackfake.Who{})
	f.slack.Wait(t, 20*time.Second, "an answer", func() bool { return len(f.slack.Said()) == 1 })
	if said := string(f.slack.Said()[0].Raw); !strings.Contains(said, "10 negative of 12 items in 1 h, where 2.0 are expected") || !strings.Contains(said, "AAPL: bad news (warning), since") {
		t.Errorf("said %s", said)
	}
	f.slack.Command(t, "/barograph", "<!here>", slackfake.Who{})
	f.slack.Wait(t, 20*time.Second, "an answer", func() bool { return len(f.slack.Said()) == 2 })
	if said := f.slack.Said()[1].Text; !strings.Contains(said, `Nothing was counted under "&lt;!here&gt;"`) {
		t.Errorf("said %s", said)
	}
}

// Slack ends connections every few hours; presses come over the next one.
func TestReconnects(t *testing.T) {
	f := newFloor(t, nil)
	message, _ := f.fired(t)
	f.slack.Wait(t, 20*time.Second, "a connection", func() bool { return f.slack.Connections() == 1 })
	before := len(f.slack.Calls("apps.connections.open"))
	f.slack.Disconnect()
	f.slack.Wait(t, 30*time.Second, "another connection", func() bool {
		return len(f.slack.Calls("apps.connections.open")) == before+1 && f.slack.Connections() == 1
	})
	f.slack.Press(t, message, "barograph-alert", pressAck, slackfake.Who{})
	f.shows(t, message.TS, "Acknowledged")
}
