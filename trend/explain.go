package trend

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
)

// shown is how many texts a spike carries as evidence.
const shown = 3

// explain turns the verdicts over the threshold into spikes with their evidence,
// the rarest first.
func (s *Store) explain(ctx context.Context, found map[news.Series]*stored, limit float64, now time.Time) ([]news.Spike, error) {
	var spikes []news.Spike
	for of, state := range found {
		if state.verdict.surprise >= limit {
			spikes = append(spikes, state.verdict.spike(of, now))
		}
	}
	if len(spikes) == 0 {
		return nil, nil
	}
	slices.SortFunc(spikes, func(a, b news.Spike) int {
		return cmp.Or(cmp.Compare(b.Surprise, a.Surprise), cmp.Compare(a.Series.Key(), b.Series.Key()))
	})
	err := s.retry(ctx, func(ctx context.Context) error { return s.addEvidence(ctx, spikes) })
	return spikes, err
}

func (s *Store) addEvidence(ctx context.Context, spikes []news.Spike) error {
	pipe := s.redis.Pipeline()
	texts := make([]*redis.StringSliceCmd, len(spikes))
	sources := make([]*redis.IntCmd, len(spikes))
	for i, spike := range spikes {
		texts[i] = pipe.LRange(ctx, s.keys.ofSeries(spike.Series, "evidence"), 0, -1)
		sources[i] = pipe.ZCount(ctx, s.keys.ofSeries(spike.Series, "sources"), strconv.FormatInt(spike.StartedAt.Unix(), 10), "+inf")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	for i := range spikes {
		spikes[i].Sources = int(sources[i].Val())
		strongest := strongestOf(texts[i].Val(), spikes[i].StartedAt)
		spikes[i].Evidence = nil
		for _, e := range strongest {
			spikes[i].Evidence = append(spikes[i].Evidence, news.Evidence{ID: e.ID, Title: e.Title, URL: e.URL, Negative: e.Negative})
		}
		if len(strongest) > 0 {
			spikes[i].Model = strongest[0].Model
		}
	}
	return nil
}

// strongestOf picks the most negative texts since the spike began; of equal ones the latest.
func strongestOf(packed []string, since time.Time) []evidence {
	var out []evidence
	for _, text := range packed { // the latest first
		var e evidence
		at, text, _ := strings.Cut(text, " ")
		published, err := strconv.ParseInt(at, 10, 64)
		if err == nil && published >= since.Unix() && json.Unmarshal([]byte(text), &e) == nil && e.ID != "" {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b evidence) int { return cmp.Compare(b.Negative, a.Negative) })
	return out[:min(shown, len(out))]
}

// Buckets lists what was counted in a series in event time [from, to), by rising start,
// without empty buckets. What is older than History may be gone.
func (s *Store) Buckets(ctx context.Context, of news.Series, from, to time.Time) ([]Bucket, error) {
	var text string
	err := s.retry(ctx, func(ctx context.Context) (err error) {
		if text, err = s.redis.Get(ctx, s.keys.ofSeries(of, "counts")).Result(); errors.Is(err, redis.Nil) {
			err = nil
		}
		return err
	})
	if err != nil || text == "" {
		return nil, err
	}
	r, _, err := parseRing(text)
	if err != nil {
		return nil, err
	}
	var out []Bucket
	for _, c := range r.between(bucketOf(from.Add(BucketLength-1)), bucketOf(to.Add(BucketLength-1))) {
		out = append(out, Bucket{Start: startOf(c.bucket), Items: c.items, Negative: c.negative, Copies: c.copies})
	}
	return out, nil
}

// Window sums up the last length of event time up to and with the bucket that holds end:
// the stretch that the rule judges at end.
func (s *Store) Window(ctx context.Context, of news.Series, end time.Time, length time.Duration) (news.Window, error) {
	after := startOf(bucketOf(end) + 1)
	buckets, err := s.Buckets(ctx, of, after.Add(-length), after)
	w := news.Window{Length: length}
	for _, b := range buckets {
		w.Items += b.Items
		w.Negative += b.Negative
		w.Copies += b.Copies
	}
	return w, err
}
