package trend

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// searched is a list of sketches as it was read, and what was found of a plan's readings.
type searched struct {
	length, cuts int
	stale        int
	pairs        [][2]int // of places among its readings, from 1: the second is near the first; 0 = a sketch of the list is
}

// search reads the lists of the plans, in one round trip a server, and looks in them for what is
// near the readings' sketches: a search in a script costs Redis, of which there is one.
func (s *Store) search(ctx context.Context, plans []*plan, now time.Time) error {
	err := s.retry(ctx, func(ctx context.Context) error {
		pipe := s.redis.Pipeline()
		answers := make([]*redis.SliceCmd, len(plans))
		for i, p := range plans {
			if len(p.nears.names) > 0 {
				answers[i] = pipe.MGet(ctx, p.nears.names...)
			}
		}
		if pipe.Len() == 0 {
			return nil
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		for i, p := range plans {
			if answers[i] == nil {
				continue
			}
			p.lists = p.lists[:0]
			for j, list := range answers[i].Val() {
				text, _ := list.(string)
				p.lists = append(p.lists, p.searchList(text, p.nears.readings[j], uint8(dayOf(now))))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading sketches: %w", err)
	}
	return nil
}

// searchList looks for the sketches of some readings in a list and among themselves.
func (p *plan) searchList(text string, readings []int, today uint8) searched {
	l := searched{length: len(text)}
	var known nearTexts
	if len(text) >= 2 {
		l.cuts = int(binary.BigEndian.Uint16([]byte(text)))
		known = unpackSketches(text[2:])
		l.stale = known.stale(today)
	}
	for i, r := range readings {
		of := p.readings[r-1].sketch
		if known.has(of) {
			l.pairs = append(l.pairs, [2]int{i + 1, 0})
			continue
		}
		for k, earlier := range readings[:i] {
			if of.near(p.readings[earlier-1].sketch) {
				l.pairs = append(l.pairs, [2]int{i + 1, k + 1})
			}
		}
	}
	return l
}
