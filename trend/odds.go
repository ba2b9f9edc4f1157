package trend

import "math"

// What a spike is taken to be before it is seen: so many times the usual negatives, each
// as likely.
var multiples = [...]float64{3, 5, 10, 20}

const (
	recognised  = 0.8   // of a spike's negatives, those that the classifier calls so
	oddsScale   = 2.0   // added, so that 10^-surprise is about the chance in half a day
	surgeChance = 0.003 // of a window, that its volume is a surge's
	surgeMean   = 4.0   // times the usual volume, in a surge
	surgeShape  = 1.5   // of that: its sd is 82 %
	echoMean    = 0.25  // items that pass for new ones, for each copy of a negative text
	echoUsual   = 1.2   // times the usual copies an item are of no account
	echoSpread  = 0.3   // variance of those items for each copy
	echoUnknown = 0.06  // and by the square of the copies: how many have changed words differs
	spillShare  = 0.05  // of the negatives of a company's other topics, those filed here by mistake
	spillLeast  = 5.0   // unusual negatives of the others that are of no account
)

// extra is a number of negatives in a window that are no news of the series' own.
type extra struct{ mean, variance float64 }

func (e extra) plus(f extra) extra { return extra{e.mean + f.mean, e.variance + f.variance} }

// echo is what rewritten copies of a text that many have copied add to a window. Where one
// text is copied forty times, some of the copies have changed words, pass for items of their
// own and look like a burst; many exact copies are the sign of it. A burst of separate
// stories has as many copies an item as is usual.
func echo(got count, p prior) extra {
	copies := math.Max(0, float64(got.echoes)-echoUsual*p.copies*float64(got.negative))
	return extra{echoMean * copies, echoSpread*copies + echoUnknown*copies*copies}
}

// spill is what a spike in a company's other topics adds to a window of this one, buckets
// first to last of which got were counted and expected are usual: some of its news is filed
// under the wrong topic. How much is as uncertain as it is large.
func (p prior) spill(got count, expected float64, first, last int64) extra {
	if p.company == nil {
		return extra{}
	}
	of := &p.company.base
	usual := 0.0
	for bucket := first; bucket <= last; bucket += bucketsPerHour {
		usual += of.factor(of.slot(bucket), p) * bucketSeconds * float64(min(bucketsPerHour, last+1-bucket))
	}
	usual *= of.level() * of.share(p).mean()
	others := float64(p.company.ring.between(first, last+1).sum().negative - got.negative)
	mean := spillShare * math.Max(0, others-math.Max(0, usual-expected)-spillLeast)
	return extra{mean, clusters*mean + mean*mean}
}

// look is the evidence in a window: what was counted and what is usual.
type look struct {
	got   count
	usual float64 // items expected at the usual volume
	share beta
	shape float64 // of the day's volume
	mood  float64 // relative variance of the share
	extra extra

	surge float64 // chance that today's volume is a surge's, by the items that are not negative
}

// newLook weighs a usual day's volume against a surge's.
func newLook(l look) look {
	seen, usual := l.others()
	if seen > usual {
		day := logNegBin(seen, usual, usual+usual*usual/l.shape)
		mean := surgeMean * usual
		surge := logNegBin(seen, mean, mean+mean*mean/surgeShape)
		l.surge = surgeChance / (surgeChance + (1-surgeChance)*math.Exp(day-surge))
	}
	return l
}

// others is the stories of the window that are not negative, and how many are usual.
func (l *look) others() (seen, usual float64) {
	return float64(l.got.items-l.got.negative) / clusters, l.usual * (1 - l.share.mean()) / clusters
}

// negatives is the mean and variance of the negatives that a usual day or a surge leads one
// to expect, and the factor on the volume, at least 1, that goes with it.
func (l *look) negatives(shape, mean, multiple float64) (expected, variance, volume float64) {
	seen, usual := l.others()
	volume = math.Max(1, (shape+seen)/(shape/mean+usual))
	expected = l.usual * l.share.mean() * volume * multiple
	variance = spread(expected, shape+seen, l.share, l.mood)
	return expected + l.extra.mean, variance + l.extra.variance + echoFloor*l.extra.mean, volume
}

// echoFloor keeps the variance of what is not the series' own above its mean.
const echoFloor = 1.05

// density is log P(negatives) if there are so many times the usual.
func (l *look) density(multiple float64) float64 {
	one := func(shape, mean float64) float64 {
		expected, variance, _ := l.negatives(shape, mean, multiple)
		return logNegBin(float64(l.got.negative), expected, variance)
	}
	day := one(l.shape, 1)
	if l.surge < 1e-6 {
		return day
	}
	surge := one(surgeShape, surgeMean)
	high := math.Max(day, surge)
	return high + math.Log((1-l.surge)*math.Exp(day-high)+l.surge*math.Exp(surge-high))
}

// surprise is the logarithm of how many times likelier the count is in a spike than by
// chance, over the sizes that a spike may have, and by how seldom such windows are looked at
// and spikes last so long. A count within what is expected is none.
func (l *look) surprise(w window) float64 {
	if expected, _, _ := l.negatives(l.shape, 1, 1); float64(l.got.negative) <= expected {
		return 0
	}
	chance, odds := l.density(1), 0.0
	for _, multiple := range multiples {
		odds += math.Exp(math.Min(600, l.density(1+recognised*(multiple-1))-chance)) / float64(len(multiples))
	}
	return oddsScale + math.Log10(odds*w.last*float64(w.seconds)/halfDay)
}

// expected is what people are shown: the negatives to expect at today's volume, the factor
// on the volume, and the chance of as many negatives as were counted, or more.
func (l *look) expected() (expected, volume, chance float64) {
	one := func(shape, mean float64) (expected, volume, chance float64) {
		expected, variance, volume := l.negatives(shape, mean, 1)
		return expected, volume, negBinTail(float64(l.got.negative), expected, expected*expected/(variance-expected))
	}
	expected, volume, chance = one(l.shape, 1)
	e, v, c := one(surgeShape, surgeMean)
	mix := func(day, surge float64) float64 { return (1-l.surge)*day + l.surge*surge }
	return mix(expected, e), mix(volume, v), math.Max(mix(chance, c), smallestP)
}
