package alert

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/barograph/barograph/internal/retry"
)

// Run resolves what has gone quiet and delivers the outbox until ctx ends; then it lets
// deliveries under way finish (each is bounded by half a lease) and returns nil. Several
// replicas may run at once. A failing Redis is waited for.
func (d *Desk) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	bells := map[string]chan struct{}{}
	for name, sink := range d.cfg.Sinks {
		bell := make(chan struct{}, d.cfg.Workers)
		bells[name] = bell
		for range d.cfg.Workers {
			wg.Go(func() { d.work(ctx, name, sink, bell) })
		}
	}
	tick := time.NewTicker(d.cfg.Poll)
	defer tick.Stop()
	away := false
	for {
		backlog, err := d.housekeep(ctx)
		if away && err == nil {
			d.sayRedisIsBack()
		}
		away = err != nil
		if err == nil {
			ring(bells)
			d.abandon(ctx, backlog)
		} else if ctx.Err() == nil {
			d.log.Error("alerts wait for Redis", "error", err)
		}
		select {
		case <-ctx.Done():
			wg.Wait()
			return nil
		case <-d.wake:
		case <-tick.C:
		}
	}
}

func (d *Desk) sayRedisIsBack() { d.log.Info("Redis answers again: alerts go on") }

// abandon gives up what has waited for MaxAge at sinks that this process does not have.
// Until then it lets them be: another replica may have them, as while a new configuration
// is rolled out.
func (d *Desk) abandon(ctx context.Context, backlog map[string]int64) {
	for name := range backlog {
		if d.cfg.Sinks[name] != nil {
			continue
		}
		for {
			c, err := d.store.claim(ctx, name, rand.Text(), d.wall().Add(-d.cfg.MaxAge), d.cfg.Lease)
			if err != nil || c == nil {
				break // an error shows up in the next housekeeping
			}
			d.settle(c, verdict{dead: true}, "", fmt.Errorf("no sink %q in the configuration: %w", name, errTooOld))
		}
	}
}

// ring tells idle workers to look for work.
func ring(bells map[string]chan struct{}) {
	for _, bell := range bells {
		for range cap(bell) {
			select {
			case bell <- struct{}{}:
			default:
			}
		}
	}
}

// housekeep lets settled alerts speak, resolves quiet ones and measures the outbox. It returns how many alerts wait
// at each sink that has any.
func (d *Desk) housekeep(ctx context.Context) (map[string]int64, error) {
	if err := d.change(ctx, func(s *state) []outcome { return d.rules().pass(s, d.clock()) }); err != nil {
		return nil, fmt.Errorf("deciding about open alerts: %w", err)
	}
	lanes, dead, err := d.store.backlog(ctx)
	if err != nil {
		return nil, err
	}
	for name, n := range lanes {
		d.metrics.waiting.WithLabelValues(name).Set(float64(n))
		if n == 0 {
			delete(lanes, name)
		}
	}
	d.metrics.dead.Set(float64(dead))
	return lanes, nil
}

// work delivers what is due for one sink, and waits for the bell when nothing is.
func (d *Desk) work(ctx context.Context, name string, sink Sink, bell <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-bell:
			d.drain(ctx, name, sink)
		}
	}
}

// drain delivers until nothing is due for the sink.
func (d *Desk) drain(ctx context.Context, name string, sink Sink) {
	for ctx.Err() == nil {
		c, err := d.store.claim(ctx, name, rand.Text(), d.wall(), d.cfg.Lease)
		if err != nil && ctx.Err() == nil {
			d.log.Error("alert outbox", "sink", name, "error", err)
		}
		if err != nil || c == nil {
			return
		}
		d.deliver(context.WithoutCancel(ctx), sink, c)
	}
}

// deliver makes one attempt and records how it went. The attempt ends well before the
// lease does, so that two workers never send the same message at once.
func (d *Desk) deliver(ctx context.Context, sink Sink, c *claim) {
	now := d.wall()
	if now.Sub(c.QueuedAt) >= d.cfg.MaxAge {
		d.settle(c, verdict{dead: true}, "", errTooOld)
		return
	}
	attempt, cancel := context.WithTimeout(ctx, d.cfg.Lease/2)
	defer cancel()
	began := time.Now()
	ref, err := d.send(attempt, sink, c)
	d.metrics.seconds.WithLabelValues(c.To.Sink).Observe(time.Since(began).Seconds())
	d.settle(c, d.judgeFailure(c, err), ref, err)
}

var errTooOld = errors.New("not delivered in time")

// send calls the sink; a panic there is an error of unknown outcome.
func (d *Desk) send(ctx context.Context, sink Sink, c *claim) (ref string, err error) {
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("panic in an alert sink", "sink", c.To.Sink, "panic", p, "stack", string(debug.Stack()))
			ref, err = "", fmt.Errorf("panic in sink %s: %v", c.To.Sink, p)
		}
	}()
	return sink.Deliver(ctx, Delivery{
		Alert: c.Alert, Action: c.Action, Revision: c.Revision, Channel: c.To.Channel,
		Ref: c.ref, QueuedAt: c.QueuedAt, Unsure: c.unsure, Console: d.cfg.Console, Digest: c.Digest,
	})
}

// verdict is what becomes of a delivery after an attempt.
type verdict struct {
	dead      bool
	pause     time.Duration // until the next attempt
	rest      time.Duration // of it, that is kept also when the sink works for another
	unsure    bool
	misplaced bool
}

// judgeFailure says what becomes of the delivery, given its error.
func (d *Desk) judgeFailure(c *claim, err error) verdict {
	if err == nil {
		return verdict{}
	}
	var known *DeliveryError
	if !errors.As(err, &known) {
		known = &DeliveryError{Err: err}
	}
	v := verdict{dead: known.Hopeless, unsure: c.unsure || !known.Refused, misplaced: known.Misplaced}
	v.pause = mathrand.N(backoff(c.tries, d.cfg.FirstWait, d.longest(c.waiting))) + 1
	if known.Misplaced {
		v.pause = 5*d.cfg.MaxPause + mathrand.N(5*d.cfg.MaxPause+1)
	}
	// What fails while the sink works for others may be at fault itself: it is tried less and less.
	rest := backoff(c.passed, 10*d.cfg.FirstWait, 10*d.cfg.MaxPause)
	if c.passed > 0 {
		v.pause = max(v.pause, rest/2+mathrand.N(rest/2+1))
	}
	v.rest = min(v.pause, rest)
	if known.After > 0 {
		v.pause += known.After
		v.rest = v.pause
	}
	return v
}

// longest is the longest pause where so many lanes of a sink wait: MaxPause up to ten, then
// growing with them to ten times that. So up to a hundred lanes make no more than some 20
// attempts in each MaxPause (their pauses are half the longest on average) on a receiver that is
// away, and it is found to be back within one; the first that gets through makes the others due.
func (d *Desk) longest(waiting int) time.Duration {
	return d.cfg.MaxPause * time.Duration(min(max(waiting, 10), 100)) / 10
}

// backoff bounds the pause after so many failed attempts. It is retry.Policy's doubling;
// here the pause outlives the process, so it is a due time in Redis and not a sleep.
func backoff(failed int, first, limit time.Duration) time.Duration {
	bound := first
	for range failed {
		if bound = 2 * bound; bound >= limit {
			return limit
		}
	}
	return min(bound, limit)
}

// settle records the outcome of an attempt. When Redis does not take it, the lease runs
// out and the delivery is made again, as one that may have arrived.
func (d *Desk) settle(c *claim, v verdict, ref string, cause error) {
	ctx, cancel := context.WithTimeout(context.Background(), d.cfg.Lease/4)
	defer cancel()
	result, log := "delivered", d.log.With("sink", c.To.Sink, "channel", c.To.Channel, "alert", c.Alert.ID,
		"action", string(c.Action), "attempt", c.tries+1)
	err := retry.Do(ctx, retry.Policy{First: 50 * time.Millisecond, Max: time.Second}, func(ctx context.Context) error {
		var err error
		switch {
		case cause == nil:
			err = d.store.finish(ctx, c, ref, nil, d.wall())
		case v.dead:
			result = "dead"
			err = d.store.finish(ctx, c, cmp.Or(ref, c.ref), d.deadOf(c, cause), d.wall())
		default:
			result = "retry"
			err = d.store.putOff(ctx, c, ref, d.wall(), v)
		}
		if errors.Is(err, errLeaseLost) {
			return retry.Permanent(err)
		}
		return err
	})
	d.metrics.deliveries.WithLabelValues(c.To.Sink, result).Inc()
	switch {
	case err != nil:
		log.Error("alert delivery not recorded: it may be made again", "error", err)
	case result == "dead":
		log.Error("alert delivery given up: it is on the dead list", "error", cause)
	case result == "retry":
		log.Warn("alert delivery failed: trying again", "error", cause, "pause", v.pause)
	}
}

func (d *Desk) deadOf(c *claim, cause error) *Dead {
	return &Dead{To: c.To, Action: c.Action, Revision: c.Revision, Alert: c.Alert, QueuedAt: c.QueuedAt,
		DiedAt: d.wall(), Error: cause.Error()}
}

// Dead lists the newest deliveries that were given up, at most limit.
func (d *Desk) Dead(ctx context.Context, limit int) ([]Dead, error) {
	return d.store.deadLetters(ctx, int64(limit))
}
