package alert

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/barograph/barograph/internal/slackfake"
	"github.com/barograph/barograph/news"
)

// header is the first block's text: what happened to whom.
func header(m slackfake.Message) string {
	_, after, _ := strings.Cut(string(m.BlocksJSON), `"text":"`)
	text, _, _ := strings.Cut(after, `"`)
	return text
}

func headers(messages []slackfake.Message) []string {
	var out []string
	for _, m := range messages {
		out = append(out, header(m))
	}
	return out
}

// posts counts the calls that post to a channel, threads left out.
func posts(o *office) (n int) {
	for _, c := range o.slack.Calls("chat.postMessage") {
		if c.Form["thread_ts"] == "" {
			n++
		}
	}
	return n
}

func wantMessages(t *testing.T, o *office, channel string, want ...string) {
	t.Helper()
	if got := headers(o.slack.Messages(channel)); !slices.Equal(got, want) {
		t.Errorf("channel %s shows %q, want %q", channel, got, want)
	}
}

// A lost answer is not a lost message: the sink looks before it posts again.
func TestAnswerLost(t *testing.T) {
	tests := []struct {
		name    string
		channel string
		hide    bool
		want    int // messages
	}{
		{name: "channel by ID", channel: alertsChannel, want: 1},
		{name: "channel by name", channel: "#alerts", want: 1},
		{name: "history may not be read: twice is better than never", channel: alertsChannel, hide: true, want: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newOffice(t)
			d := o.desk(t, func(c *Config) { c.Routes = []Route{{Sink: "slack", Channel: tt.channel}} })
			if tt.hide {
				o.slack.HideHistory(alertsChannel)
			}
			o.slack.Fail(slackfake.Fault{Method: "chat.postMessage", Drop: true})
			consider(t, d, burst(apple, noon, 10, 3))
			drainAll(t, d)
			if got := len(o.slack.Messages(alertsChannel)); got != 1 || waiting(t, d) != 1 {
				t.Fatalf("%d messages and %d lanes after the lost answer, want 1 and 1", got, waiting(t, d))
			}
			o.wall.add(d.cfg.FirstWait + time.Second)
			drainAll(t, d)
			if got := len(o.slack.Messages(alertsChannel)); got != tt.want {
				t.Errorf("%d messages, want %d", got, tt.want)
			}
			if n := waiting(t, d); n != 0 {
				t.Errorf("%d lanes still wait", n)
			}
		})
	}
}

// The look goes through the pages of a busy channel.
func TestLookThroughABusyChannel(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, nil)
	o.slack.Fail(slackfake.Fault{Method: "chat.postMessage", Drop: true})
	consider(t, d, burst(apple, noon, 10, 3))
	drainAll(t, d)
	other := newSlack(t, o.slack, o.wall)
	for i := range 250 {
		chatter := Delivery{Channel: alertsChannel, Alert: opened(burst(tesla, noon.Add(time.Duration(i)), 5, 3), 6).Alert}
		if _, err := other.Deliver(t.Context(), chatter); err != nil {
			t.Fatal(err)
		}
	}
	o.wall.add(time.Minute)
	drainAll(t, d)
	if got := len(o.slack.Messages(alertsChannel)); got != 251 {
		t.Errorf("%d messages, want 251", got)
	}
}

// Slack is away for hours while an alert lives and ends: what is sent afterwards is in
// order and ends in one message that says how it is.
func TestSlackAwayForHours(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, nil)
	o.slack.Fail(slackfake.Fault{Status: 503, Times: -1})
	consider(t, d, burst(apple, noon, 10, 3))
	consider(t, d, burst(apple, noon.Add(time.Minute), 40, 7))
	for range 20 {
		drainAll(t, d)
		o.wall.add(d.cfg.MaxPause + time.Second)
	}
	o.arrival.add(3 * time.Hour)
	housekeep(t, d)
	calls := len(o.slack.Calls(""))
	if calls != 20 {
		t.Errorf("%d calls while Slack was away, want one in each of 20 pauses", calls)
	}
	o.slack.Heal()
	o.wall.add(d.cfg.MaxPause + time.Second)
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "✅ AAPL: bad news (resolved)")
	var methods []string
	for _, c := range o.slack.Calls("")[calls:] {
		methods = append(methods, c.Method)
	}
	if want := []string{"conversations.history", "chat.postMessage", "chat.postMessage", "chat.update", "chat.update"}; !slices.Equal(methods, want) {
		t.Errorf("calls %q, want %q", methods, want)
	}
}

// 429: nothing goes to that channel before the time Slack asked for; others go on.
func TestRateLimited(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, func(c *Config) {
		c.Routes = []Route{{Entities: []string{"TSLA"}, Sink: "slack", Channel: "C0002DESK"}, {Sink: "slack", Channel: alertsChannel}}
		c.FirstWait = time.Millisecond
	})
	o.slack.Fail(slackfake.Fault{Method: "chat.postMessage", Channel: alertsChannel, Status: 429, RetryAfter: 30 * time.Second})
	consider(t, d, burst(apple, noon, 10, 3), burst(news.Series{Entity: "MSFT"}, noon, 9, 3), burst(tesla, noon, 8, 3))
	drainAll(t, d)
	wantMessages(t, o, "C0002DESK", "🟠 TSLA: bad news (warning)")
	o.wall.add(29 * time.Second)
	drainAll(t, d)
	if got := posts(o); got != 2 {
		t.Errorf("%d posts before the time, want 2 (the refused one and the other channel's)", got)
	}
	o.wall.add(2 * time.Second)
	drainAll(t, d)
	got := headers(o.slack.Messages(alertsChannel))
	slices.Sort(got)
	if !slices.Equal(got, []string{"🟠 AAPL: bad news (warning)", "🟠 MSFT: bad news (warning)"}) {
		t.Errorf("after the time: %q", got)
	}
	if n := len(o.slack.Calls("conversations.history")); n != 0 {
		t.Errorf("%d looks into the history after a plain refusal", n)
	}
}

// A channel that does not exist is tried slowly, does not hold up the others, and is given
// up after a day with the delivery kept.
func TestBrokenChannel(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, func(c *Config) {
		c.Routes = []Route{{Sink: "slack", Channel: "C0NONE", Continue: true}, {Sink: "slack", Channel: alertsChannel}}
	})
	consider(t, d, burst(apple, noon, 10, 3))
	for range 60 { // a minute
		drainAll(t, d)
		o.wall.add(time.Second)
	}
	wantMessages(t, o, alertsChannel, "🟠 AAPL: bad news (warning)")
	if got := posts(o); got != 2 {
		t.Errorf("%d posts in a minute, want 2", got)
	}
	o.wall.add(d.cfg.MaxAge)
	drainAll(t, d)
	dead, err := d.Dead(t.Context(), 10)
	if err != nil || len(dead) != 1 || dead[0].To.Channel != "C0NONE" || dead[0].Alert.Series != apple || dead[0].Error == "" {
		t.Fatalf("dead: %+v, %v", dead, err)
	}
	if n := waiting(t, d); n != 0 {
		t.Errorf("%d lanes still wait", n)
	}
	if got := testutil.ToFloat64(d.metrics.deliveries.WithLabelValues("slack", "dead")); got != 1 {
		t.Errorf("metric counts %v dead", got)
	}
}

// A channel that is made (or a bot that is invited) in time gets what it missed.
func TestMendedChannel(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, func(c *Config) { c.Routes = []Route{{Sink: "slack", Channel: "C0LATE"}} })
	consider(t, d, burst(apple, noon, 10, 3))
	drainAll(t, d)
	o.slack.AddChannel("C0LATE", "late")
	o.wall.add(10 * d.cfg.MaxPause)
	drainAll(t, d)
	wantMessages(t, o, "C0LATE", "🟠 AAPL: bad news (warning)")
	if n := len(o.slack.Calls("conversations.history")); n != 0 {
		t.Errorf("%d looks into the history after a plain refusal", n)
	}
}

// A message that Slack will never take is given up at once, and the alert's next one is
// posted in its place.
func TestHopelessMessage(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, nil)
	o.slack.Fail(slackfake.Fault{Method: "chat.postMessage", Error: "invalid_blocks"})
	consider(t, d, burst(apple, noon, 10, 3))
	drainAll(t, d)
	if dead, err := d.Dead(t.Context(), 10); err != nil || len(dead) != 1 {
		t.Fatalf("dead: %+v, %v", dead, err)
	}
	consider(t, d, burst(apple, noon.Add(time.Minute), 40, 7))
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "🔴 AAPL: bad news (critical)")
}

// Who deletes an alert's message does not want it back.
func TestDeletedMessageStaysDeleted(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, nil)
	consider(t, d, burst(apple, noon, 10, 3))
	drainAll(t, d)
	o.slack.Delete(alertsChannel, o.slack.Messages(alertsChannel)[0].TS)
	consider(t, d, burst(apple, noon.Add(time.Minute), 40, 7))
	drainAll(t, d)
	wantMessages(t, o, alertsChannel)
	if n := waiting(t, d); n != 0 {
		t.Errorf("%d lanes still wait", n)
	}
}
