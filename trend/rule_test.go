package trend

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend/market"
)

// noon is that of a Monday, in UTC.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// usual is a baseline that has seen so many items a day at that share for four weeks.
func usual(perDay, share float64) baseline {
	end := bucketOf(noon) / bucketsPerChunk
	b := newBaseline((end-28*48)*bucketsPerChunk, noon.AddDate(0, 0, -28))
	for b.next < end-guardSeconds/chunkSeconds {
		b.learnChunk(b.next, perDay/48, perDay/48*share, perDay/48*leaningUsual, noPrior())
		b.pass(1)
	}
	return b
}

// ago is a ring of counts by their age in minutes before noon.
func ago(counts map[int]count) ring {
	var r ring
	for minutes, c := range counts {
		c.bucket = bucketOf(noon.Add(-time.Duration(minutes) * time.Minute))
		r = r.add(c)
	}
	return r
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name   string
		base   baseline
		ring   ring
		spikes bool
		window time.Duration
	}{
		{"nothing came", usual(24, .2), nil, false, 0},
		{"two negatives are too few", usual(24, .2), ago(map[int]count{5: {items: 2, negative: 2}}), false, 0},
		{"eight in half an hour", usual(24, .2), ago(map[int]count{5: {items: 4, negative: 4}, 20: {items: 5, negative: 4}}), true, 2 * time.Hour},
		{"a usual day of a busy series", usual(4800, .2), ago(map[int]count{5: {items: 17, negative: 3}, 10: {items: 17, negative: 4}}), false, 0},
		{"four times the volume, the same mood", usual(480, .2), ago(map[int]count{5: {items: 40, negative: 8}, 10: {items: 40, negative: 8}}), false, 0},
		{"the same volume, all of it negative", usual(480, .2), ago(map[int]count{5: {items: 10, negative: 10}, 10: {items: 10, negative: 10}}), true, 15 * time.Minute},
		{"ten, but spread over the day as usual", usual(48, .2), ago(map[int]count{60: {items: 3, negative: 1}, 240: {items: 4, negative: 2}, 600: {items: 5, negative: 1}}), false, 0},
		{"older than the longest window", usual(24, .2), ago(map[int]count{13 * 60: {items: 9, negative: 9}}), false, 0},
	} {
		v := judge(c.ring, &c.base, noPrior(), unixSeconds(noon), 3)
		if got := v.surprise >= 2.8; got != c.spikes {
			t.Errorf("%s: surprise %.2f (%+v)", c.name, v.surprise, v)
		}
		if c.spikes && v.window != c.window {
			t.Errorf("%s: window %s, want %s", c.name, v.window, c.window)
		}
	}
}

// One story on many sites brings rewritten copies that pass for items of their own; as many
// separate stories with the usual copies are a burst.
func TestManyCopiesOfOneTextAreNoBurst(t *testing.T) {
	b := usual(24, .2)
	surprise := func(echoes int) float64 {
		r := ago(map[int]count{5: {items: 6, negative: 6, copies: echoes, echoes: echoes}})
		return judge(r, &b, noPrior(), unixSeconds(noon), 3).surprise
	}
	if none, usual, many := surprise(0), surprise(3), surprise(24); none < 2.4 || usual != none || many > 2 {
		t.Errorf("surprise %.2f without copies, %.2f with 3, %.2f with 24: want a burst only with few", none, usual, many)
	}
}

// A surge of volume brings more negatives too, and is none.
func TestASurgeIsNoSpike(t *testing.T) {
	b := usual(480, .2)
	surge := ago(map[int]count{5: {items: 40, negative: 11}, 10: {items: 40, negative: 11}})
	if v := judge(surge, &b, noPrior(), unixSeconds(noon), 3); v.surprise > 2 {
		t.Errorf("eight times the volume, slightly more negative: surprise %.2f", v.surprise)
	}
}

// Where another topic of the company is in a spike, some of it is filed here by mistake; as
// many negatives here without it are a spike of this topic's own.
func TestNewsOfAnotherTopicSpillsOver(t *testing.T) {
	here := map[int]count{5: {items: 3, negative: 3}, 10: {items: 2, negative: 2}}
	surprise := func(others count) float64 {
		all := ago(here).add(count{bucket: bucketOf(noon), items: others.items, negative: others.negative})
		b, p := usual(24, .2), noPrior()
		p.company = &series{ring: all, base: usual(480, .2)}
		return judge(ago(here), &b, p, unixSeconds(noon), 3).surprise
	}
	quiet, busy, spike := surprise(count{items: 5, negative: 1}), surprise(count{items: 60, negative: 4}), surprise(count{items: 110, negative: 100})
	if quiet < 1.8 || busy != quiet || spike > quiet-1 {
		t.Errorf("surprise %.2f with quiet other topics, %.2f with busy ones, %.2f with one in a spike", quiet, busy, spike)
	}
}

// What is left of a told spike in the longer windows does not make another; new negatives do.
func TestATailIsNoSpike(t *testing.T) {
	b := usual(24, .2)
	b.fire(4, noon.Add(-3*time.Hour), noon.Add(-2*time.Hour))
	left := map[int]count{185: {items: 9, negative: 9}, 10: {items: 1, negative: 1}}
	if v := judge(ago(left), &b, noPrior(), unixSeconds(noon), 3); v.surprise != 0 {
		t.Errorf("the tail is judged: %+v", v)
	}
	left[5] = count{items: 8, negative: 8}
	v := judge(ago(left), &b, noPrior(), unixSeconds(noon), 3)
	if v.surprise < 2.8 || v.got.negative != 9 || v.window > 3*time.Hour {
		t.Errorf("new negatives are not found, or in a window that has more: %+v", v)
	}
	// What the longer windows leave out says no more by being left out of many.
	fresh := usual(24, .2)
	if alone := judge(ago(map[int]count{10: left[10], 5: left[5]}), &fresh, noPrior(), unixSeconds(noon), 3); v.surprise > alone.surprise+.1 {
		t.Errorf("a surprise of %.2f after another spike, of %.2f without", v.surprise, alone.surprise)
	}
	b.fire(4, noon.Add(-2*time.Hour), noon.Add(10*time.Hour)) // still open: all of it counts
	if v := judge(ago(left), &b, noPrior(), unixSeconds(noon), 3); v.got.negative < 9 {
		t.Errorf("an open spike has lost its evidence: %+v", v)
	}
}

// A spike that was told goes on by what is new: enough of it, or late news of what was told.
func TestWhatGoesOn(t *testing.T) {
	const limit = 2.2
	told := map[int]count{185: {items: 9, negative: 9}}
	tests := []struct {
		name string
		more map[int]count
		want bool
	}{
		{"nothing since", nil, false},
		{"a negative since", map[int]count{10: {items: 2, negative: 1}}, false},
		{"another burst", map[int]count{10: {items: 9, negative: 8}}, true},
		{"more of the first, read late", map[int]count{190: {items: 9, negative: 9}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := series{base: usual(24, .2), ring: ago(told)}
			first, _, _ := s.assess(noPrior(), never, noon.Add(-3*time.Hour), 3)
			if !first.exceeds(limit) {
				t.Fatalf("no spike: %+v", first)
			}
			s.base.fire(first.surprise, noon.Add(-3*time.Hour), noon.Add(9*time.Hour))
			for _, c := range ago(tt.more) {
				s.ring = s.ring.add(c)
			}
			if v, _, _ := s.assess(noPrior(), never, noon, 3); v.surprise < limit || v.exceeds(limit) != tt.want {
				t.Errorf("goes on: %v, want %v; surprise %.2f after %.2f, %.2f of what is new", v.exceeds(limit), tt.want, v.surprise, first.surprise, v.news)
			}
		})
	}
}

// What was told of a spike that is over is no part of the next one, also once that is open and for as long as it lasts.
func TestASecondSpikeStandsAlone(t *testing.T) {
	s := series{base: usual(24, .2), ring: ago(map[int]count{485: {items: 25, negative: 25}, 10: {items: 6, negative: 6}})}
	s.base.fire(9, noon.Add(-8*time.Hour), noon.Add(-3*time.Hour))
	second, _, _ := s.assess(noPrior(), never, noon, 3)
	s.base.fire(second.surprise, noon, noon.Add(time.Hour))
	known, err := decodeBase(s.base.encode(), news.SpikeNegative)
	if err != nil {
		t.Fatal(err)
	}
	s.base = known
	s.ring = s.ring.add(count{bucket: bucketOf(noon), items: 3, negative: 3})
	grown, _, _ := s.assess(noPrior(), never, noon.Add(time.Minute), 3)
	if second.got.negative != 6 || grown.got.negative != 9 || !grown.exceeds(2.2) {
		t.Errorf("%d negatives, then %d, want 6 and 9 of the second alone; goes on: %v", second.got.negative, grown.got.negative, grown.exceeds(2.2))
	}
}

// However surprising, a spike ends where nothing is new.
func TestTheLargestSpikeEnds(t *testing.T) {
	s := series{base: usual(24, .2), ring: ago(map[int]count{185: {items: 400, negative: 400}})}
	v, _, _ := s.assess(noPrior(), never, noon.Add(-3*time.Hour), 3)
	s.base.fire(v.surprise, noon.Add(-3*time.Hour), noon.Add(9*time.Hour))
	s.ring = s.ring.add(count{bucket: bucketOf(noon), items: 1, negative: 1})
	if v, _, _ := s.assess(noPrior(), never, noon, 3); v.surprise <= mostTold || v.exceeds(2.2) {
		t.Errorf("a surprise of %.1f goes on by one negative", v.surprise)
	}
}

// A burst the day after a longer one is told, though the windows of half a day keep the first for as long after its end.
func TestABurstOfTheNextDayIsTold(t *testing.T) {
	r := NewReplay(Rule{Surprise: 2.2})
	of := news.Series{Entity: "BA"}
	var told []time.Time
	put := func(at time.Time, negative bool) {
		if _, opens := r.Add(Event{Series: of, Arrival: at, At: at, Negative: negative}); opens {
			told = append(told, at)
		}
	}
	second := noon.Add(20 * time.Hour)
	for at := noon.AddDate(0, 0, -6); at.Before(noon.Add(24 * time.Hour)); at = at.Add(10 * time.Minute) {
		put(at, at.Unix()%7 == 0)
		for range 4 {
			if since := at.Sub(noon); since >= 0 && since < 4*time.Hour || at.Sub(second).Abs() < 30*time.Minute {
				put(at, true)
			}
		}
	}
	if len(told) != 2 || told[0].Sub(noon) > time.Hour || told[1].Sub(second).Abs() > 30*time.Minute {
		t.Errorf("told at %v, want at %v and %v", told, noon, second)
	}
}

// The numbers that people are shown.
func TestVerdictExplainsItself(t *testing.T) {
	b := usual(24, .2)
	v := judge(ago(map[int]count{5: {items: 5, negative: 4, copies: 7}, 20: {items: 5, negative: 4}}), &b, noPrior(), unixSeconds(noon), 3)
	if v.got.items != 10 || v.got.negative != 8 || v.got.copies != 7 {
		t.Errorf("window holds %+v", v.got)
	}
	if math.Abs(v.share-.2) > .02 {
		t.Errorf("usual share %.3f, want .2", v.share)
	}
	if v.started != bucketOf(noon.Add(-20*time.Minute)) {
		t.Errorf("started at %s", startOf(v.started))
	}
	if v.window != 2*time.Hour {
		t.Errorf("window %s", v.window)
	}
	// 24 a day give 2 in two hours, a fifth of that negative, at today's volume.
	if want := 2 * .2 * v.volume; math.Abs(v.expected-want) > .3*want {
		t.Errorf("expected %.3f, want about %.3f", v.expected, want)
	}
	if half := -math.Log10(v.p * 6); v.p <= 0 || math.Abs(v.surprise-half) > 1 {
		t.Errorf("surprise %.2f, and the chance of a window in half a day is 10^-%.2f: want them near", v.surprise, half)
	}
}

func TestSlotIsTheHourOfTheWeek(t *testing.T) {
	for at, want := range map[string]int{
		"2026-03-02T00:00:00Z": 0, "2026-03-06T23:59:00Z": 23,
		"2026-03-07T00:00:00Z": 24, "2026-03-08T13:00:00Z": 37,
		"1970-01-01T05:00:00Z": 5, "1969-12-28T05:00:00Z": 29,
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := slot(bucketOf(when)); got != want {
			t.Errorf("%s: slot %d, want %d", at, got, want)
		}
	}
}

func never(int64) bool { return false }

// steady is a ring with so many items in every chunk of some days before noon.
func steady(days, items int) ring {
	var r ring
	for chunk := bucketOf(noon)/bucketsPerChunk - int64(days)*48; chunk < bucketOf(noon)/bucketsPerChunk; chunk++ {
		r = r.add(count{bucket: chunk * bucketsPerChunk, items: items, negative: items / 5})
	}
	return r
}

func TestLearnStopsAtTheGuard(t *testing.T) {
	b := newBaseline(bucketOf(noon.AddDate(0, 0, -10)), noon)
	if !b.learn(steady(10, 10), unixSeconds(noon), noPrior(), never) {
		t.Fatal("learnt nothing")
	}
	if want := noon.Add(-12 * time.Hour); !startOf(b.next * bucketsPerChunk).Equal(want) {
		t.Errorf("learnt up to %s, want %s", startOf(b.next*bucketsPerChunk), want)
	}
	if perDay := b.level() * 86400; perDay < 400 || perDay > 480 {
		t.Errorf("level %.0f a day, want 480 or, as the first chunks of a new series count in part, somewhat less", perDay)
	}
	if b.learn(steady(10, 10), unixSeconds(noon), noPrior(), never) {
		t.Error("learnt the same time twice")
	}
	// A baseline left alone for a year does not take a year's steps.
	b.next -= 365 * 48
	b.learn(nil, unixSeconds(noon), noPrior(), never)
}

func TestABurstIsLearntOnlyInPart(t *testing.T) {
	b, before := usual(48, .2), usual(48, .2)
	b.learnChunk(b.next, 1000, 1000, 0, noPrior())
	if got := b.items - before.items; got > 20 {
		t.Errorf("a burst of 1000 in a chunk that expects 1 added %.0f", got)
	}
	if got, was := b.share(noPrior()).mean(), before.share(noPrior()).mean(); got > was+.1 {
		t.Errorf("share went from %.2f to %.2f by one burst", was, got)
	}
}

func TestOutageIsNotLearnt(t *testing.T) {
	all := series{base: usual(4800, .2), ring: steady(3, 100)}
	gap := bucketOf(noon.Add(-20*time.Hour)) / bucketsPerChunk
	for i := range all.ring {
		if all.ring[i].bucket == gap*bucketsPerChunk {
			all.ring[i].items = 5
		}
	}
	if all.failed(gap) != someFailed || all.failed(gap+1) != noTrouble {
		t.Errorf("outage in the gap %d, after it %d", all.failed(gap), all.failed(gap+1))
	}
	one := newBaseline(gap*bucketsPerChunk, noon)
	one.learn(nil, unixSeconds(noon), noPrior(), func(chunk int64) bool { return chunk == gap })
	full := newBaseline(gap*bucketsPerChunk, noon)
	full.learn(nil, unixSeconds(noon), noPrior(), never)
	if math.Abs(full.exposure-one.exposure-chunkSeconds) > .1*chunkSeconds {
		t.Errorf("exposure %.0f with the outage left out, %.0f with it", one.exposure, full.exposure)
	}
}

// Feeds that bring a third of the usual for hours have failed; a short lull is none, nor is a low hour of a
// weekend that was never seen.
func TestMostOfTheFeedsFailed(t *testing.T) {
	all := series{base: usual(4800, .2), ring: steady(3, 100)}
	at := func(ago time.Duration) int64 { return bucketOf(noon.Add(-ago)) / bucketsPerChunk }
	for i := range all.ring {
		switch c := all.ring[i].bucket / bucketsPerChunk; {
		case c >= at(40*time.Hour) && c < at(20*time.Hour), c == at(50*time.Hour):
			all.ring[i].items = 33
		}
	}
	for chunk, want := range map[int64]trouble{at(30 * time.Hour): someFailed, at(36 * time.Hour): someFailed, at(19 * time.Hour): noTrouble,
		at(42 * time.Hour): noTrouble, at(50 * time.Hour): noTrouble} {
		if got := all.failed(chunk); got != want {
			t.Errorf("%s: %d, want %d", startOf(chunk*bucketsPerChunk), got, want)
		}
	}
	all.base.hour[all.base.slot(at(30*time.Hour)*bucketsPerChunk)].expected = 0
	if got := all.failed(at(30 * time.Hour)); got != noTrouble {
		t.Errorf("%d in an hour of the week that was never seen", got)
	}
}

// Everything remembers of 64 chunks whether feeds failed, and of the last long outage; of what lasts longer than
// longestOutage it says so no more, unless nothing came at all.
func TestEverythingRemembersOutages(t *testing.T) {
	b := newBaseline(0, noon)
	tell := func(n int, feeds trouble) (failed int) {
		for range n {
			b.pass(1)
			if b.note(b.next-1, feeds) {
				failed++
			}
		}
		return failed
	}
	tell(10, noTrouble)
	if tell(3, someFailed) != 3 || tell(5, noTrouble) != 0 {
		t.Error("what is noted is not what is learnt by")
	}
	for chunk := range b.next {
		if want := chunk >= 10 && chunk < 13; b.outage(chunk) != want {
			t.Errorf("chunk %d: %t", chunk, b.outage(chunk))
		}
	}
	tell(longOutage, someFailed)
	tell(100, noTrouble)
	if b.outage(11) || b.outage(17) || !b.outage(18) || !b.outage(17+longOutage) || b.outage(18+longOutage) || b.outage(b.next) {
		t.Errorf("of %d chunks, the outage of a day is chunks %d to %d", b.next, b.lost, b.lostTo)
	}
	b.down = 0
	if n := tell(2*longestOutage, someFailed); n != longestOutage {
		t.Errorf("%d chunks of an outage without end are left out, want %d", n, longestOutage)
	}
	if n := tell(100, allSilent); n != 100 {
		t.Errorf("%d of 100 silent chunks after it are left out", n)
	}
}

// A series without news for a day in which it usually has twenty items has lost its feeds; one whose news is as
// rare as that, or which never had any at such hours, has not.
func TestSilenceIsNotLearnt(t *testing.T) {
	silent := func(b baseline, days int) float64 {
		end := startOf(b.next*bucketsPerChunk).AddDate(0, 0, days)
		before := b.level()
		b.learn(ring{{bucket: bucketOf(end), items: 1}}, unixSeconds(end.Add(13*time.Hour)), noPrior(), never)
		return b.level() / before
	}
	weekdays := usual(480, .2)
	for h := range weekdays.hour[24:] {
		weekdays.hour[24+h].items, weekdays.hour[24+h].expected = 0, 0
	}
	for name, c := range map[string]struct {
		of          baseline
		days        int
		least, most float64
	}{
		"four days of a busy series":   {usual(480, .2), 4, .99, 1.01},
		"half a day":                   {usual(480, .2), 0, .8, 1.01},
		"three weeks of a busy series": {usual(480, .2), 21, .1, .2},
		"four days of a quiet series":  {usual(3, .2), 4, .5, .7},
	} {
		if got := silent(c.of, c.days); got < c.least || got > c.most {
			t.Errorf("%s leave %.2f of the level, want %.2f to %.2f", name, got, c.least, c.most)
		}
	}
	saturday := time.Date(2026, 3, 7, 0, 0, 0, 0, time.UTC)
	weekdays.next = bucketOf(saturday) / bucketsPerChunk
	weekdays.learn(ring{{bucket: bucketOf(saturday.AddDate(0, 0, 2)), items: 1}}, unixSeconds(saturday.AddDate(0, 0, 2).Add(13*time.Hour)), noPrior(), never)
	if f := weekdays.factor(30, noPrior()); f > .5 {
		t.Errorf("the first weekend without news is not learnt: %.2f of the level is usual", f)
	}
}

// A spike stays out of the baseline, but one that lasts over a day becomes the usual.
func TestFreeze(t *testing.T) {
	b := newBaseline(bucketOf(noon.Add(-12*time.Hour)), noon)
	if !b.freeze(unixSeconds(noon.Add(-time.Hour)), unixSeconds(noon)) {
		t.Error("a first freeze is no news")
	}
	if b.freeze(unixSeconds(noon.Add(-time.Hour)), unixSeconds(noon)) {
		t.Error("the same freeze is news")
	}
	b.learn(steady(1, 50), unixSeconds(noon.Add(12*time.Hour+30*time.Minute)), noPrior(), never)
	if b.streak == 0 {
		t.Error("frozen chunks were learnt")
	}

	b = newBaseline(bucketOf(noon), noon)
	for hour := 1; hour <= 48; hour++ {
		now := noon.Add(time.Duration(hour) * time.Hour)
		b.learn(nil, unixSeconds(now), noPrior(), never)
		b.freeze(unixSeconds(now.Add(-time.Hour)), unixSeconds(now))
	}
	learnt := (b.exposure / 3600)
	if learnt < 10 || learnt > 14 { // 48 h, less 12 h of guard, less 24 h frozen
		t.Errorf("%.1f h learnt of 48 h of freezing, want 12", learnt)
	}
}

func TestEncodedFormsComeBack(t *testing.T) {
	b := usual(333, .37)
	b.freeze(unixSeconds(noon.Add(-time.Hour)), unixSeconds(noon))
	b.streak, b.openUntil, b.toldSurprise, b.fired, b.before = 7, -5, toldAs(4.3), bucketOf(noon), bucketOf(noon)-144
	b.leaning = 77.5
	got, err := decodeBase(b.encode(), news.SpikeNegative)
	if err != nil {
		t.Fatal(err)
	}
	if got.encode() != b.encode() || got.next != b.next || got.items != b.items || got.frozen != b.frozen || got.streak != 7 ||
		got.since != b.since || got.openUntil != -5 || got.leaning != 77.5 || got.toldSurprise != 4.375 || got.before != b.before {
		t.Errorf("%+v\nwant %+v", got, b)
	}
	for h, want := range b.hour {
		if got := got.hour[h]; math.Abs(got.items-want.items) > 1e-5*want.items || math.Abs(got.expected-want.expected) > 1e-5*want.expected {
			t.Errorf("hour %d: %+v, want %+v", h, got, want)
		}
	}
	// What everything remembers of outages follows, also behind the code of a market.
	for _, days := range []*market.Market{nil, exchange(t, "XNYS")} {
		all := b
		all.market, all.down, all.failing, all.lost, all.lostTo = days, 331, 1<<63|7, b.next-300, b.next-200
		known, err := decodeBase(all.encode(), news.SpikeNegative)
		if known.follow(days, all.encode()); err != nil || known.encode() != all.encode() || known.down != 331 ||
			known.failing != all.failing || known.lost != all.lost || known.lostTo != all.lostTo {
			t.Errorf("%+v (%v)\nwant %+v", known, err, all)
		}
	}
	b.toldSurprise, b.before = 0, 0                                                                           // older versions do not know them
	was, err := decodeBase(b.encode()+"XNYS\x1f\x01\x02\x03\x04\x00\x05\x06\x07\x08\x00", news.SpikeNegative) // as it was stored before
	if want := uint64(1<<31 - 1); err != nil || was.down != 31 || was.failing != want || was.lost != 0x04030201 || was.lostTo != 0x08070605 {
		t.Errorf("an outage as it was stored before: %d, %x, %x to %x (%v)", was.down, was.failing, was.lost, was.lostTo, err)
	}
	// Version 4 knew what leans to negative and took it that nothing leans to positive.
	fourth := "\x04" + b.encode()[1:baseSize-2]
	guess := math.Max(0, b.seen-b.negative) * leaningUsual / (1 - shareUsual)
	for kind, want := range map[news.SpikeKind]float64{news.SpikeNegative: 77.5, news.SpikePositive: guess, news.SpikeVolume: 0} {
		if was, err := decodeBase(fourth, kind); err != nil || was.leaning != want || was.items != b.items {
			t.Errorf("a %s baseline of version 4 has %v items that lean (%v), want %v", kind, was.leaning, err, want)
		}
	}
	if was, err := decodeBase("\x05"+b.encode()[1:baseSize-2]+"XNYS", news.SpikeNegative); err != nil || was.encode() != b.encode() {
		t.Errorf("a baseline of version 5 reads %+v (%v), want %+v", was, err, b)
	}
	// What older versions stored is read; of what leans they knew nothing.
	b.leaning = guess
	third := "\x03" + b.encode()[1:baseSize-5]
	for _, market := range []string{"", "XNYS"} {
		if was, err := decodeBase(third+market, news.SpikeNegative); err != nil || was.encode() != b.encode() {
			t.Errorf("a baseline of version 3 reads %+v (%v), want %+v", was, err, b)
		}
	}
	old := []byte{2}
	for _, x := range [...]int64{b.next, b.since, b.episodeUntil, b.fired, b.openUntil} {
		old = binary.LittleEndian.AppendUint64(old, uint64(x))
	}
	old = append(old, b.encode()[1+5*5:baseSize-5-hoursOfWeek*2*3]...)
	for _, h := range b.hour {
		old = binary.LittleEndian.AppendUint32(old, math.Float32bits(float32(h.items)))
		old = binary.LittleEndian.AppendUint32(old, math.Float32bits(float32(h.expected)))
	}
	if was, err := decodeBase(string(old)+"XNYS", news.SpikeNegative); err != nil || was.encode() != b.encode() {
		t.Errorf("a baseline of version 2 reads %+v (%v), want %+v", was, err, b)
	}
	for _, bad := range []string{"x", b.encode()[1:], "\x07" + b.encode()[1:]} {
		if _, err := decodeBase(bad, news.SpikeNegative); err == nil {
			t.Errorf("a baseline of %d bytes is taken", len(bad))
		}
	}
}

// However short the history, the counts that tell whether feeds failed in the half hour that is learnt
// next are there: a memory that drops them takes a usual day for an outage.
func TestShortHistoryIsNoOutage(t *testing.T) {
	b := usual(960, .2)
	s := series{base: b}
	for chunk := b.next - 2*outageAround; chunk < bucketOf(noon)/bucketsPerChunk; chunk++ {
		s.ring = s.ring.add(count{bucket: chunk * bucketsPerChunk, items: 14}) // a lull: .7 of the usual
	}
	s.forget(noon, 12*time.Hour)
	if got := s.failed(b.next); got != noTrouble {
		t.Errorf("with 12 h of history a lull is trouble %d", got)
	}
}
