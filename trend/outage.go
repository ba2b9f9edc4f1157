package trend

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// A baseline does not learn of half hours in which feeds failed, for else it would think less of a
// series than it is, and take its feeds' return for news. That feeds failed is seen in two ways:
// everything brings too little of its usual, for all series; or a series that is never so long
// without news has none for a day. What lasts longer than longestOutage is no outage: it is the usual now, unless
// nothing comes at all.
const (
	outageShare    = 0.15                 // of the usual items over all series: half an hour with less is an outage
	outagePart     = 0.4                  // of the usual: so is one with less in the hours around it
	outageAround   = 12                   // chunks, half of them before it: these hours
	outageExposure = 86400.0              // seconds of learnt time before an outage can be told
	longOutage     = 86400 / chunkSeconds // chunks in a row without news from which an outage is remembered: it is as long as counts are kept
	longestOutage  = 7 * longOutage       // chunks that are taken for an outage; half hours without one pay them back
	silentItems    = 20.0                 // are usual at least, where too few or none say that feeds failed
)

// usual is how many items a chunk leads one to expect, by a slot of the week.
func (b *baseline) usual(slot int, p prior) float64 {
	return b.level() * b.factor(slot, p) * chunkSeconds
}

// trouble is what a chunk of everything says of the feeds.
type trouble int

const (
	noTrouble  trouble = iota
	someFailed         // it brought too little
	allSilent          // there was nothing at all in the hours around it
)

// failed tells whether a chunk of everything brought so little that feeds must have failed. It is asked when the
// chunk is learnt, for then all counts around it are there. An hour of the week that was never learnt is compared
// with that of the other kind of day, and only by itself: the first weekend is no outage.
func (s *series) failed(chunk int64) trouble {
	b, p := &s.base, noPrior()
	if b.exposure < outageExposure {
		return noTrouble
	}
	items := func(chunk int64) float64 {
		return float64(s.ring.between(chunk*bucketsPerChunk, (chunk+1)*bucketsPerChunk).sum().items)
	}
	less := func(items, share, usual float64) bool { return usual >= silentItems && items < share*usual }
	slot := b.slot(chunk * bucketsPerChunk)
	known := b.hour[slot].expected > 0
	if !known {
		slot = (slot + hoursOfWeek/2) % hoursOfWeek
	}
	all, got, usual := 0.0, 0.0, 0.0
	for c := chunk - outageAround/2; c < chunk+outageAround/2; c++ {
		some := items(c)
		all += some
		if slot := b.slot(c * bucketsPerChunk); b.hour[slot].expected > 0 {
			got, usual = got+some, usual+b.usual(slot, p)
		}
	}
	switch {
	case !less(items(chunk), outageShare, b.usual(slot, p)) && !(known && less(got, outagePart, usual)):
		return noTrouble
	case all == 0:
		return allSilent
	}
	return someFailed
}

// needed is the first bucket of which the counts are still asked for: the hours before what is learnt next tell
// whether feeds failed then.
func (b *baseline) needed() int64 { return (b.next - outageAround/2) * bucketsPerChunk }

// noting is what everything learns by: it remembers of each chunk whether feeds failed.
func (s *series) noting() func(chunk int64) bool {
	return func(chunk int64) bool { return s.base.note(chunk, s.failed(chunk)) }
}

// note remembers, as everything, whether feeds failed in a chunk, the last before next, and gives
// what is made of it. Series that learn later ask for it.
func (b *baseline) note(chunk int64, feeds trouble) bool {
	switch {
	case feeds == noTrouble:
		b.down = max(0, b.down-1)
		return false
	case feeds == someFailed && b.down == longestOutage:
		return false
	case feeds == someFailed:
		b.down++
	}
	b.failing |= 1
	if bits.TrailingZeros64(^b.failing) >= longOutage {
		if chunk != b.lostTo {
			b.lost = chunk + 1 - longOutage
		}
		b.lostTo = chunk + 1
	}
	return true
}

// outage tells whether everything has noted that feeds failed in a chunk. Of chunks older than the
// last 64 it knows the last long outage.
func (b *baseline) outage(chunk int64) bool {
	if chunk >= b.lost && chunk < b.lostTo {
		return true
	}
	age := b.next - 1 - chunk
	return age >= 0 && age < 64 && b.failing>>uint(age)&1 != 0
}

// silence is a stretch of a series' chunks without news.
type silence struct {
	end    int64 // the first chunk after it
	failed int64 // the chunks before this one are taken for an outage
}

// silenceFrom is what begins with a chunk without news and is seen at a time (Unix seconds) to last. The
// hours that the series knows say whether that is unusual; others do not.
func (b *baseline) silenceFrom(r ring, chunk int64, now float64, p prior) silence {
	end := int64(math.Floor(now / chunkSeconds))
	if i := r.from(chunk * bucketsPerChunk); i < len(r) {
		end = min(end, floorDiv(r[i].bucket, bucketsPerChunk))
	}
	s := silence{end: end, failed: chunk}
	if end-chunk < longOutage {
		return s
	}
	usual := 0.0
	for c := chunk; c < min(end, chunk+longestOutage); c++ {
		if slot := b.slot(c * bucketsPerChunk); b.hour[slot].expected > 0 {
			usual += b.usual(slot, p)
		}
	}
	if usual >= silentItems {
		s.failed = min(end, chunk+longestOutage)
	}
	return s
}

// outageSize is the size of what a stored baseline says of outages; earlier versions had shortOutageSize.
const (
	outageSize      = 2 + 8 + 2*5
	shortOutageSize = 1 + 2*5
)

// appendOutage packs what everything remembers of outages, if there were any.
func (b *baseline) appendOutage(out []byte) []byte {
	if b.down == 0 && b.failing == 0 && b.lostTo == 0 {
		return out
	}
	out = binary.LittleEndian.AppendUint16(out, uint16(b.down))
	out = binary.LittleEndian.AppendUint64(out, b.failing)
	return appendTime(appendTime(out, b.lost), b.lostTo)
}

// readOutage is what appendOutage has packed, or an earlier version: the chunks in a row in which feeds
// failed, up to next.
func (b *baseline) readOutage(in []byte) {
	switch len(in) {
	case shortOutageSize:
		b.down, b.failing = int(in[0]), 1<<in[0]-1
		in = in[1:]
	case outageSize:
		b.down, b.failing = int(binary.LittleEndian.Uint16(in)), binary.LittleEndian.Uint64(in[2:])
		in = in[2+8:]
	default:
		return
	}
	b.lost, b.lostTo = readTime(in), readTime(in[5:])
}
