package trend

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// falling is n peaks of which fewer are higher, as fall says.
func falling(n int, decay float64) (peaks [episodeBins]int) {
	const span = episodeTo - episodeFrom
	above := func(x float64) float64 { return math.Pow(10, -fall(decay, x)) }
	for i := range peaks {
		share := (above(float64(i)*span/episodeBins) - above(float64(i+1)*span/episodeBins)) / (1 - above(span))
		peaks[i] = int(math.Round(float64(n) * share))
	}
	return peaks
}

func TestThresholdFollowsThePeaks(t *testing.T) {
	// 100 episodes a day in the bins: the counts from there up say how far to go for fewer.
	for _, decay := range []float64{.6, 1.1, 1.6} {
		inBins := 1 - math.Pow(10, -fall(decay, episodeTo-episodeFrom))
		seen := episodes{peaks: falling(140000, decay), days: 1400, series: 200}
		for _, budget := range []float64{.1, 1, 5} {
			excess := seen.threshold(budget) - episodeFrom
			if got := 100 * ofChance / inBins * math.Pow(10, -fall(decay, excess)); math.Abs(math.Log10(got/budget)) > .05 { // the bins are coarse
				t.Errorf("decay %g: at the threshold for %g a day there are %.2f a day", decay, budget, got)
			}
		}
	}
	// Before anything is seen, it is the number of series that counts.
	few, many := episodes{series: 200}.threshold(1), episodes{series: 20000}.threshold(1)
	if got := fall(usualDecay, many-episodeFrom) - fall(usualDecay, few-episodeFrom); math.Abs(got-2) > .01 {
		t.Errorf("threshold rises from %.2f to %.2f with a hundred times the series: by %.2f decades, want 2", few, many, got)
	}
	if got := (episodes{series: 1}).threshold(1000); got != leastSurprise {
		t.Errorf("threshold %.2f of one series and a large budget, want the least", got)
	}
}

func TestEpisodeIsCountedOnceByItsPeak(t *testing.T) {
	var b baseline
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	for _, c := range []struct {
		minutes  int
		surprise float64
		want     peakMove
	}{
		{0, 1.7, noMove},
		{1, 1.85, peakMove{-1, 0}},
		{2, 1.82, noMove},
		{30, 2.05, peakMove{0, 2}},
		{60, 2.06, noMove}, // the same bin
		{119, 9, peakMove{2, episodeBins}},
		{178, 1.8, noMove}, // still within an hour
		{400, 1.95, peakMove{-1, 1}},
	} {
		if move, _ := b.episode(verdict{surprise: c.surprise, window: time.Hour}, at(c.minutes)); move != c.want {
			t.Errorf("minute %d, surprise %g: %v, want %v", c.minutes, c.surprise, move, c.want)
		}
	}
}

// Replicas see the same peaks, each once, whoever judged and how often; and a threshold
// that the peaks raised.
func TestStoresShareTheThreshold(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: testenv.StartRedis(t).Addr})
	defer client.Close()
	now := noon
	store := func() *Store {
		s, err := New(Config{Redis: client, Clock: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := store(), store()
	ctx := context.Background()
	var readings []news.Reading
	for company := range 300 {
		for i := range 5 + company%2 {
			readings = append(readings, news.Reading{ID: fmt.Sprint(company, "/", i), Entities: []string{fmt.Sprint("E", company)},
				PublishedAt: now.Add(49 * time.Hour), Sentiment: news.Sentiment{Negative: 1}})
		}
	}
	if _, err := a.Observe(ctx, []news.Reading{{ID: "first", PublishedAt: now}}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(49 * time.Hour)
	for _, s := range []*Store{a, b, a} {
		if _, err := s.Observe(ctx, readings); err != nil {
			t.Fatal(err)
		}
	}
	seen, err := b.episodes(ctx, clumps{}, now)
	if err != nil {
		t.Fatal(err)
	}
	peaks := 0
	for _, n := range seen.peaks {
		peaks += n
	}
	if peaks != 300 || math.Abs(float64(seen.series)-301) > 6 { // a HyperLogLog errs by about 1 %
		t.Errorf("%d peaks in %d series, want 300 in 301", peaks, seen.series)
	}
	everything := newBaseline(0, noon)
	now = now.Add(2 * calibrateEvery)
	got, err := a.calibrated(ctx, &everything, now)
	if err != nil {
		t.Fatal(err)
	}
	if before := (episodes{series: 301}).threshold(1); got.surprise < before+.5 {
		t.Errorf("threshold %.2f, and %.2f before 300 episodes", got.surprise, before)
	}
}

// Series that had no news this month or last are not counted any more; nor are those of the one count for
// ever that there was before, once it has expired.
func TestSeriesAreForgotten(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: testenv.StartRedis(t).Addr})
	defer client.Close()
	now, ctx := time.Date(2026, 10, 15, 12, 0, 0, 0, time.UTC), t.Context()
	s, err := New(Config{Redis: client, Clock: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ever := s.keys.seriesAlive(now)[2]
	for i := range 100 {
		client.PFAdd(ctx, ever, fmt.Sprint("before ", i))
	}
	for month, want := range []int{100 + 151, 100 + 251, 251, 251} {
		if month == 2 {
			client.Del(ctx, ever) // as time does
		}
		var readings []news.Reading
		for i := range 150 {
			entity := fmt.Sprint("always ", i)
			if i >= 50 {
				entity = fmt.Sprint(month, "/", i)
			}
			readings = append(readings, news.Reading{ID: fmt.Sprint(month, "/", i), Entities: []string{entity}, PublishedAt: now, Sentiment: news.Sentiment{Negative: 1}})
		}
		if _, err := s.Observe(ctx, readings); err != nil {
			t.Fatal(err)
		}
		e, err := s.episodes(ctx, clumps{}, now)
		if err != nil || math.Abs(float64(e.series-want)) > 6 {
			t.Errorf("month %d: %d series, %v; want %d", month+1, e.series, err, want)
		}
		if m, err := s.Memory(ctx, 1); err != nil || m.Series != e.series {
			t.Errorf("month %d: %d series in all, %v; want %d", month+1, m.Series, err, e.series)
		}
		now = now.AddDate(0, 1, 0)
	}
}

// A replay's threshold, too, comes from the peaks of the last days only, also after days without any.
func TestReplayForgetsPeaks(t *testing.T) {
	everything := newBaseline(0, noon)
	threshold := func(now time.Time, peaks ...time.Time) float64 {
		b := budget{rule: Rule{}.withDefaults(), known: 300, peaks: map[int64]*[episodeBins + 1]int{}}
		for _, at := range peaks {
			for range 300 {
				b.countPeak(peakMove{-1, 3}, at)
			}
		}
		return b.calibrated(&everything, now).surprise
	}
	day := func(n int) time.Time { return noon.Add(time.Duration(n) * 24 * time.Hour) }
	last, none := threshold(day(14+episodeDays), day(14+episodeDays)), threshold(day(14+episodeDays))
	if got := threshold(day(14+episodeDays), day(14), day(14+episodeDays)); got != last || last == none {
		t.Errorf("threshold %.3f with peaks of %d days before, %.3f without, %.3f without any", got, episodeDays, last, none)
	}
	// No day of peaks came in which those of day 14 would have been the oldest.
	if got := threshold(day(20+episodeDays), day(14)); got != threshold(day(20+episodeDays)) {
		t.Errorf("threshold %.3f long after the last peak, %.3f without any", got, threshold(day(20+episodeDays)))
	}
	if got := threshold(day(13+episodeDays), day(14)); got == threshold(day(13+episodeDays)) {
		t.Errorf("threshold %.3f with peaks of %d days before and without", got, episodeDays-1)
	}
}
