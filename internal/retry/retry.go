// Package retry is the one retry policy: exponential back-off with full jitter, bounded
// in attempts or by the context.
//
// Source of the jitter: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
// Blog, 2015 (the "full jitter" variant).
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Policy says how often and how fast to try again.
type Policy struct {
	Attempts int           // at most so many calls; 0 = until the context ends
	First    time.Duration // upper bound of the first pause; 0 = 100 ms
	Max      time.Duration // upper bound of any pause; 0 = 10 s
	OnRetry  func(error)   // called before each pause, e.g. to count it; may be nil
	OnReturn func()        // called when it works after it had failed, e.g. to say so; may be nil
}

// Permanent marks an error that no further attempt can mend. Do returns the wrapped error.
func Permanent(err error) error { return &permanent{err} }

type permanent struct{ err error }

// Error is the wrapped error's: the mark is for Do, not for people.
func (p *permanent) Error() string { return p.err.Error() }

// Unwrap gives the error without the mark.
func (p *permanent) Unwrap() error { return p.err }

// After marks an error whose sender said when to come back (HTTP 429's Retry-After).
// The pause is at least that long, also above Policy.Max.
func After(pause time.Duration, err error) error { return &after{pause, err} }

type after struct {
	pause time.Duration
	err   error
}

// Error is the wrapped error's: the pause is for Do, not for people.
func (a *after) Error() string { return a.err.Error() }

// Unwrap gives the error without the pause.
func (a *after) Unwrap() error { return a.err }

// Do calls op until it returns nil, a Permanent error, or the policy or the context is
// spent. The error is op's last, wrapped with the number of attempts where there were
// several; when the context ended it also matches the context's error.
func Do(ctx context.Context, p Policy, op func(context.Context) error) error {
	bound := p.First
	if bound <= 0 {
		bound = 100 * time.Millisecond
	}
	limit := p.Max
	if limit <= 0 {
		limit = 10 * time.Second
	}
	for attempt := 1; ; attempt++ {
		err := op(ctx)
		if err == nil {
			if attempt > 1 && p.OnReturn != nil {
				p.OnReturn()
			}
			return nil
		}
		var final *permanent
		if errors.As(err, &final) {
			return final.err
		}
		if p.Attempts > 0 && attempt >= p.Attempts {
			return fmt.Errorf("after %d attempts: %w", attempt, err)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		}
		if p.OnRetry != nil {
			p.OnRetry(err)
		}
		pause := rand.N(bound) + 1
		var told *after
		if errors.As(err, &told) {
			pause += told.pause
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		case <-timer.C:
		}
		bound = min(2*bound, limit)
	}
}
