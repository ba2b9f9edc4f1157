package trend

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// keepPeaks is how long a day's count of peaks is kept in Redis.
const keepPeaks = (episodeDays + 1) * 24 * time.Hour

// limit is the threshold on surprise that a Store works with. Replicas work theirs out
// from the same counts, each every hour.
type limit struct {
	mu       sync.Mutex
	surprise float64
	until    time.Time
}

// threshold is the surprise from which something is a spike now; nothing reaches it during
// the warm-up.
func (s *Store) threshold(ctx context.Context, everything *baseline, now time.Time) (float64, error) {
	if !s.rule.warm(everything, now) {
		return math.Inf(1), nil
	}
	if s.rule.Surprise > 0 {
		return s.rule.Surprise, nil
	}
	s.limit.mu.Lock()
	defer s.limit.mu.Unlock()
	if now.Before(s.limit.until) && now.After(s.limit.until.Add(-calibrateEvery)) {
		return s.limit.surprise, nil
	}
	e, err := s.episodes(ctx, now)
	if err != nil {
		return 0, err
	}
	e.days = max(0, s.rule.counted(everything, now))
	s.limit.surprise, s.limit.until = e.threshold(s.rule.FalseAlertsPerDay), now.Add(calibrateEvery)
	s.metrics.limit.Set(s.limit.surprise)
	return s.limit.surprise, nil
}

// episodes reads the peaks of the last days, and how many series there are.
func (s *Store) episodes(ctx context.Context, now time.Time) (e episodes, err error) {
	var fields []string
	for bin := range episodeBins {
		fields = append(fields, strconv.Itoa(bin))
	}
	err = s.retry(ctx, func(ctx context.Context) error {
		e = episodes{}
		pipe := s.redis.Pipeline()
		var days []*redis.SliceCmd
		for back := range int64(episodeDays) {
			days = append(days, pipe.HMGet(ctx, s.keys.peaks(dayOf(now)-back), fields...))
		}
		series := pipe.PFCount(ctx, s.keys.seriesSeen())
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		for _, day := range days {
			bins := make([]int, episodeBins)
			for i, value := range day.Val() {
				text, _ := value.(string)
				bins[i], _ = strconv.Atoi(text) // a bin without peaks is nil
			}
			e.add(bins)
		}
		e.series = int(series.Val())
		return nil
	})
	return e, err
}

// countPeaks adds to the statistics that the threshold comes from. They are not exact: a
// crash or an error here loses some peaks, which the next days make up for.
func (s *Store) countPeaks(ctx context.Context, stored map[subject]*stored, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	pipe := s.redis.Pipeline()
	for of, state := range stored {
		if state.packed == "" {
			pipe.PFAdd(ctx, s.keys.seriesSeen(), of.key())
		}
		if !state.counted || state.move == noMove {
			continue
		}
		if state.move.from >= 0 {
			pipe.HIncrBy(ctx, s.keys.peaks(dayOf(now)), strconv.Itoa(state.move.from), -1)
		}
		pipe.HIncrBy(ctx, s.keys.peaks(dayOf(now)), strconv.Itoa(state.move.to), 1)
	}
	if pipe.Len() == 0 {
		return
	}
	pipe.Expire(ctx, s.keys.peaks(dayOf(now)), keepPeaks)
	pipe.Expire(ctx, s.keys.seriesSeen(), keepSeries)
	if _, err := pipe.Exec(ctx); err != nil {
		s.log.Warn("peaks of surprise not counted in Redis", "error", err)
	}
}
