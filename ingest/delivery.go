package ingest

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
)

// Delivery is one message on its way through the stages. Done or Fail must be called on it
// once; further calls do nothing. Both may be called from any goroutine, at any time.
type Delivery[T any] struct {
	Value     T
	Topic     string
	Partition int
	Offset    int64
	Appended  time.Time // the message's timestamp: when it was produced or appended, as the topic is configured

	message message
}

// Done says that all that follows from the message is stored. Its offset is committed once
// all earlier ones of its partition are done too.
func (d *Delivery[T]) Done() { d.message.done() }

// Fail sends the message to the dead letters as it came, with the reason, and then counts
// as Done. It does not block; writing is tried until it works or the partition is gone.
// An error that is no *Rejection is of class Failed.
func (d *Delivery[T]) Fail(reason error) { d.message.fail(rejection(reason)) }

// message is a delivery without its type.
type message struct {
	origin
	settled atomic.Bool
}

// origin is a message and where it is from.
type origin struct {
	kafka.Message
	size      int64
	partition *partition
	number    int64 // among the partition's messages
}

// deliver hands a message on. What it makes of it is the only memory that a message takes on
// its way through the consumer, beside what it decodes to.
type deliver func(origin)

func (m *message) done() {
	if m.settled.CompareAndSwap(false, true) {
		m.partition.finish(m)
	}
}

func (m *message) fail(reason *Rejection) {
	if !m.settled.CompareAndSwap(false, true) {
		return
	}
	p := m.partition
	started := p.group.spawn(func() {
		// Its bytes share their memory with its neighbours', which need not wait for it.
		m.Key, m.Value = bytes.Clone(m.Key), bytes.Clone(m.Value)
		if err := p.group.letters.write(p.ctx, m.Message, reason); err != nil {
			p.drop(m)
			return
		}
		p.finish(m)
	})
	if !started {
		p.drop(m)
	}
}

// abandon forgets a message that nobody works on; it will be read again.
func (m *message) abandon() {
	if m.settled.CompareAndSwap(false, true) {
		m.partition.drop(m)
	}
}

// sizeOf is what a message counts against MaxBytes.
func sizeOf(m kafka.Message) int64 {
	size := len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		size += len(h.Key) + len(h.Value)
	}
	return int64(size)
}
