package trend

import "math"

// What a spike is taken to be before it is seen: so many times the usual negatives, each
// as likely.
var multiples = [...]float64{3, 5, 8, 14}

const (
	recognised  = 0.8   // of a spike's negatives, those that the classifier calls so
	oddsScale   = 1.25  // added, so that 10^-surprise is about the chance in half a day
	lowVolume   = 0.85  // times the usual: less is not believed
	nearbyWorth = 0.7   // of an item in the window, as a sign of the volume, is one before it
	surgeChance = 0.003 // of a window, that its volume is a surge's
	surgeMean   = 4.0   // times the usual volume, in a surge
	surgeShape  = 1.5   // of that: its sd is 82 %
	echoMean    = 0.25  // items that pass for new ones, for each copy of a negative text
	echoUsual   = 1.2   // times the usual copies an item are of no account
	echoSpread  = 0.3   // variance of those items for each copy
	echoUnknown = 0.06  // and by the square of the copies: how many have changed words differs
	echoBurst   = 6.0   // copies beyond the usual in half an hour, from which it is left out on trial
	echoHalf    = 0.5   // weight of what is said by the rest of the window, with such half hours left out
	largeFrom   = 5.0   // negatives beyond the expected, from which the odds rise with them
	largeMost   = 4.0   // times at most: in false alerts there are few negatives beyond the expected
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
func echo(got count, usualCopies float64) extra {
	copies := echoes(got, usualCopies)
	return extra{echoMean * copies, echoSpread*copies + echoUnknown*copies*copies}
}

// echoes are the copies of negative texts beyond the usual.
func echoes(got count, usualCopies float64) float64 {
	return math.Max(0, float64(got.echoes)-echoUsual*usualCopies*float64(got.negative))
}

// spill is what a spike in a company's other topics adds to a window of this one, buckets
// first to last of which got were counted and expected are usual: some of its news is filed
// under the wrong topic. How much is as uncertain as it is large.
func (p prior) spill(got count, expected float64, first, last int64) extra {
	of := &p.company.base
	usual := 0.0
	for bucket := first; bucket <= last; bucket += bucketsPerHour {
		usual += of.factor(of.slot(bucket), p) * bucketSeconds * float64(min(bucketsPerHour, last+1-bucket))
	}
	usual *= of.level() * of.share(p).mean()
	others := float64(p.company.ring.between(first, last+1).sum().negative - got.negative)
	mean := spillShare * math.Max(0, others-math.Max(0, usual-expected)-spillLeast)
	return extra{mean, p.clusters*mean + mean*mean}
}

// look is the evidence in a window: what was counted and what is usual.
type look struct {
	window
	got      count
	usual    float64 // items expected at the usual volume
	share    beta    // of count.weighed
	told     beta    // of those called negative, which people are shown
	shape    float64 // of the day's volume
	nearby   tally   // before the window, but within 2 h of its end: they tell of the volume too
	copies   float64 // usual, for each item
	spill    extra   // from other topics
	clusters float64 // variance over mean of a count of negatives
	started  int64   // first bucket with negatives
	rest     part    // of the window, without the half hours in which a text had many copies

	extra extra
	surge float64 // chance that today's volume is a surge's, by the items that are not negative
}

// part is what was counted in a part of a window, and the items expected in it.
type part struct {
	got   count
	usual float64
}

// tally is items that are not negative, in stories, and how many are usual.
type tally struct{ seen, usual float64 }

// twoHours is the position of that window.
const twoHours = 3

// looks is the evidence at now (Unix seconds) in each of the windows that end with a bucket, of
// counts that came after another: the window in which that lies is cut there, and the longer ones, which would
// say the same once more, have no weight.
func looks(r ring, b *baseline, p prior, last, after int64, now float64) (out [len(windows)]look) {
	of := look{share: b.weighedShare(p), told: b.share(p), shape: b.volumeShape(), copies: p.copies, clusters: p.clusters}
	level, at, bucket := b.level(), r.from(last+1)-1, last
	var half part // hour that is not over yet, back from the last bucket
	end := func() {
		if echoes(half.got, of.copies) < echoBurst {
			of.rest.got.plus(half.got)
			of.rest.usual += half.usual
		}
		half = part{}
	}
	for i, w := range windows {
		for ; bucket > max(last-w.seconds/bucketSeconds, after); bucket-- {
			if at >= 0 && r[at].bucket == bucket {
				of.got.plus(r[at])
				half.got.plus(r[at])
				if r[at].negative > 0 {
					of.started = bucket
				}
				at--
			}
			passed := math.Min(bucketSeconds, math.Max(0, now-float64(bucket*bucketSeconds)))
			usual := level * b.factor(b.slot(bucket), p) * passed
			of.usual, half.usual = of.usual+usual, half.usual+usual
			if (last-bucket)%bucketsPerChunk == bucketsPerChunk-1 {
				end()
			}
		}
		end() // a window of a quarter of an hour parts the first
		of.window = w
		if cut := after - (last - w.seconds/bucketSeconds); after > math.MinInt64 && cut > 0 {
			of.seconds -= min(cut, w.seconds/bucketSeconds) * bucketSeconds
			if i > 0 && after >= last-windows[i-1].seconds/bucketSeconds {
				of.window.last = 0
			}
		}
		if p.company != nil {
			of.spill = p.spill(of.got, of.usual*of.told.mean(), bucket+1, last)
		}
		out[i] = of
	}
	all := out[twoHours].others()
	for i := range twoHours {
		own := out[i].others()
		out[i].nearby = tally{nearbyWorth * (all.seen - own.seen), nearbyWorth * (all.usual - own.usual)}
	}
	return out
}

// with is the same where so many are called negative, and as many others.
func (l look) with(negative int) look {
	more := negative - l.got.negative
	l.got.items, l.got.negative = l.got.items+more, negative
	more = max(more, -l.rest.got.negative)
	l.rest.got.items, l.rest.got.negative = l.rest.got.items+more, l.rest.got.negative+more
	return l
}

// weigh looks for what is no news of the series' own: copies with changed words, what other topics
// spill over, and a surge of volume in place of a usual day's.
func (l *look) weigh() {
	l.extra = echo(l.got, l.copies).plus(l.spill)
	if of := l.others(); of.usual > 0 && of.seen > of.usual {
		day := logNegBin(of.seen, of.usual, of.usual+of.usual*of.usual/l.shape)
		mean := surgeMean * of.usual
		surging := logNegBin(of.seen, mean, mean+mean*mean/surgeShape)
		l.surge = surgeChance / (surgeChance + (1-surgeChance)*math.Exp(day-surging))
	}
}

// others is what is not negative in the window.
func (l *look) others() tally {
	return tally{(float64(l.got.items) - l.got.weighed()) / storyFactor, l.usual * (1 - l.share.mean()) / storyFactor}
}

// volume is what one may think of today's before it is seen: a Gamma distribution around a mean, in
// times of the usual.
type volume struct {
	shape, mean float64
	nearby      tally // that are of the same volume
}

// day is a usual day's volume, which lasts for hours; a surge may have begun with the window.
func (l *look) day() volume { return volume{l.shape, 1, l.nearby} }

var surge = volume{shape: surgeShape, mean: surgeMean}

// negatives is the mean and variance of the negatives that a volume leads one to expect, and the
// factor on the usual that goes with it.
func (l *look) negatives(of volume, multiple float64) (expected, variance, factor float64) {
	others := l.others()
	seen := of.shape + others.seen + of.nearby.seen
	factor = math.Max(lowVolume, seen/(of.shape/of.mean+others.usual+of.nearby.usual))
	expected = l.usual * l.share.mean() * factor * multiple
	variance = spread(l.clusters, expected, seen, l.share)
	return expected + l.extra.mean, variance + l.extra.variance + echoFloor*l.extra.mean, factor
}

// echoFloor keeps the variance of what is not the series' own above its mean.
const echoFloor = 1.05

// density is log P(negatives) if there are so many times the usual.
func (l *look) density(multiple float64) float64 {
	one := func(of volume) float64 {
		expected, variance, _ := l.negatives(of, multiple)
		return logNegBin(l.got.weighed(), expected, variance)
	}
	day := one(l.day())
	if l.surge < 1e-6 {
		return day
	}
	surging := one(surge)
	high := math.Max(day, surging)
	return high + math.Log((1-l.surge)*math.Exp(day-high)+l.surge*math.Exp(surging-high))
}

// odds is how many times likelier the count is in a spike than by chance, over the sizes that
// a spike may have, and by how seldom such windows are looked at and spikes last so long. Fewer
// than minNegative negatives, and a count within what is expected, have none. What many copies of a
// text explain is not known well, and hides a spike of hours in which one text is copied by many: so
// the rest of the window is asked, too.
func (l *look) odds(minNegative int) float64 {
	all := l.oddsOfAll(minNegative)
	if l.rest.got == l.got { // a half hour that is left out has copies
		return all
	}
	rest := *l
	rest.got, rest.usual = l.rest.got, l.rest.usual
	return (1-echoHalf)*all + echoHalf*rest.oddsOfAll(minNegative)
}

func (l *look) oddsOfAll(minNegative int) float64 {
	if l.got.negative < minNegative {
		return 0
	}
	l.weigh()
	expected, _, _ := l.negatives(l.day(), 1)
	if l.got.weighed() <= expected {
		return 0
	}
	chance, odds := l.density(1), 0.0
	for _, multiple := range multiples {
		odds += math.Exp(math.Min(600, l.density(1+recognised*(multiple-1))-chance)) / float64(len(multiples))
	}
	large := math.Min(largeMost, math.Max(1, (l.got.weighed()-expected)/largeFrom))
	return odds * large * l.last * float64(l.seconds) / halfDay
}

// surpriseOf puts odds on the scale of surprises; there is none below 0.
func surpriseOf(odds float64) float64 { return math.Max(0, oddsScale+math.Log10(odds)) }

// expected is what people are shown: the negatives to expect at today's volume, the factor
// on the volume, and the chance of as many negatives as were counted, or more.
func (l *look) expected() (expected, factor, chance float64) {
	called := *l
	called.share, called.got.leaning = l.told, 0
	one := func(of volume) (expected, factor, chance float64) {
		expected, variance, factor := called.negatives(of, 1)
		return expected, factor, negBinTail(float64(l.got.negative), expected, expected*expected/(variance-expected))
	}
	expected, factor, chance = one(l.day())
	e, f, c := one(surge)
	mix := func(day, surge float64) float64 { return (1-l.surge)*day + l.surge*surge }
	return mix(expected, e), mix(factor, f), math.Max(mix(chance, c), smallestP)
}
