package alert

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/slackfake"
	"github.com/barograph/barograph/news"
)

// A worker may die at each step of a delivery; another replica takes over when the lease
// has ended. The alert arrives, once.
func TestCrashAtEachStep(t *testing.T) {
	tests := []struct {
		name  string
		crash func(t *testing.T, o *office, first *Desk)
	}{
		{
			name:  "between decision and claim",
			crash: func(*testing.T, *office, *Desk) {},
		},
		{
			name: "between claim and post",
			crash: func(t *testing.T, _ *office, first *Desk) {
				if c, err := first.store.claim(t.Context(), "slack", "t1", first.wall(), first.cfg.Lease); c == nil || err != nil {
					t.Fatalf("claim: %v, %v", c, err)
				}
			},
		},
		{
			name: "while Slack has the post but has not answered",
			crash: func(t *testing.T, o *office, first *Desk) {
				hold := make(chan struct{})
				o.slack.Fail(slackfake.Fault{Method: "chat.postMessage", Hold: hold})
				ctx, kill := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					c, err := first.store.claim(ctx, "slack", "t1", first.wall(), first.cfg.Lease)
					if err == nil {
						_, _ = first.send(ctx, first.cfg.Sinks["slack"], c)
					}
				}()
				o.slack.Wait(t, 20*time.Second, "the post", func() bool { return len(o.slack.Messages(alertsChannel)) == 1 })
				kill()
				<-done
				close(hold)
			},
		},
		{
			name: "while Slack has the thread's post but has not answered",
			crash: func(t *testing.T, o *office, first *Desk) {
				o.slack.Fail(slackfake.Fault{Method: "chat.postMessage", Thread: true, Drop: true})
				c, err := first.store.claim(t.Context(), "slack", "t1", first.wall(), first.cfg.Lease)
				if err != nil {
					t.Fatal(err)
				}
				if ref, err := first.send(t.Context(), first.cfg.Sinks["slack"], c); ref == "" || err == nil {
					t.Fatalf("post: %q, %v", ref, err)
				}
			},
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
		},
		{
			name: "after the record",
			crash: func(t *testing.T, _ *office, first *Desk) {
				drainAll(t, first)
			},
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
			wantMessages(t, o, alertsChannel, "🟠 AAPL: bad news (warning)")
			if got := posts(o); got != 1 {
				t.Errorf("%d posts, want 1", got)
			}
			if got := o.slack.Thread(alertsChannel, o.slack.Messages(alertsChannel)[0].TS); len(got) != 1 {
				t.Errorf("%d messages in the thread, want 1", len(got))
			}
			if n := waiting(t, second); n != 0 {
				t.Errorf("%d lanes still wait", n)
			}
			// The adopted message is the one that is edited later.
			consider(t, second, burst(apple, noon.Add(time.Minute), 40, 7))
			drainAll(t, second)
			wantMessages(t, o, alertsChannel, "🔴 AAPL: bad news (critical)")
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
	if err := d.store.putOff(t.Context(), slow, "", d.wall(), verdict{}); !errors.Is(err, errLeaseLost) {
		t.Errorf("the slow one put off: %v", err)
	}
	if err := d.store.finish(t.Context(), heir, "C1 1.2", nil, d.wall()); err != nil {
		t.Error(err)
	}
}

// Nor does a replica whose own clock is ahead by more than the lease.
func TestLeaseGoesByOneClock(t *testing.T) {
	o := newOffice(t)
	first, second := o.desk(t, nil), o.desk(t, nil)
	second.store.clock = func() time.Time { return time.Now().Add(first.cfg.Lease + time.Second) }
	for _, d := range []*Desk{first, second} {
		d.wall = d.store.now // as New has it
	}
	consider(t, first, burst(apple, noon, 10, 3))
	housekeep(t, second)
	claim := func(d *Desk) *claim {
		t.Helper()
		c, err := d.store.claim(t.Context(), "slack", "token", d.wall(), d.cfg.Lease)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if claim(first) == nil || claim(second) != nil {
		t.Error("the first replica did not get the delivery, or both did")
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

// When a receiver is back, the first delivery that it takes makes the others due, but for those
// that it asked to wait, those that failed a moment ago and those of a channel that is at fault.
func TestReceiverIsBack(t *testing.T) {
	const broken = "C0NONE"
	asked := &DeliveryError{Err: errors.New("busy"), After: time.Hour, Refused: true}
	tests := []struct {
		name  string
		cause error
		after time.Duration // since the last failure
		place string        // of the failures; the delivery that works is at alertsChannel
		want  int           // of ten that failed
	}{
		{"away", errors.New("connection refused"), 10 * time.Second, broken, 10},
		{"failed a moment ago", errors.New("connection refused"), 0, alertsChannel, 0},
		{"asked to wait", asked, 10 * time.Second, alertsChannel, 0},
		{"a token that was mended", &DeliveryError{Err: errors.New("invalid_auth"), Misplaced: true}, 10 * time.Second, alertsChannel, 10},
		{"a channel that is not there", &DeliveryError{Err: errors.New("channel_not_found"), Misplaced: true}, 10 * time.Second, broken, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newOffice(t)
			sink := &moody{cause: tt.cause}
			d := o.desk(t, func(c *Config) {
				c.Sinks, c.DigestFrom = map[string]Sink{"slack": sink}, -1
				c.Routes = []Route{{Sink: "slack", Entities: []string{"MSFT"}, Channel: alertsChannel}, {Sink: "slack", Channel: tt.place}}
			})
			const failing = 10
			for i := range failing {
				consider(t, d, burst(news.Series{Entity: fmt.Sprint("E", i)}, noon, 10, 3))
			}
			drainAll(t, d)
			// As after many attempts: no pause ends by itself within what passes now.
			for i := range failing {
				lane := entry{To: Destination{Sink: "slack", Channel: tt.place}, Alert: d.open(t)[fmt.Sprint("E", i)]}.lane()
				if err := o.redis.ZAdd(t.Context(), d.store.prefix+"due:slack",
					redis.Z{Score: float64(o.wall.now().Add(time.Hour).UnixMilli()), Member: lane}).Err(); err != nil {
					t.Fatal(err)
				}
			}
			o.wall.add(tt.after)
			sink.cause, sink.taken = nil, nil
			consider(t, d, burst(news.Series{Entity: "MSFT"}, noon, 10, 3))
			drainAll(t, d)
			if got := len(sink.taken) - 1; got != tt.want || sink.taken[0] != "MSFT" {
				t.Errorf("%d of those that wait were delivered after %q, want %d", got, sink.taken[:1], tt.want)
			}
		})
	}
}

// open are the open alerts by their company.
func (d *Desk) open(t *testing.T) map[string]news.Alert {
	t.Helper()
	st, err := d.store.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	alerts := map[string]news.Alert{}
	for _, r := range st.open {
		alerts[r.Alert.Series.Entity] = r.Alert
	}
	return alerts
}

// moody is a sink that fails with its cause while it has one.
type moody struct {
	cause   error
	refuses string   // the one company that has cause; "" = all
	taken   []string // companies
	refused int
}

func (*moody) Check(string) error { return nil }

func (m *moody) Deliver(_ context.Context, d Delivery) (string, error) {
	if company := d.Alert.Series.Entity; m.cause == nil || m.refuses != "" && m.refuses != company {
		m.taken = append(m.taken, company)
		return "", nil
	}
	m.refused++
	return "", m.cause
}

// What fails while its sink works for others is tried less and less.
func TestOneThatAlwaysFails(t *testing.T) {
	o := newOffice(t)
	sink := &moody{cause: errors.New("timeout"), refuses: "BAD"}
	d := o.desk(t, func(c *Config) {
		c.Sinks, c.DigestFrom = map[string]Sink{"slack": sink}, -1
		c.Routes = []Route{{Sink: "slack", Channel: alertsChannel}}
	})
	consider(t, d, burst(news.Series{Entity: "BAD"}, noon, 10, 3))
	const others = 180
	for i := range others { // for an hour
		consider(t, d, burst(news.Series{Entity: fmt.Sprint("E", i)}, noon, 10, 3))
		for range 20 {
			drainAll(t, d)
			o.wall.add(time.Second)
		}
	}
	if sink.refused > 25 || sink.refused < 8 || len(sink.taken) != others {
		t.Errorf("%d attempts in an hour, want some 15, and %d others told of %d", sink.refused, len(sink.taken), others)
	}
}

// A receiver that is away for long is asked at least once a minute, and not much more often
// where many wait.
func TestPausesAreBounded(t *testing.T) {
	d := newOffice(t).desk(t, nil)
	for _, tt := range []struct {
		waiting int
		longest time.Duration
	}{{1, time.Minute}, {10, time.Minute}, {50, 5 * time.Minute}, {100, 10 * time.Minute}, {10000, 10 * time.Minute}} {
		var sum, most time.Duration
		const draws = 10000
		for range draws {
			v := d.judgeFailure(&claim{tries: 40, waiting: tt.waiting}, errStatus)
			sum, most = sum+v.pause, max(most, v.pause)
		}
		if mean := sum / draws; most > tt.longest || mean < tt.longest*9/20 {
			t.Errorf("%d wait: pauses of up to %s, %s on average; want up to %s, half of it on average", tt.waiting, most, mean, tt.longest)
		}
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

// Deliveries for a sink that has left the configuration are seen and given up in time.
func TestSinkRemovedFromConfiguration(t *testing.T) {
	o := newOffice(t)
	consider(t, o.desk(t, nil), burst(apple, noon, 10, 3))
	d := o.desk(t, func(c *Config) { c.Sinks, c.Routes = nil, nil })
	tests := []struct {
		after         time.Duration
		waiting, dead int
	}{
		{d.cfg.MaxAge - time.Second, 1, 0}, // another replica may have the sink
		{time.Second, 0, 1},
	}
	for _, tt := range tests {
		o.wall.add(tt.after)
		backlog, err := d.housekeep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d.abandon(t.Context(), backlog)
		dead, err := d.Dead(t.Context(), 10)
		if n := waiting(t, d); err != nil || int(n) != tt.waiting || len(dead) != tt.dead {
			t.Errorf("%d waiting, %d dead (%v), want %d and %d", n, len(dead), err, tt.waiting, tt.dead)
		}
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
	wantMessages(t, o, alertsChannel, "🟠 AAPL: bad news (warning)")
	if n := waiting(t, d); n != 1 {
		t.Errorf("%d lanes wait, want the broken sink's", n)
	}
}

type panicky struct{}

func (panicky) Check(string) error { return nil }

func (panicky) Deliver(context.Context, Delivery) (string, error) { panic("out of cheese") }
