package main

import (
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/news"
)

const (
	// settlePart: a batch waits for a sixteenth of what is on its way. There are two workers, so
	// that holds nothing up by more than an eighth of the time that it takes anyway; and nothing
	// waits where fewer than sixteen items are on their way.
	settlePart = 16
	// settleWait is the longest wait. A write costs Kafka some 2 ms of CPU time, however few
	// readings are in it.
	settleWait = 250 * time.Millisecond
)

// gather adds to the batch's first item what waits already and, where many items are on their
// way, waits for some of them: a write and a round trip for each few readings would take the
// models' cores.
func (s *settler) gather(queue <-chan unsettled, batch []unsettled) []unsettled {
	var late <-chan time.Time
	for n := len(batch[0].readings); n < settleBatch; n += len(batch[len(batch)-1].readings) {
		select {
		case next := <-queue:
			batch = append(batch, next)
			continue
		default:
		}
		if s.coming == nil || n >= s.coming()/settlePart {
			break
		}
		if late == nil {
			timer := time.NewTimer(settleWait)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case next := <-queue:
			batch = append(batch, next)
		case <-late:
			return batch
		case <-s.stopped:
			return batch
		}
	}
	return batch
}

// encode makes the messages of a batch in one buffer. at is the item of each; what JSON cannot
// hold (a model that answers NaN) is refused, by its item's position.
func encode(batch []unsettled) (messages []kafka.Message, at []int, refused map[int]error) {
	refused = map[int]error{}
	readings, size := 0, 0
	for _, u := range batch {
		readings += len(u.readings)
		for i := range u.readings {
			size += sizeOf(&u.readings[i])
		}
	}
	messages, at = make([]kafka.Message, 0, readings), make([]int, 0, readings)
	buffer := make([]byte, 0, size)
	for i, u := range batch {
		for j := range u.readings {
			r := &u.readings[j]
			begin := len(buffer)
			key := append(buffer, r.ID...)
			value, err := r.AppendJSON(key)
			if err != nil {
				refused[i] = fmt.Errorf("encoding the reading: %w", err)
				continue
			}
			// Where the buffer had to grow, earlier messages keep the one before.
			messages = append(messages, kafka.Message{Key: value[begin:len(key):len(key)], Value: value[len(key):len(value):len(value)]})
			at, buffer = append(at, i), value
		}
	}
	return messages, at, refused
}

// sizeOf is about what a reading takes as a message: its texts, with room for what is escaped
// in them, and all the rest.
func sizeOf(r *news.Reading) int {
	entities := 0
	for _, name := range r.Entities {
		entities += len(name) + 3
	}
	return 2*len(r.ID) + entities + (len(r.Title)+len(r.URL)+len(r.Text))*9/8 + 768
}
