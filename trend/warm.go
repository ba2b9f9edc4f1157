package trend

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
)

// A cold key-space is warmed in two steps, which may run beside any number of Stores:
//
//	history, in order of arrival ──► History.Observe   each reading, in memory
//	                             └─► Store.Count       those of the last days, by id: what the
//	                                                   store has counted already changes nothing
//	then ──► Store.Adopt                               each series' baseline, series by series;
//	                                                   everything's last, which ends the warm-up
//
// A run that is interrupted has made nothing speak. Run again, it ends where it would have.

// ErrGrown says that a key-space has a past of its own.
var ErrGrown = errors.New("the series have a past of their own")

// Adopted says what became of series. Where several kinds of spike are looked for, a series has a
// past for each: the numbers are those of the kind that has most.
type Adopted struct {
	Series int       // that know the history's past now
	Known  int       // that reached back as far before, and are left as they were
	Since  time.Time // arrival of the first reading that the key-space knows of
}

// Since is the arrival of the first reading that was judged in the key-space, for the first of
// Rule.Kinds: the warm-up counts from it. Zero: there is none.
func (s *Store) Since(ctx context.Context) (time.Time, error) { return s.since(ctx, s.kinds[0]) }

func (s *Store) since(ctx context.Context, kind news.SpikeKind) (time.Time, error) {
	states, err := s.peek(ctx, kind, []news.Series{{}}, s.clock())
	if err != nil || states[0].packed == "" {
		return time.Time{}, err
	}
	return time.Unix(states[0].base.since, 0).UTC(), nil
}

// Count counts readings as Observe does, each once, and judges nothing. What Observe would
// not count is left out without a word: of history, most is older.
func (s *Store) Count(ctx context.Context, readings []news.Reading) error {
	now := s.clock()
	recent := slices.DeleteFunc(slices.Clone(readings), func(r news.Reading) bool {
		return r.ID == "" || r.PublishedAt.Before(now.Add(-s.history)) || r.PublishedAt.After(now.Add(future))
	})
	for some := range slices.Chunk(recent, batch) {
		plans := s.plans(some, now)
		for _, p := range plans {
			p.blind = true
		}
		if err := s.count(ctx, plans, now, map[subject]*stored{}); err != nil {
			return fmt.Errorf("counting %d readings in Redis: %w", len(readings), err)
		}
	}
	return nil
}

// Adopt gives the series the past that a history has learnt for each kind of spike that the store
// looks for: levels, shares, weekly profiles, spikes that were told, and how often series came near
// one. The history is taken as complete up to 12 h before the clock; what the store has counted
// since then is learnt on top of it in time. A series that knows of as early an arrival is left as
// it is, so that a second run changes nothing.
//
// It fails before it changes anything where the history was not judged for one of the kinds; and
// with ErrGrown where the key-space has judged a kind for longer than Config.History but not for as
// long as the history: some of its own past is learnt and cannot be told apart any more.
// progress is called now and then; nil = not.
func (s *Store) Adopt(ctx context.Context, h *History, progress func(done, of int)) (a Adopted, err error) {
	now := s.clock()
	var pasts []*past
	total := 0
	for i, kind := range s.kinds {
		p, err := s.pastOf(ctx, h, kind, now)
		if err != nil {
			return a, err
		}
		if i == 0 {
			a.Since = p.since
		}
		if p.known {
			a.Known = max(a.Known, h.Series())
			continue
		}
		pasts = append(pasts, p)
		total += len(p.all)
	}
	done := 0
	for _, p := range pasts {
		for some := range slices.Chunk(p.all, reads) {
			if err := s.adopt(ctx, p.kind, some, now, &p.adopted); err != nil {
				return a, err
			}
			done += len(some)
			if progress != nil {
				progress(done, total)
			}
		}
	}
	if len(pasts) == 0 {
		return a, nil
	}
	if err := s.adoptPeaks(ctx, h.replay.budget, now); err != nil {
		return a, err
	}
	for _, p := range pasts {
		if err := s.adopt(ctx, p.kind, []adoption{{base: p.everything}}, now, &p.adopted); err != nil {
			return a, err
		}
		a.Series, a.Known = max(a.Series, p.adopted.Series), max(a.Known, p.adopted.Known)
	}
	return a, nil
}

// past is what a history gives for a kind of spike.
type past struct {
	kind       news.SpikeKind
	since      time.Time // what the key-space knows of afterwards
	known      bool      // it knows of as much: nothing is to be given
	everything baseline
	all        []adoption // the other series
	adopted    Adopted    // so far
}

// pastOf looks what a history has for a kind, and whether the key-space can take it.
func (s *Store) pastOf(ctx context.Context, h *History, kind news.SpikeKind, now time.Time) (*past, error) {
	replay := h.of(kind)
	if replay == nil {
		return nil, fmt.Errorf("trend: the history was not judged for %s spikes, which the store looks for", kind)
	}
	if replay.everything.base == (baseline{}) {
		return nil, errors.New("trend: the history has no readings")
	}
	everything := replay.everything.series
	by := lenderOf(kind, &everything, now)
	since, err := s.since(ctx, kind)
	switch old := time.Unix(everything.base.since, 0).UTC(); {
	case err != nil:
		return nil, err
	case !since.IsZero() && !since.After(old):
		return &past{kind: kind, since: since, known: true}, nil
	case !since.IsZero() && since.Before(now.Add(-s.history)):
		return nil, fmt.Errorf("%w: they have been counted since %s", ErrGrown, since.Format(time.RFC3339))
	default:
		since = old
	}
	if everything.base.next*bucketsPerChunk > bucketOf(now) {
		return nil, fmt.Errorf("trend: the history goes on to %s, which is to come", startOf(everything.base.next*bucketsPerChunk).Format(time.RFC3339))
	}
	p := &past{kind: kind, since: since, everything: everything.base}
	for key, state := range replay.series {
		entity, topic, _ := strings.Cut(key, keySeparator)
		of := news.Series{Entity: entity, Topic: topic}
		if of == (news.Series{}) || state.base.next*bucketsPerChunk < bucketOf(now.Add(-keepSeries)) {
			continue // everything; or not heard of for so long that a Store would have forgotten it
		}
		base := state.base
		base.learn(state.ring, unixSeconds(now), by.lent, by.down)
		p.all = append(p.all, adoption{of, base})
	}
	return p, nil
}

type adoption struct {
	of   news.Series
	base baseline
}

// keySeparator is that of news.Series.Key.
const keySeparator = "\x1f"

// adoptAttempts bounds the races with Stores that learn meanwhile.
const adoptAttempts = 10

// adopt replaces the baselines of some series. One that another Store changed meanwhile is read
// again.
func (s *Store) adopt(ctx context.Context, kind news.SpikeKind, some []adoption, now time.Time, a *Adopted) error {
	if len(some) == 0 {
		return nil
	}
	names := make([]news.Series, len(some))
	for i, one := range some {
		names[i] = one.of
	}
	states, err := s.peek(ctx, kind, names, now)
	if err != nil {
		return fmt.Errorf("reading %d series: %w", len(some), err)
	}
	left := map[int]*stored{}
	for i, state := range states {
		left[i] = state
	}
	for range adoptAttempts {
		var calls []call
		beaten := map[int]*stored{}
		for i, state := range left {
			if state.packed != "" && state.base.since <= some[i].base.since {
				a.Known++
				continue
			}
			calls = append(calls, s.adoptCall(kind, some[i], i, state, now, beaten))
		}
		if err := s.run(ctx, adopt, calls); err != nil {
			return fmt.Errorf("giving %d series their past: %w", len(calls), err)
		}
		a.Series += len(calls) - len(beaten)
		if left = beaten; len(left) == 0 {
			return s.sawSeries(ctx, kind, names)
		}
	}
	return fmt.Errorf("giving %d series their past: other monitors changed them %d times meanwhile", len(left), adoptAttempts)
}

func (s *Store) adoptCall(kind news.SpikeKind, one adoption, i int, state *stored, now time.Time, beaten map[int]*stored) call {
	base := one.base
	if state.packed != "" { // spikes that were told meanwhile stay told
		if of := &state.base; of.openUntil >= base.openUntil {
			base.openUntil, base.toldSurprise, base.before = of.openUntil, of.toldSurprise, of.before
		}
		base.fired = max(base.fired, state.base.fired)
	}
	of := subject{one.of, kind}
	return call{
		keys: []string{s.keys.ofSubject(of, "counts"), s.keys.ofSubject(of, "base")},
		argv: []any{state.packed, base.encode(), base.next * bucketsPerChunk, int64(keepSeries.Seconds())},
		take: func(answer []any) error {
			if len(answer) == 0 {
				return nil
			}
			packed, _ := answer[0].(string)
			beaten[i] = &stored{packed: packed}
			if packed == "" {
				return nil
			}
			var err error
			if beaten[i].base, err = decodeBase(packed, kind); err != nil {
				beaten[i].base.since = math.MaxInt64 // it cannot be read: the history's is better
			}
			return nil
		},
	}
}

// sawSeries adds to the number of series, of which the threshold depends.
func (s *Store) sawSeries(ctx context.Context, kind news.SpikeKind, of []news.Series) error {
	seen := make([]any, len(of))
	for i, series := range of {
		seen[i] = subject{series, kind}.key()
	}
	month := s.keys.seriesSeen(monthOf(s.clock()))
	return s.retry(ctx, func(ctx context.Context) error {
		pipe := s.redis.Pipeline()
		pipe.PFAdd(ctx, month, seen...)
		pipe.Expire(ctx, month, keepMonth)
		_, err := pipe.Exec(ctx)
		return err
	})
}

// adoptPeaks sets the counts of peaks and clumps of the days that the calibration comes from.
func (s *Store) adoptPeaks(ctx context.Context, b *budget, now time.Time) error {
	err := s.retry(ctx, func(ctx context.Context) error {
		pipe := s.redis.Pipeline()
		for day := dayOf(now) - episodeDays + 1; day <= dayOf(now); day++ {
			bins, seen := b.peaks[day], b.clumps[day]
			if bins != nil {
				for bin, n := range bins {
					pipe.HSet(ctx, s.keys.peaks(day), strconv.Itoa(bin), n)
				}
			}
			if seen != nil {
				for i, n := range seen.sums() {
					pipe.HSet(ctx, s.keys.peaks(day), clumpFields[i], *n)
				}
			}
			if bins != nil || seen != nil {
				pipe.Expire(ctx, s.keys.peaks(day), keepPeaks)
			}
		}
		_, err := pipe.Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("giving the threshold its past: %w", err)
	}
	return nil
}

// adopt replaces a series' baseline if nobody else has, and makes its counts short. A series
// without counts gets none, but is there.
//
// KEYS: counts, base
//
// ARGV: the base that was read ("": none), the new base, the first bucket it has not
// learnt, seconds to keep both
//
// Returns nothing where it was replaced, else the base as it is now.
var adopt = redis.NewScript(addUp + `
local counts, base = redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[2]) or ''
if base ~= ARGV[1] then return {base} end
counts = addUp(counts, -math.huge)
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[4])
redis.call('SET', KEYS[1], ARGV[3] .. ';' .. counts, 'EX', ARGV[4])
return {}
`)
