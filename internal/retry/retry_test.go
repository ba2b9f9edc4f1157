package retry_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/barograph/barograph/internal/retry"
)

var errDown = errors.New("down")

func TestDo(t *testing.T) {
	fast := retry.Policy{Attempts: 3, First: time.Microsecond, Max: time.Microsecond}
	tests := []struct {
		name    string
		fail    []error // what the calls return, in turn; nil from then on
		calls   int
		retries int
		returns int
		want    error
	}{
		{name: "works at once", calls: 1},
		{name: "works at last", fail: []error{errDown, errDown}, calls: 3, retries: 2, returns: 1},
		{name: "gives up", fail: []error{errDown, errDown, errDown, errDown}, calls: 3, retries: 2, want: errDown},
		{name: "permanent", fail: []error{retry.Permanent(errDown)}, calls: 1, want: errDown},
		{name: "told when", fail: []error{retry.After(time.Microsecond, errDown)}, calls: 2, retries: 1, returns: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls, retries, returns := 0, 0, 0
			policy := fast
			policy.OnRetry = func(error) { retries++ }
			policy.OnReturn = func() { returns++ }
			err := retry.Do(t.Context(), policy, func(context.Context) error {
				calls++
				if calls <= len(tt.fail) {
					return tt.fail[calls-1]
				}
				return nil
			})
			if !errors.Is(err, tt.want) || calls != tt.calls || retries != tt.retries || returns != tt.returns {
				t.Errorf("error %v after %d calls, %d retries, %d returns; want %v, %d, %d, %d", err, calls, retries, returns, tt.want, tt.calls, tt.retries, tt.returns)
			}
		})
	}
}

func TestDoStopsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := retry.Do(ctx, retry.Policy{First: time.Hour, OnRetry: func(error) { cancel() }}, func(context.Context) error { return errDown })
	if !errors.Is(err, context.Canceled) || !errors.Is(err, errDown) {
		t.Errorf("error %v; want both the cause and the context's end", err)
	}
}
