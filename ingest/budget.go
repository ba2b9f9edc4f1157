package ingest

import (
	"context"
	"slices"
	"sync"
)

// budget bounds the work in flight over all partitions, in items and in bytes. Half of it
// is divided among the partitions as reserves that nobody else can use, so that one whose
// work is stuck leaves room for the others; the other half is common. A partition with
// nothing in flight may always have one message, whatever its size.
//
// Work of an ended generation has no reserve and counts against the common half, so that
// the sum may pass the bound by half of it just after a rebalance.
type budget struct {
	max amount

	mu      sync.Mutex
	common  amount // in use of the common half
	total   amount // in use
	waiting []*share
}

// amount of work.
type amount struct {
	items int
	bytes int64
}

// share is what one partition has of the budget. Its fields are the budget's to lock.
type share struct {
	budget  *budget
	reserve amount
	used    amount

	need    amount        // while it waits
	granted chan struct{} // of one: what it waited for was granted
}

// divide makes the shares of a generation with n partitions.
func (b *budget) divide(n int) []*share {
	shares := make([]*share, n)
	for i := range shares {
		shares[i] = &share{budget: b, reserve: amount{items: b.max.items / (2 * n), bytes: b.max.bytes / int64(2*n)}, granted: make(chan struct{}, 1)}
	}
	return shares
}

// acquire waits until the partition may have one more message of that many bytes in
// flight. The error is the context's. One at a time may wait.
func (s *share) acquire(ctx context.Context, bytes int64) error {
	b := s.budget
	need := amount{items: 1, bytes: bytes}
	b.mu.Lock()
	if b.take(s, need) {
		b.mu.Unlock()
		return nil
	}
	s.need = need
	b.waiting = append(b.waiting, s)
	b.mu.Unlock()
	select {
	case <-s.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := slices.Index(b.waiting, s); at >= 0 {
		b.waiting = slices.Delete(b.waiting, at, at+1)
		return ctx.Err()
	}
	<-s.granted // in the meantime
	b.give(s, need)
	return ctx.Err()
}

// release gives a message's room back.
func (s *share) release(bytes int64) {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.give(s, amount{items: 1, bytes: bytes})
}

// retire takes the reserve away: the partition's generation has ended.
func (s *share) retire() {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	before := s.beyond()
	s.reserve = amount{}
	b.account(s, before)
}

// inFlight is how much work there is in all.
func (b *budget) inFlight() (items int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total.items, b.total.bytes
}

func (b *budget) take(s *share, need amount) bool {
	before := s.beyond()
	s.used = amount{s.used.items + need.items, s.used.bytes + need.bytes}
	after := s.beyond()
	common := amount{b.common.items + after.items - before.items, b.common.bytes + after.bytes - before.bytes}
	fits := (after.items == before.items || common.items <= b.max.items/2) &&
		(after.bytes == before.bytes || common.bytes <= b.max.bytes/2)
	if !fits && s.used.items > 1 {
		s.used = amount{s.used.items - need.items, s.used.bytes - need.bytes}
		return false
	}
	b.common = common
	b.total = amount{b.total.items + need.items, b.total.bytes + need.bytes}
	return true
}

func (b *budget) give(s *share, back amount) {
	before := s.beyond()
	s.used = amount{s.used.items - back.items, s.used.bytes - back.bytes}
	b.total = amount{b.total.items - back.items, b.total.bytes - back.bytes}
	b.account(s, before)
	b.grant()
}

// account corrects the common half after a share changed from using that much of it.
func (b *budget) account(s *share, before amount) {
	after := s.beyond()
	b.common = amount{b.common.items + after.items - before.items, b.common.bytes + after.bytes - before.bytes}
}

// grant lets those in who fit now, the longest waiting first.
func (b *budget) grant() {
	kept := b.waiting[:0]
	for _, s := range b.waiting {
		if b.take(s, s.need) {
			s.granted <- struct{}{}
		} else {
			kept = append(kept, s)
		}
	}
	clear(b.waiting[len(kept):])
	b.waiting = kept
}

// beyond is what the share uses of the common half.
func (s *share) beyond() amount {
	return amount{max(0, s.used.items-s.reserve.items), max(0, s.used.bytes-s.reserve.bytes)}
}
