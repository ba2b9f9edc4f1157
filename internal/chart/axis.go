package chart

import (
	"math"
	"time"
)

// timeSteps are the distances between ticks on the time axis.
var timeSteps = []time.Duration{
	5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour,
	6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 2 * 24 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour,
	28 * 24 * time.Hour,
}

// stepOf is the least step of which at most so many fit into a stretch of time.
func stepOf(stretch time.Duration, most float64) time.Duration {
	for _, step := range timeSteps {
		if float64(stretch) <= most*float64(step) {
			return step
		}
	}
	whole := 28 * 24 * time.Hour
	return whole * time.Duration(math.Ceil(float64(stretch)/(most*float64(whole))))
}

// timeTicks are the multiples of a step within a stretch of time.
func timeTicks(from, to time.Time, step time.Duration) (ticks []time.Time) {
	for t := from.Add(step - 1).Truncate(step); !t.After(to); t = t.Add(step) {
		ticks = append(ticks, t)
	}
	return ticks
}

// tickLabel is the time of day, or the day where one begins. The first names its day, too.
func tickLabel(t time.Time, step time.Duration, first bool) string {
	switch {
	case t.Equal(t.Truncate(24*time.Hour)) || step >= 24*time.Hour:
		return t.Format("2 Jan")
	case first:
		return t.Format("2 Jan 15:04")
	}
	return t.Format("15:04")
}

// countTicks are whole numbers from 0 to at least a highest one, about as many as asked for:
// multiples of 1, 2, 5, 10, 20 and so on.
func countTicks(highest, asked float64) (ticks []float64) {
	asked = math.Min(4, math.Max(1, asked))
	step, factors := 1.0, []float64{2, 2.5, 2}
	for i := 0; highest/step > asked; i++ {
		step *= factors[i%len(factors)]
	}
	for n := 0.0; ; n += step {
		ticks = append(ticks, n)
		if n >= highest {
			return ticks
		}
	}
}
