package alert

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/barograph/barograph/internal/slackfake"
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
	if err := d.store.putOff(t.Context(), slow, "", d.wall(), false); !errors.Is(err, errLeaseLost) {
		t.Errorf("the slow one put off: %v", err)
	}
	if err := d.store.finish(t.Context(), heir, "C1 1.2", nil, d.wall()); err != nil {
		t.Error(err)
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
