package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/slackfake"
	"github.com/barograph/barograph/internal/testenv"
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

func wantMessages(t *testing.T, o *office, channel string, want ...string) {
	t.Helper()
	if got := headers(o.slack.Messages(channel)); !slices.Equal(got, want) {
		t.Errorf("channel %s shows %q, want %q", channel, got, want)
	}
}

// One message an alert: posted, edited as it grows, edited when it is over.
func TestOneMessageAnAlert(t *testing.T) {
	o := newOffice(t)
	registry := prometheus.NewRegistry()
	d := o.desk(t, func(c *Config) { c.Registerer = registry })
	shows := func(want string) {
		t.Helper()
		o.slack.Wait(t, 20*time.Second, want, func() bool {
			m := o.slack.Messages(alertsChannel)
			return len(m) == 1 && header(m[0]) == want
		})
	}
	run(t, d)
	consider(t, d, burst(apple, noon, 10, 3))
	consider(t, d, burst(apple, noon, 10, 3))
	shows("🟠 AAPL: warning")
	open, err := d.Open(t.Context())
	if err != nil || len(open) != 1 || open[0].Series != apple || open[0].Negative != 10 || open[0].Status != news.Firing {
		t.Errorf("open: %+v, %v", open, err)
	}
	consider(t, d, burst(apple, noon.Add(time.Minute), 40, 7))
	shows("🔴 AAPL: critical")
	o.arrival.add(2 * time.Hour)
	shows("✅ AAPL: resolved")
	eventually(t, "an empty outbox", func() bool { return waiting(t, d) == 0 })
	if posts, edits := len(o.slack.Calls("chat.postMessage")), len(o.slack.Calls("chat.update")); posts != 1 || edits != 2 {
		t.Errorf("%d posts and %d edits, want 1 and 2", posts, edits)
	}
	if open, err := d.Open(t.Context()); err != nil || len(open) != 0 {
		t.Errorf("open at the end: %+v, %v", open, err)
	}
	if got := testutil.ToFloat64(d.metrics.deliveries.WithLabelValues("slack", "delivered")); got != 3 {
		t.Errorf("metric counts %v deliveries, want 3", got)
	}
	if keys := o.redis.Keys(t.Context(), "*").Val(); !onlyUnder("barograph:{alert}:", keys) {
		t.Errorf("keys outside the hash tag: %q", keys)
	}
	if left := o.redis.HLen(t.Context(), "barograph:{alert}:refs").Val() + o.redis.HLen(t.Context(), "barograph:{alert}:lease").Val(); left != 0 {
		t.Errorf("%d lanes left something behind", left)
	}
}

func onlyUnder(prefix string, keys []string) bool {
	return !slices.ContainsFunc(keys, func(k string) bool { return !strings.HasPrefix(k, prefix) })
}

// A worker may die at each step of a delivery; another replica takes over when the lease
// has ended. The alert arrives, once.
func TestCrashAtEachStep(t *testing.T) {
	die := errors.New("the process is gone")
	tests := []struct {
		name  string
		crash func(t *testing.T, o *office, first *Desk)
		posts int // calls of chat.postMessage over all
	}{
		{
			name:  "between decision and claim",
			crash: func(*testing.T, *office, *Desk) {},
			posts: 1,
		},
		{
			name: "between claim and post",
			crash: func(t *testing.T, _ *office, first *Desk) {
				if c, err := first.store.claim(t.Context(), "slack", "t1", first.wall(), first.cfg.Lease); c == nil || err != nil {
					t.Fatalf("claim: %v, %v", c, err)
				}
			},
			posts: 1,
		},
		{
			name: "while Slack has the post but has not answered",
			crash: func(t *testing.T, o *office, first *Desk) {
				hold := make(chan struct{})
				o.slack.Fail(slackfake.Fault{Method: "chat.postMessage", Hold: hold})
				ctx, kill := context.WithCancelCause(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					c, err := first.store.claim(ctx, "slack", "t1", first.wall(), first.cfg.Lease)
					if err == nil {
						_, _ = first.send(ctx, first.cfg.Sinks["slack"], c)
					}
				}()
				o.slack.Wait(t, 20*time.Second, "the post", func() bool { return len(o.slack.Messages(alertsChannel)) == 1 })
				kill(die)
				<-done
				close(hold)
			},
			posts: 1,
		},
		{
			name: "between answer and record",
			crash: func(t *testing.T, _ *office, first *Desk) {
				c, err := first.store.claim(t.Context(), "slack", "t1", first.wall(), first.cfg.Lease)
				if err != nil {
					t.Fatal(err)
				}
				if ref, err := first.send(t.Context(), first.cfg.Sinks["slack"], c); ref == "" || err != nil {
					t.Fatalf("post: %q, %v", ref, err)
				}
			},
			posts: 1,
		},
		{
			name: "after the record",
			crash: func(t *testing.T, _ *office, first *Desk) {
				drainAll(t, first)
			},
			posts: 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newOffice(t)
			first, second := o.desk(t, nil), o.desk(t, nil)
			consider(t, first, burst(apple, noon, 10, 3))
			tt.crash(t, o, first)

			consider(t, second, burst(apple, noon, 10, 3)) // its items were not acknowledged
			o.wall.add(second.cfg.Lease)
			drainAll(t, second)
			wantMessages(t, o, alertsChannel, "🟠 AAPL: warning")
			if got := len(o.slack.Calls("chat.postMessage")); got != tt.posts {
				t.Errorf("%d posts, want %d", got, tt.posts)
			}
			if n := waiting(t, second); n != 0 {
				t.Errorf("%d lanes still wait", n)
			}
			// The adopted message is the one that is edited later.
			consider(t, second, burst(apple, noon.Add(time.Minute), 40, 7))
			drainAll(t, second)
			wantMessages(t, o, alertsChannel, "🔴 AAPL: critical")
		})
	}
}

// While the lease lasts, nobody else touches the delivery; who lost it cannot record it.
func TestLeaseIsExclusive(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, nil)
	consider(t, d, burst(apple, noon, 10, 3))
	claim := func(token string) *claim {
		t.Helper()
		c, err := d.store.claim(t.Context(), "slack", token, d.wall(), d.cfg.Lease)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	slow := claim("slow")
	if slow == nil || slow.unsure || slow.tries != 0 {
		t.Fatalf("first claim: %+v", slow)
	}
	consider(t, d, burst(apple, noon.Add(time.Minute), 40, 7)) // its next message does not open the lane
	o.wall.add(d.cfg.Lease - time.Millisecond)
	if c := claim("early"); c != nil {
		t.Fatalf("claimed under a lease: %+v", c)
	}
	o.wall.add(time.Millisecond)
	heir := claim("heir")
	if heir == nil || !heir.unsure || heir.tries != 1 {
		t.Fatalf("claim after the lease: %+v", heir)
	}
	if err := d.store.finish(t.Context(), slow, "x", nil, d.wall()); !errors.Is(err, errLeaseLost) {
		t.Errorf("the slow one recorded: %v", err)
	}
	if err := d.store.putOff(t.Context(), slow, d.wall(), false); !errors.Is(err, errLeaseLost) {
		t.Errorf("the slow one put off: %v", err)
	}
	if err := d.store.finish(t.Context(), heir, "C1 1.2", nil, d.wall()); err != nil {
		t.Error(err)
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
	wantMessages(t, o, alertsChannel, "✅ AAPL: resolved")
	var methods []string
	for _, c := range o.slack.Calls("")[calls:] {
		methods = append(methods, c.Method)
	}
	if want := []string{"conversations.history", "chat.postMessage", "chat.update", "chat.update"}; !slices.Equal(methods, want) {
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
	wantMessages(t, o, "C0002DESK", "🟠 TSLA: warning")
	o.wall.add(29 * time.Second)
	drainAll(t, d)
	if got := len(o.slack.Calls("chat.postMessage")); got != 2 {
		t.Errorf("%d posts before the time, want 2 (the refused one and the other channel's)", got)
	}
	o.wall.add(2 * time.Second)
	drainAll(t, d)
	got := headers(o.slack.Messages(alertsChannel))
	slices.Sort(got)
	if !slices.Equal(got, []string{"🟠 AAPL: warning", "🟠 MSFT: warning"}) {
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
	wantMessages(t, o, alertsChannel, "🟠 AAPL: warning")
	if got := len(o.slack.Calls("chat.postMessage")); got != 2 {
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
	o.wall.add(d.cfg.MaxPause)
	drainAll(t, d)
	wantMessages(t, o, "C0LATE", "🟠 AAPL: warning")
	if n := len(o.slack.Calls("conversations.history")); n != 0 {
		t.Errorf("%d looks into the history after a plain refusal", n)
	}
}

// The pause that a receiver asks for is kept by any sink.
func TestAskedToWait(t *testing.T) {
	o := newOffice(t)
	busy := &scripted{errs: []error{&DeliveryError{Err: errors.New("busy"), After: time.Hour, Refused: true}}}
	d := o.desk(t, func(c *Config) {
		c.Sinks, c.Routes = map[string]Sink{"busy": busy}, []Route{{Sink: "busy"}}
	})
	consider(t, d, burst(apple, noon, 10, 3))
	drainAll(t, d)
	o.wall.add(59 * time.Minute)
	drainAll(t, d)
	if len(busy.got) != 1 {
		t.Errorf("%d attempts within the hour, want 1", len(busy.got))
	}
	o.wall.add(2 * time.Minute)
	drainAll(t, d)
	if len(busy.got) != 2 || busy.got[1].Unsure {
		t.Errorf("attempts after the hour: %+v", busy.got)
	}
}

// scripted is a sink that returns errors in turn, then nil.
type scripted struct {
	errs []error
	got  []Delivery
}

func (s *scripted) Check(channel string) error { return noChannel(channel) }

func (s *scripted) Deliver(_ context.Context, d Delivery) (string, error) {
	s.got = append(s.got, d)
	if len(s.got) <= len(s.errs) {
		return "", s.errs[len(s.got)-1]
	}
	return "", nil
}

// A decision made on a state that has moved on is refused: by another replica's decision,
// or by a silence.
func TestStaleDecisionIsRefused(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, nil)
	tests := []struct {
		name      string
		meanwhile func()
		want      bool
	}{
		{"nothing happened", func() {}, true},
		{"another decision", func() { consider(t, d, burst(tesla, noon, 10, 3)) }, false},
		{"a silence", func() {
			if _, err := NewSilences(o.redis, "", o.arrival.now).Add(t.Context(), Silence{Entity: "AAPL", Until: noon.Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := d.store.load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			outcomes := d.rules().consider(s, []news.Spike{burst(apple, noon, 10, 3)}, noon)
			tt.meanwhile()
			if committed, err := d.store.commit(t.Context(), s, outcomes, d.wall()); err != nil || committed != tt.want {
				t.Errorf("committed %v (%v), want %v", committed, err, tt.want)
			}
		})
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
	wantMessages(t, o, alertsChannel, "🔴 AAPL: critical")
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

// Deliveries for a sink that has left the configuration are seen and given up in time.
func TestSinkRemovedFromConfiguration(t *testing.T) {
	o := newOffice(t)
	consider(t, o.desk(t, nil), burst(apple, noon, 10, 3))
	d := o.desk(t, func(c *Config) { c.Sinks, c.Routes = nil, nil })
	o.wall.add(d.cfg.MaxAge)
	run(t, d)
	eventually(t, "the delivery on the dead list", func() bool {
		dead, err := d.Dead(t.Context(), 10)
		return err == nil && len(dead) == 1
	})
}

// Two replicas see the same spikes and deliver the same outbox: every alert is posted once.
func TestTwoReplicas(t *testing.T) {
	o := newOffice(t)
	const companies = 25
	var spikes []news.Spike
	for i := range companies {
		spikes = append(spikes, burst(news.Series{Entity: fmt.Sprintf("C%02d", i)}, noon, 10, 3))
	}
	replicas := []*Desk{o.desk(t, nil), o.desk(t, nil)}
	var wg sync.WaitGroup
	for _, d := range replicas {
		run(t, d)
		wg.Go(func() {
			for _, s := range spikes {
				if err := d.Consider(t.Context(), []news.Spike{s}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "an empty outbox", func() bool { return waiting(t, replicas[0]) == 0 })
	got := headers(o.slack.Messages(alertsChannel))
	slices.Sort(got)
	if len(slices.Compact(slices.Clone(got))) != companies || len(got) != companies {
		t.Errorf("%d messages, %d different, want %d: %q", len(got), len(slices.Compact(got)), companies, got)
	}
}

// Stopping lets a delivery under way finish and be recorded.
func TestStopFinishesDeliveries(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, nil)
	hold := make(chan struct{})
	o.slack.Fail(slackfake.Fault{Method: "chat.postMessage", Hold: hold})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	consider(t, d, burst(apple, noon, 10, 3))
	o.slack.Wait(t, 20*time.Second, "the post", func() bool { return len(o.slack.Messages(alertsChannel)) == 1 })
	cancel()
	close(hold)
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if n := waiting(t, d); n != 0 {
		t.Errorf("%d lanes still wait after a clean stop", n)
	}
}

// A panic in a sink is a failed attempt, not the end of the stage.
func TestPanicInASink(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, func(c *Config) {
		c.Sinks["broken"] = panicky{}
		c.Routes = append([]Route{{Sink: "broken", Continue: true}}, c.Routes...)
	})
	consider(t, d, burst(apple, noon, 10, 3))
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "🟠 AAPL: warning")
	if n := waiting(t, d); n != 1 {
		t.Errorf("%d lanes wait, want the broken sink's", n)
	}
}

type panicky struct{}

func (panicky) Check(string) error { return nil }

func (panicky) Deliver(context.Context, Delivery) (string, error) { panic("out of cheese") }

// Redis goes away and comes back empty of nothing: Consider says so when it stays away,
// and Run goes on when it is back.
func TestRedisAway(t *testing.T) {
	server := testenv.StartRedis(t, "--appendonly", "no")
	client := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	o := &office{redis: client, slack: slackfake.Start(t), arrival: &watch{t: noon}, wall: &watch{t: time.Now()}}
	d := o.desk(t, nil)
	run(t, d)
	server.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := d.Consider(ctx, []news.Spike{burst(apple, noon, 10, 3)}); err == nil {
		t.Error("Consider returned nil without Redis")
	}
	server.Restart()
	consider(t, d, burst(apple, noon, 10, 3))
	o.slack.Wait(t, 20*time.Second, "the alert", func() bool { return len(o.slack.Messages(alertsChannel)) == 1 })
}

func TestSilences(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, nil)
	silences := NewSilences(o.redis, "", o.arrival.now)
	for _, wrong := range []Silence{{Until: noon.Add(time.Hour)}, {Entity: "AAPL", Until: noon}} {
		if _, err := silences.Add(t.Context(), wrong); !errors.Is(err, ErrInvalidSilence) {
			t.Errorf("Add(%+v): %v", wrong, err)
		}
	}
	added, err := silences.Add(t.Context(), Silence{Entity: "AAPL", Until: noon.Add(time.Hour), Author: "kim", Comment: "known"})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := silences.List(t.Context()); err != nil || len(list) != 1 || list[0].ID != added.ID || list[0].Author != "kim" || !list[0].CreatedAt.Equal(noon) {
		t.Errorf("list: %+v, %v", list, err)
	}
	consider(t, d, burst(apple, noon, 10, 3), burst(tesla, noon, 10, 3))
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "🟠 TSLA: warning")
	if err := silences.Remove(t.Context(), added.ID); err != nil {
		t.Error(err)
	}
	if err := silences.Remove(t.Context(), added.ID); !errors.Is(err, ErrNoSuchSilence) {
		t.Errorf("removing twice: %v", err)
	}
	consider(t, d, burst(apple, noon.Add(time.Minute), 10, 3))
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "🟠 TSLA: warning", "🟠 AAPL: warning")
}

// Scripts keep to one slot of a Redis Cluster.
func TestOnARedisCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: testenv.StartRedisCluster(t)})
	t.Cleanup(func() { _ = client.Close() })
	o := &office{redis: client, slack: slackfake.Start(t), arrival: &watch{t: noon}, wall: &watch{t: time.Now()}}
	d := o.desk(t, nil)
	consider(t, d, burst(apple, noon, 10, 3))
	consider(t, d, burst(apple, noon.Add(time.Minute), 40, 7))
	drainAll(t, d)
	o.arrival.add(3 * time.Hour)
	housekeep(t, d)
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "✅ AAPL: resolved")
}

func TestConfigFaultsAreNamed(t *testing.T) {
	o := newOffice(t)
	slack := map[string]Sink{"slack": newSlack(t, o.slack, o.wall), "hook": &Webhook{}}
	tests := []struct {
		name  string
		cfg   Config
		names string // what the error must name
	}{
		{"no Redis", Config{}, "Redis"},
		{"unknown sink", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "slak", Channel: "C1"}}}, `"slak" is not configured (there are: hook, slack)`},
		{"no sink", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Channel: "C1"}}}, "no sink"},
		{"no channel", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "slack"}}}, "no channel"},
		{"channel without #", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "slack", Channel: "alerts"}}}, `"alerts" is neither`},
		{"channel of a webhook", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "hook", Channel: "C1"}}}, "no channels"},
		{"severity", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "slack", Channel: "C12", MinSeverity: "fatal"}}}, `"fatal"`},
		{"empty entity", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "slack", Channel: "C12", Entities: []string{""}}}}, "empty entity"},
		{"second route", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "slack", Channel: "C12"}, {}}}, "route 2"},
		{"sink name", Config{Redis: o.redis, Sinks: map[string]Sink{"a|b": panicky{}}}, `"a|b"`},
		{"braces", Config{Redis: o.redis, Prefix: "{x}"}, "braces"},
		{"negative", Config{Redis: o.redis, Quiet: -time.Hour}, "quiet"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.names) {
				t.Errorf("error %v does not name %s", err, tt.names)
			}
		})
	}
}
