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
	stale        int   // of its first sketches
	near         []int // places among its readings, from 1, of those that are near one of its sketches
	hour         int   // of its last sketch; -1 without
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
				p.lists = append(p.lists, p.searchList(text, p.nears.readings[j], hourOf(now)))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading sketches: %w", err)
	}
	return nil
}

// searchList looks for the sketches of some readings in a list. Those of a batch are compared by
// the script, which knows which of them are counted.
func (p *plan) searchList(text string, readings []int, now uint8) searched {
	if len(text)%9 != 2 {
		return searched{hour: -1} // none of ours: the script begins it anew
	}
	known := unpackSketches(text[2:])
	l := searched{length: len(text), cuts: int(binary.BigEndian.Uint16([]byte(text))), stale: known.stale(now), hour: -1}
	if len(known) > 0 {
		l.hour = int(known[len(known)-1].hour)
	}
	for i, r := range readings {
		if known.has(p.readings[r-1].sketch) {
			l.near = append(l.near, i+1)
		}
	}
	return l
}
