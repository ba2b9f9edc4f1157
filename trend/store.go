package trend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
)

// call is one script call of a pipeline.
type call struct {
	keys []string
	argv []any
	take func(answer []any) error
}

// run makes the calls in one round trip a server, and again those that failed. Calls
// must be safe to repeat. A server that does not know the script gets it sent along.
func (s *Store) run(ctx context.Context, script *redis.Script, calls []call) error {
	if len(calls) == 0 {
		return nil
	}
	return s.retry(ctx, func(ctx context.Context) error {
		var unknown []call
		failed, err := s.pipeline(ctx, calls, func(p redis.Pipeliner, c call) *redis.Cmd {
			return p.EvalSha(ctx, script.Hash(), c.keys, c.argv...)
		}, &unknown)
		if len(unknown) > 0 {
			again, sentErr := s.pipeline(ctx, unknown, func(p redis.Pipeliner, c call) *redis.Cmd {
				return script.Eval(ctx, p, c.keys, c.argv...)
			}, nil)
			failed, err = append(failed, again...), errors.Join(err, sentErr)
		}
		calls = failed
		return err
	})
}

// pipeline sends the calls and takes their answers. Calls of a script that the server
// does not know go to unknown, where it is not nil.
func (s *Store) pipeline(ctx context.Context, calls []call, send func(redis.Pipeliner, call) *redis.Cmd, unknown *[]call) (failed []call, err error) {
	pipe := s.redis.Pipeline()
	sent := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		sent[i] = send(pipe, c)
	}
	_, _ = pipe.Exec(ctx) // its error is that of the first failing call
	for i, c := range calls {
		answer, callErr := sent[i].Slice()
		switch {
		case callErr == nil:
			callErr = c.take(answer)
		case unknown != nil && redis.HasErrorPrefix(callErr, "NOSCRIPT"):
			*unknown = append(*unknown, c)
			continue
		}
		if callErr != nil {
			failed = append(failed, c)
			err = callErr
		}
	}
	return failed, err
}

// count runs the plans and adds the series to judge, as they are now, to found.
func (s *Store) count(ctx context.Context, plans []*plan, now time.Time, found map[subject]*stored) error {
	if err := s.search(ctx, plans, now); err != nil {
		return err
	}
	return s.send(ctx, plans, now, found)
}

// send runs the observe script for plans whose lists were searched.
func (s *Store) send(ctx context.Context, plans []*plan, now time.Time, found map[subject]*stored) error {
	calls := make([]call, len(plans))
	for i, p := range plans {
		names, argv := p.arguments(s, now)
		calls[i] = call{names, argv, func(answer []any) error { return s.take(p, answer, now, found) }}
	}
	return s.run(ctx, observe, calls)
}

// take reads the observe script's answer.
func (s *Store) take(p *plan, answer []any, now time.Time, found map[subject]*stored) error {
	if len(answer) != 1+2*len(p.series) {
		return fmt.Errorf("observe script: %d answers for %d series", len(answer), len(p.series))
	}
	states, _ := answer[0].(string)
	outcomes := map[byte]string{'n': "new", 'c': "copy", 'a': "near_copy", 'r': "repeat"}
	for i, e := range p.readings {
		if e.everything && i < len(states) {
			s.metrics.readings.WithLabelValues(outcomes[states[i]]).Inc()
		}
	}
	for i, of := range p.series {
		counts, _ := answer[1+2*i].(string)
		base, _ := answer[2+2*i].(string)
		if counts == "" {
			continue
		}
		state, err := s.decode(of.of, counts, base, now)
		if err != nil {
			return err
		}
		// In a call of several batches the latest state wins, but a reason to judge stays.
		state.judge = of.judge || found[of.of] != nil && found[of.of].judge
		found[of.of] = state
	}
	return nil
}

// stored is a series as Redis has it.
type stored struct {
	series
	packed  string // the baseline as it was read; "" = none yet
	entries int    // of its counts as they were read
	judge   bool   // else it is only to learn, or to lend
	verdict
	move    peakMove
	limit   float64 // surprise from which it is a spike
	counted bool    // among the peaks that the threshold comes from
}

// decode reads a series' state. Counts that cannot be read are an error, for they cannot
// be had again; a baseline is only what was learnt, and starts anew.
func (s *Store) decode(of subject, counts, base string, now time.Time) (*stored, error) {
	read, err := parseRing(counts)
	if err != nil {
		return nil, fmt.Errorf("series %s: %w: delete the key %q to begin anew", of.of, err, s.keys.ofSubject(of, "counts"))
	}
	b := newBaseline(read.learnt, now)
	if base != "" {
		known, err := decodeBase(base, of.kind)
		if err == nil {
			b = known
		} else {
			s.log.Warn("a baseline cannot be read and is learnt anew", "series", of.of.String(), "error", err)
		}
	}
	b.follow(s.rule.Market, base)
	return &stored{series: series{read.ring, b}, entries: read.entries, packed: base, move: noMove}, nil
}

// judge brings the baselines up to now, judges the series that ask for it, and stores
// what was learnt or frozen. Where another replica was faster, its baseline is taken and
// judged by; after a few such races the baseline is left for the series' next item.
func (s *Store) judge(ctx context.Context, found map[subject]*stored, now time.Time) error {
	lenders := map[news.SpikeKind]*lender{}
	for _, kind := range s.kinds {
		l := lenderOf(kind, &found[subject{kind: kind}].series, now)
		if err := s.calibrate(ctx, l, now); err != nil {
			return err
		}
		l.counted = s.rule.counted(l.base, now) >= 0
		lenders[kind] = l
	}
	changed := map[subject]*stored{}
	for of, state := range found {
		if s.assess(of, state, found, lenders[of.kind], now) {
			changed[of] = state
		}
	}
	for attempt := 0; len(changed) > 0; attempt++ {
		if attempt == learnAttempts {
			s.metrics.lost.Add(float64(len(changed)))
			return nil
		}
		beaten, err := s.learn(ctx, changed, now)
		if err != nil {
			return err
		}
		for of := range beaten {
			delete(changed, of)
		}
		s.countPeaks(ctx, changed, now)
		s.limit.see(changed)
		for of, state := range beaten {
			if !s.assess(of, state, found, lenders[of.kind], now) {
				delete(beaten, of)
			}
			found[of] = state
		}
		changed = beaten
	}
	return nil
}

// assess reports whether the series' baseline is other than the stored one, or its counts want to
// be made short.
func (s *Store) assess(of subject, state *stored, found map[subject]*stored, by *lender, now time.Time) bool {
	state.limit, state.counted = by.limit, by.counted
	lent, down := by.lends(of.of), by.down
	if of.of == (news.Series{}) {
		down = state.noting()
	}
	switch {
	case !state.judge && of.of != (news.Series{}) && state.base.next*bucketsPerChunk >= bucketOf(now.Add(-learnWithin)):
		// It was read only to be made short.
	case !state.judge || !by.knows(&state.series):
		state.base.learn(state.ring, unixSeconds(now), lent, down)
		if state.judge {
			s.metrics.judged.WithLabelValues(string(verdict{thin: true}.outcome(by.limit))).Inc()
		}
	default:
		// A reading of a company's topic is one of the company too, so that both are found.
		if company := found[subject{news.Series{Entity: of.of.Entity}, of.kind}]; company != nil && isTopicOfCompany(of.of) {
			company.base.learn(company.ring, unixSeconds(now), by.lent, by.down)
			lent.company = &company.series
		}
		state.verdict, state.move, _ = state.series.assess(lent, down, now, s.rule.MinNegative)
		s.metrics.judged.WithLabelValues(string(state.verdict.outcome(by.limit))).Inc()
	}
	return state.packed != state.base.encode() || s.wantsShortening(state, now)
}

// unread is a baseline that no series has: storing over it fails and reads the real one.
const unread = "?"

// Told remembers that spikes were passed on: Observe finds them again where they go on, and once they are over,
// what is left of them in the longer windows is no evidence for another. Until it is called, Observe finds them each time,
// so that a spike whose finder dies is found again, however much later.
func (s *Store) Told(ctx context.Context, spikes []news.Spike) error {
	now := s.clock()
	told, left := map[subject]news.Spike{}, map[subject]*stored{}
	for _, spike := range spikes {
		of := subject{spike.Series, spike.Kind.OrNegative()}
		told[of], left[of] = spike, &stored{packed: unread}
	}
	for attempt := 0; len(left) > 0 && attempt <= learnAttempts; attempt++ { // the first only reads
		current, err := s.learn(ctx, left, now)
		if err != nil {
			return fmt.Errorf("remembering in Redis that %d spikes were told: %w", len(spikes), err)
		}
		for of, state := range current {
			if !state.base.fire(told[of].Surprise, told[of].At, told[of].Until) {
				delete(current, of)
			}
		}
		left = current
	}
	s.metrics.lost.Add(float64(len(left)))
	return nil
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
