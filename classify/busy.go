package classify

import (
	"sync"
	"time"
)

// busy measures how long at least one batch was running: the time in which the stage's models
// were not waiting for anything.
type busy struct {
	mu      sync.Mutex
	running int
	since   time.Time // the first of those running began
	total   time.Duration
}

func (b *busy) begin(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == 0 {
		b.since = now
	}
	b.running++
}

func (b *busy) end(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running--; b.running == 0 {
		b.total += now.Sub(b.since)
	}
}

// until is the time up to now.
func (b *busy) until(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running > 0 {
		return b.total + now.Sub(b.since)
	}
	return b.total
}
