package alert

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
)

// A market-wide fall is a few messages and then one with a list, which is edited as more
// series fire and as they end.
func TestManyAtOnce(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, func(c *Config) { c.DigestFrom = 3 })
	company := func(i int) news.Series { return news.Series{Entity: fmt.Sprintf("C%02d", i)} }
	for i := range 8 {
		o.arrival.add(time.Second)
		consider(t, d, burst(company(i), o.arrival.now(), 10, 3+float64(i)/10))
		drainAll(t, d)
	}
	wantMessages(t, o, alertsChannel, "🟠 C00: bad news (warning)", "🟠 C01: bad news (warning)", "🟠 C02: bad news (warning)", "🟠 5 further alerts at once")
	if n := o.slack.Messages(alertsChannel)[3].Edits; n != 4 {
		t.Errorf("the list was edited %d times, want 4", n)
	}
	consider(t, d, burst(company(7), o.arrival.now().Add(time.Second), 40, 7)) // one of them gets critical
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "🟠 C00: bad news (warning)", "🟠 C01: bad news (warning)", "🟠 C02: bad news (warning)", "🔴 5 further alerts at once")

	// Later ones are told by themselves again.
	o.arrival.add(20 * time.Minute)
	consider(t, d, burst(tesla, o.arrival.now(), 10, 3))
	drainAll(t, d)
	if got := headers(o.slack.Messages(alertsChannel)); len(got) != 5 || got[4] != "🟠 TSLA: bad news (warning)" {
		t.Errorf("messages %q", got)
	}
	o.arrival.add(3 * time.Hour)
	housekeep(t, d)
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "✅ C00: bad news (resolved)", "✅ C01: bad news (resolved)", "✅ C02: bad news (resolved)", "✅ 5 further alerts at once", "✅ TSLA: bad news (resolved)")
	if n := o.redis.HLen(t.Context(), "barograph:{alert}:groups").Val() + o.redis.HLen(t.Context(), "barograph:{alert}:refs").Val(); n != 0 {
		t.Errorf("%d digests or messages are still known after the end", n)
	}
}

// night is from 22 to 7 o'clock in Zurich, one hour ahead of UTC in March.
var night = &QuietHours{From: "22:00", To: "07:00", Zone: "Europe/Zurich"}

// In quiet hours only critical alerts are told; at their end the others come in one message,
// which is edited as they end.
func TestQuietHoursHoldAlertsBack(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, func(c *Config) { c.Routes[0].Quiet = night })
	o.arrival.add(11 * time.Hour) // midnight in Zurich
	at := o.arrival.now
	consider(t, d, burst(apple, at(), 10, 3), burst(tesla, at(), 10, 3))
	consider(t, d, burst(news.Series{Entity: "BA"}, at(), 40, 7))
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "🔴 BA: bad news (critical)")
	o.arrival.add(30 * time.Minute)
	consider(t, d, burst(tesla, at(), 40, 8)) // too severe to hold back any longer
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "🔴 BA: bad news (critical)", "🔴 TSLA: bad news (critical)")
	o.arrival.add(6 * time.Hour)
	consider(t, d, burst(news.Series{Entity: "NKE"}, at(), 10, 3))
	housekeep(t, d)
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "✅ BA: bad news (resolved)", "✅ TSLA: bad news (resolved)")
	o.arrival.add(31 * time.Minute) // past seven
	housekeep(t, d)
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "✅ BA: bad news (resolved)", "✅ TSLA: bad news (resolved)", "🟠 2 alerts in quiet hours")
	o.arrival.add(2 * time.Hour)
	housekeep(t, d)
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "✅ BA: bad news (resolved)", "✅ TSLA: bad news (resolved)", "✅ 2 alerts in quiet hours")
}

func TestQuietHours(t *testing.T) {
	day := &QuietHours{From: "12:00", To: "13:30"}
	clock := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	tests := []struct {
		quiet   *QuietHours
		at, end string
	}{
		{night, "2026-03-10T20:59:59Z", ""},
		{night, "2026-03-10T21:00:00Z", "2026-03-11T06:00:00Z"},
		{night, "2026-03-11T05:59:59Z", "2026-03-11T06:00:00Z"},
		{night, "2026-03-11T06:00:00Z", ""},
		{night, "2026-03-28T22:00:00Z", "2026-03-29T05:00:00Z"}, // the night in which the clock is put forward
		{night, "2026-10-24T22:00:00Z", "2026-10-25T06:00:00Z"}, // and back
		{night, "2026-12-31T23:00:00Z", "2027-01-01T06:00:00Z"},
		{day, "2026-03-10T12:00:00Z", "2026-03-10T13:30:00Z"},
		{day, "2026-03-10T13:30:00Z", ""},
		{day, "2026-03-10T00:00:00Z", ""},
	}
	for _, tt := range tests {
		var want time.Time
		if tt.end != "" {
			want = clock(tt.end)
		}
		if got := tt.quiet.until(clock(tt.at)); !got.Equal(want) {
			t.Errorf("at %s until %s, want %s", tt.at, got.UTC(), want)
		}
	}
	for _, wrong := range []QuietHours{{}, {From: "22", To: "07:00"}, {From: "07:00", To: "07:00"}, {From: "22:00", To: "07:00", Zone: "Mars/Olympus"}} {
		if wrong.check() == nil {
			t.Errorf("%+v is taken", wrong)
		}
	}
}

// stormy is a digest of a fall in many companies, some of it over, with hostile words.
func stormy(held bool) Delivery {
	var alerts []news.Alert
	for i, s := range []news.Series{{Entity: "AAPL", Topic: "Lawsuit"}, {Entity: "TSLA", Topic: "Lawsuit"}, {Entity: "BA"}, {Entity: "<!here>*x*"},
		{Entity: "MSFT", Topic: "Lawsuit"}, {Entity: "BA", Topic: "Earnings"}} {
		a := opened(burst(s, noon, 10+i, 3+float64(i)), 6).Alert
		alerts = append(alerts, slim(a))
	}
	over := noon.Add(time.Hour)
	alerts[0].Status, alerts[0].ResolvedAt = news.Resolved, &over
	alerts[1].Notes = []news.Note{{At: noon, By: "slack:U0KIM", Did: news.Acknowledged}}
	alerts[3].Evidence = hostile().Evidence[:1]
	return Delivery{Alert: news.Alert{ID: "digest-1"}, Revision: 2, Digest: &Digest{Since: noon, Held: held, Alerts: alerts}}
}

func TestDigestMessages(t *testing.T) {
	blocks, text := slackDigest(stormy(false))
	goldenBlocks(t, "slack-digest.json", blocks, text)
	linked := stormy(true)
	linked.Console = "https://barograph.example"
	blocks, text = slackDigest(linked)
	goldenBlocks(t, "slack-digest-quiet.json", blocks, text)
}

// A digest of a hundred alerts keeps to Slack's limits.
func TestLargeDigest(t *testing.T) {
	o := newOffice(t)
	var alerts []news.Alert
	for i := range 100 {
		s := news.Series{Entity: fmt.Sprint("C", i/2), Topic: []string{"", strings.Repeat("T", 60)}[i%2]}
		alerts = append(alerts, slim(opened(burst(s, noon, 10, 3), 6).Alert))
	}
	d := Delivery{Alert: news.Alert{ID: "digest-1"}, Action: Fire, Revision: 1, Channel: alertsChannel, Digest: &Digest{Since: noon, Alerts: alerts}}
	if _, err := newSlack(t, o.slack, o.wall).Deliver(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if got := string(o.slack.Messages(alertsChannel)[0].BlocksJSON); !strings.Contains(got, "and 60 more") {
		t.Errorf("blocks %s", got)
	}
}

// A sink that cannot edit gets what quiet hours held once, and each alert by itself after.
func TestQuietHoursWhereNothingCanBeEdited(t *testing.T) {
	o := newOffice(t)
	letters := &letterbox{}
	d := o.desk(t, func(c *Config) {
		c.Sinks["letters"], c.DigestFrom = letters, 1
		c.Routes = []Route{{Sink: "letters", Quiet: night}}
	})
	o.arrival.add(18*time.Hour - time.Minute) // a minute before seven in Zurich
	consider(t, d, burst(apple, o.arrival.now(), 10, 3), burst(tesla, o.arrival.now(), 10, 3))
	o.arrival.add(time.Minute)
	housekeep(t, d)
	drainAll(t, d)
	consider(t, d, burst(news.Series{Entity: "BA"}, o.arrival.now(), 10, 3)) // no digest by day
	o.arrival.add(3 * time.Hour)
	housekeep(t, d)
	drainAll(t, d)
	want := []string{"digest of 2", "fire BA", "resolve AAPL", "resolve BA", "resolve TSLA"}
	slices.Sort(letters.got)
	if !slices.Equal(letters.got, want) {
		t.Errorf("got %q, want %q", letters.got, want)
	}
}
