package trend

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
)

// keepPeaks is how long a day's count of peaks is kept in Redis.
const keepPeaks = (episodeDays + 1) * 24 * time.Hour

// keepMonth is how long a month's count of series is kept: as long as it counts, and that is to the end of the next.
const keepMonth = 62 * 24 * time.Hour

// limit is the calibration that a Store works with. Replicas work theirs out
// from the same counts, each every hour.
type limit struct {
	mu sync.Mutex
	calibration
	until time.Time
	seen  clumps // not in Redis yet
}

// see takes the clumps of series that learnt. They go to Redis when the calibration is worked out anew,
// so that they cost no round trip; a crash loses those of an hour at most.
func (l *limit) see(learnt map[subject]*stored) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for of, state := range learnt {
		if of.of != (news.Series{}) { // all others are in everything
			l.seen.add(state.base.clumps)
		}
	}
}

// calibrate gives a lender the threshold and the clusters of now.
func (s *Store) calibrate(ctx context.Context, l *lender, now time.Time) error {
	c, err := s.calibrated(ctx, l.base, now)
	if err == nil {
		l.heed(c)
	}
	return err
}

// calibrated is worked out every so often; nothing reaches the threshold during the warm-up.
func (s *Store) calibrated(ctx context.Context, everything *baseline, now time.Time) (calibration, error) {
	if !s.rule.warm(everything, now) {
		return calibration{math.Inf(1), clusters}, nil
	}
	s.limit.mu.Lock()
	defer s.limit.mu.Unlock()
	if now.Before(s.limit.until) && !now.Before(s.limit.until.Add(-calibrateEvery)) {
		return s.limit.calibration, nil
	}
	seen := s.limit.seen
	s.limit.seen = clumps{}
	e, err := s.episodes(ctx, seen, now)
	if err != nil {
		return calibration{}, err
	}
	e.days = max(0, s.rule.counted(everything, now))
	s.limit.calibration, s.limit.until = s.rule.calibrated(e), now.Add(calibrateEvery)
	s.metrics.limit.Set(s.limit.surprise)
	return s.limit.calibration, nil
}

// episodes reads the peaks and clumps of the last days, and how many series there are. It counts the
// clumps that this Store has seen, too: not exactly, for an error here loses them.
func (s *Store) episodes(ctx context.Context, seen clumps, now time.Time) (e episodes, err error) {
	var fields []string
	for bin := range episodeBins {
		fields = append(fields, strconv.Itoa(bin))
	}
	fields = append(fields, clumpFields[:]...)
	err = s.retry(ctx, func(ctx context.Context) error {
		e = episodes{}
		pipe := s.redis.Pipeline()
		if seen != (clumps{}) {
			for i, n := range seen.sums() {
				pipe.HIncrBy(ctx, s.keys.peaks(dayOf(now)), clumpFields[i], int64(*n))
			}
			pipe.Expire(ctx, s.keys.peaks(dayOf(now)), keepPeaks)
			seen = clumps{} // an attempt that failed may have counted them
		}
		var days []*redis.SliceCmd
		for back := range int64(episodeDays) {
			days = append(days, pipe.HMGet(ctx, s.keys.peaks(dayOf(now)-back), fields...))
		}
		series := pipe.PFCount(ctx, s.keys.seriesAlive(now)...)
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		for _, day := range days {
			numbers := make([]int, len(fields))
			for i, value := range day.Val() {
				text, _ := value.(string)
				numbers[i], _ = strconv.Atoi(text) // a bin without peaks is nil
			}
			e.add(numbers[:episodeBins])
			var of clumps
			for i, sum := range of.sums() {
				*sum = numbers[episodeBins+i]
			}
			e.clumps.add(of)
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
	var alive []any
	for of, state := range stored {
		if state.learntThisMonth() {
			alive = append(alive, of.key())
		}
		if !state.counted || state.move == noMove {
			continue
		}
		if state.move.from >= 0 {
			pipe.HIncrBy(ctx, s.keys.peaks(dayOf(now)), strconv.Itoa(state.move.from), -1)
		}
		pipe.HIncrBy(ctx, s.keys.peaks(dayOf(now)), strconv.Itoa(state.move.to), 1)
	}
	if pipe.Len() > 0 {
		pipe.Expire(ctx, s.keys.peaks(dayOf(now)), keepPeaks)
	}
	if len(alive) > 0 {
		pipe.PFAdd(ctx, s.keys.seriesSeen(monthOf(now)), alive...)
		pipe.Expire(ctx, s.keys.seriesSeen(monthOf(now)), keepMonth)
	}
	if pipe.Len() == 0 {
		return
	}
	if _, err := pipe.Exec(ctx); err != nil {
		s.log.Warn("peaks of surprise not counted in Redis", "error", err)
	}
}

// learntThisMonth reports whether a series has learnt for the first time, or for the first time in a
// month: then it is counted among those that there are. All others cost no command.
func (s *stored) learntThisMonth() bool {
	if len(s.packed) < 6 {
		return true
	}
	month := func(chunk int64) int { return monthOf(startOf(chunk * bucketsPerChunk)) }
	return month(readTime([]byte(s.packed[1:6]))) != month(s.base.next) // the low bytes of version 2, too
}
