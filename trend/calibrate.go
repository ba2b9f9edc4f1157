package trend

import (
	"math"
	"time"
)

// The threshold follows from how often series came near it. A run of surprises over
// episodeFrom in a series is an episode, and its highest surprise the peak. Peaks up to
// episodeTo are mostly chance, and there the chance of a higher peak falls faster than
// exponentially: by decay x + bend x² decades at x over episodeFrom. The decay is fitted, the
// bend is that of the benchmark's seeds 1 to 10; above straightFrom the odds themselves say
// that a unit is worth a decade. The fit says where the tail reaches the false alerts a day
// that are allowed. Higher peaks have real spikes among them and do not count.
const (
	episodeFrom    = 1.8
	episodeTo      = 2.6
	episodeBins    = 8                // of peaks in [episodeFrom, episodeTo)
	episodeDays    = 14               // remembered
	bend           = 0.45             // see above
	straightFrom   = 1.2              // over episodeFrom: see above
	usualDecay     = 1.1              // before any is seen
	usualEpisodes  = 60.0             // that this is worth
	ofChance       = 0.65             // of the peaks: the others are of spikes, or told with them; seeds 1 to 10
	usualRate      = 14.0 / 200       // episodes a series and day, before any is seen
	usualRateDays  = 2.0              // that this is worth
	leastSurprise  = 1.95             // below this nothing is a spike, however few the series
	untilStep      = 10 * time.Minute // an episode's end is moved on in steps, to spare writes
	calibrateFrom  = guardSeconds     // seconds after warm-up from which episodes count
	calibrateEvery = time.Hour
	slowestDecay   = 0.2
	fastestDecay   = 3.0
)

// episodes are the peaks of all series.
type episodes struct {
	peaks  [episodeBins]int // bin i: peaks in [episodeFrom + i/10, episodeFrom + (i+1)/10)
	days   float64          // in which they were counted
	series int              // that there are
	clumps clumps           // in their counts
}

// calibration is what the last days of all series say: the surprise from which something is a spike,
// and the variance over mean of a count of negatives.
type calibration struct{ surprise, clusters float64 }

// calibrated is what the rule makes of the last days.
func (r Rule) calibrated(e episodes) calibration {
	c := calibration{r.Surprise, e.clumps.clusters()}
	if c.surprise == 0 {
		c.surprise = e.threshold(r.FalseAlertsPerDay)
	}
	return c
}

func (e *episodes) add(bins []int) {
	for i, n := range bins {
		e.peaks[i] += n
	}
}

// dayOf numbers the days of the clock, in UTC.
func dayOf(now time.Time) int64 { return floorDiv(now.Unix(), 86400) }

// binOf is the bin of a peak; episodeBins for one above them all.
func binOf(peak float64) int {
	return min(episodeBins, max(0, int((peak-episodeFrom)*episodeBins/(episodeTo-episodeFrom))))
}

// threshold is the surprise that chance exceeds so many times a day over all series.
func (e episodes) threshold(falseAlertsPerDay float64) float64 {
	const span, bin = episodeTo - episodeFrom, (episodeTo - episodeFrom) / episodeBins
	n, sum := 0.0, 0.0
	for i, peaks := range e.peaks {
		n += float64(max(0, peaks))
		sum += float64(max(0, peaks)) * (float64(i) + .5) * bin
	}
	decay := decayOf((sum+usualEpisodes*meanExcess(usualDecay, span))/(n+usualEpisodes), span)
	inside := 1 - math.Pow(10, -fall(decay, span))
	rate := (n/inside + usualRateDays*usualRate*float64(e.series)) / (e.days + usualRateDays)
	return max(leastSurprise, episodeFrom+reach(decay, math.Log10(ofChance*rate/falseAlertsPerDay)))
}

// fall is by how many decades fewer peaks there are at x over episodeFrom.
func fall(decay, x float64) float64 {
	bent := min(x, straightFrom)
	return decay*bent + bend*bent*bent + (x - bent)
}

// reach is the inverse of fall.
func reach(decay, decades float64) float64 {
	if most := fall(decay, straightFrom); decades > most {
		return straightFrom + decades - most
	}
	return (math.Sqrt(max(0, decay*decay+4*bend*decades)) - decay) / (2 * bend)
}

// meanExcess is the mean of the peaks over episodeFrom that are not over it by span.
func meanExcess(decay, span float64) float64 {
	const steps = 64
	over := func(x float64) float64 { return math.Pow(10, -fall(decay, x)) }
	area := (1 + over(span)) / 2
	for i := 1; i < steps; i++ {
		area += over(span * float64(i) / steps)
	}
	return (area*span/steps - span*over(span)) / (1 - over(span))
}

// decayOf is the inverse of meanExcess, within bounds.
func decayOf(mean, span float64) float64 {
	low, high := slowestDecay, fastestDecay
	for range 30 {
		if g := (low + high) / 2; meanExcess(g, span) > mean {
			low = g
		} else {
			high = g
		}
	}
	return low
}

// peakMove is what a judgement changes in the count of peaks: one less in a bin, one more
// in another; -1 is none.
type peakMove struct{ from, to int }

var noMove = peakMove{-1, -1}

// episode keeps the series' running episode. changed says that there is something to store.
func (b *baseline) episode(v verdict, now time.Time) (move peakMove, changed bool) {
	if !(v.surprise >= episodeFrom) {
		return noMove, false
	}
	move = noMove
	switch {
	case now.Unix() > b.episodeUntil:
		move.to = binOf(v.surprise)
		b.peak = v.surprise
	case v.surprise > b.peak:
		move = peakMove{binOf(b.peak), binOf(v.surprise)}
		b.peak = v.surprise
	}
	if move.from == move.to {
		move = noMove
	}
	if until := now.Add(Quiet(v.window)).Unix(); until > b.episodeUntil+int64(untilStep.Seconds()) {
		b.episodeUntil, changed = until, true
	}
	return move, changed || move != noMove
}

// counted is how long episodes have been counted at now, in days; negative before.
func (r Rule) counted(everything *baseline, now time.Time) float64 {
	from := time.Unix(everything.since, 0).Add(max(0, r.WarmUp)).Add(calibrateFrom * time.Second)
	return min(episodeDays, now.Sub(from).Hours()/24)
}
