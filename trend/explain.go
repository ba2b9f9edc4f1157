package trend

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
)

// shown is how many texts a spike carries as evidence.
const shown = 3

// explain turns the verdicts that are spikes into those with their evidence,
// the rarest first.
func (s *Store) explain(ctx context.Context, found map[subject]*stored, now time.Time) ([]news.Spike, error) {
	var spikes []news.Spike
	for of, state := range found {
		if state.judge && state.verdict.exceeds(state.limit) {
			spikes = append(spikes, state.verdict.spike(of, now))
		}
	}
	if len(spikes) == 0 {
		return nil, nil
	}
	slices.SortFunc(spikes, func(a, b news.Spike) int {
		return cmp.Or(cmp.Compare(b.Surprise, a.Surprise), cmp.Compare(a.Series.Key(), b.Series.Key()),
			cmp.Compare(a.Kind, b.Kind))
	})
	err := s.retry(ctx, func(ctx context.Context) error { return s.addEvidence(ctx, spikes) })
	return spikes, err
}

func (s *Store) addEvidence(ctx context.Context, spikes []news.Spike) error {
	pipe := s.redis.Pipeline()
	texts := make([]*redis.StringSliceCmd, len(spikes))
	sources := make([]*redis.IntCmd, len(spikes))
	for i, spike := range spikes {
		of := subject{spike.Series, spike.Kind}
		texts[i] = pipe.LRange(ctx, s.keys.ofSubject(of, "evidence"), 0, -1)
		sources[i] = pipe.ZCount(ctx, s.keys.ofSubject(of, "sources"), strconv.FormatInt(spike.StartedAt.Unix(), 10), "+inf")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	for i := range spikes {
		spikes[i].Sources = int(sources[i].Val())
		show(&spikes[i], texts[i].Val())
	}
	return nil
}

// Buckets lists what was counted in a series for a kind of spike in event time [from, to), by
// rising start, without empty buckets. What is not looked for is not counted. What is older than History may be gone.
func (s *Store) Buckets(ctx context.Context, of news.Series, kind news.SpikeKind, from, to time.Time) ([]Bucket, error) {
	kind = kind.OrNegative()
	var text string
	err := s.retry(ctx, func(ctx context.Context) (err error) {
		if text, err = s.redis.Get(ctx, s.keys.ofSubject(subject{of, kind}, "counts")).Result(); errors.Is(err, redis.Nil) {
			err = nil
		}
		return err
	})
	if err != nil || text == "" {
		return nil, err
	}
	r, err := parseRing(text)
	if err != nil {
		return nil, err
	}
	var out []Bucket
	for _, c := range r.between(bucketOf(from.Add(BucketLength-1)), bucketOf(to.Add(BucketLength-1))) {
		out = append(out, bucketOfKind(kind, c))
	}
	return out, nil
}

// Window sums up the last length of event time up to and with the bucket that holds end:
// the stretch that the rule judges at end, by the first of Rule.Kinds.
func (s *Store) Window(ctx context.Context, of news.Series, end time.Time, length time.Duration) (news.Window, error) {
	after := startOf(bucketOf(end) + 1)
	buckets, err := s.Buckets(ctx, of, s.kinds[0], after.Add(-length), after)
	w := news.Window{Length: length}
	for _, b := range buckets {
		w.Items += b.Items
		w.Negative += b.Negative
		w.Positive += b.Positive
		w.Copies += b.Copies
	}
	return w, err
}
