package trend

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/barograph/barograph/news"
)

// A ring is stored as text, at whose end a script counts without reading it:
//
//	LEARNT;BUCKET:ITEMS,NEGATIVE,COPIES,ECHOES,LEANING;BUCKET:...;
//
// LEARNT is the first bucket that the baseline has not learnt yet. Zeros may be left out: "7:1;" is
// an item in bucket 7. A bucket stands there as often as it was counted in, until the learn script
// adds its entries up.

// packed is a series' ring as it was read.
type packed struct {
	ring
	learnt  int64
	entries int // of which the ring was added up
}

func parseRing(text string) (p packed, err error) {
	bad := func(part string) (packed, error) {
		return packed{}, fmt.Errorf("counts %.60q: cannot read %q", text, part)
	}
	head, rest, ok := strings.Cut(text, ";")
	if p.learnt, err = strconv.ParseInt(head, 10, 64); err != nil || !ok {
		return bad(head)
	}
	p.ring = make(ring, 0, strings.Count(rest, ";"))
	sorted := true
	for rest != "" {
		part, after, whole := strings.Cut(rest, ";")
		c, ok := parseCount(part)
		if !ok || !whole {
			return bad(part)
		}
		rest = after
		p.entries++
		last := len(p.ring) - 1
		if last >= 0 && p.ring[last].bucket == c.bucket {
			p.ring[last].plus(c)
			continue
		}
		sorted = sorted && (last < 0 || p.ring[last].bucket < c.bucket)
		p.ring = append(p.ring, c)
	}
	if !sorted {
		p.ring = p.ring.addUp()
	}
	return p, nil
}

// addUp sorts a ring and adds up what is of one bucket.
func (r ring) addUp() ring {
	slices.SortFunc(r, func(a, b count) int { return cmp.Compare(a.bucket, b.bucket) })
	last := 0
	for _, c := range r[min(1, len(r)):] {
		if r[last].bucket == c.bucket {
			r[last].plus(c)
			continue
		}
		last++
		r[last] = c
	}
	return r[:min(last+1, len(r))]
}

// parseCount reads an entry without its semicolon.
func parseCount(part string) (c count, ok bool) {
	bucket, numbers, ok := strings.Cut(part, ":")
	if !ok {
		return c, false
	}
	var err error
	if c.bucket, err = strconv.ParseInt(bucket, 10, 64); err != nil {
		return c, false
	}
	for _, to := range [...]*int{&c.items, &c.negative, &c.copies, &c.echoes, &c.leaning} {
		var number string
		number, numbers, ok = strings.Cut(numbers, ",")
		if number != "" {
			if *to, err = strconv.Atoi(number); err != nil {
				return c, false
			}
		}
		if !ok {
			return c, true
		}
	}
	return c, false // more numbers than there are
}

// baseVersion is the first byte of a stored baseline. Version 5 is read too, which does not know how surprising the
// spike was that was told, nor of one before it. So is version 4: of what leans to positive it says that nothing does. Version 3 knows nothing of what leans. So is version 2, whose times take eight bytes, and its profile
// four bytes a number.
const baseVersion = 6

// baseSize is the size of a stored baseline, in bytes. The code of a market may follow, and of everything,
// where feeds have failed, outageSize bytes about that (outage.go). The
// profile is most of it. Redis takes memory in steps: up to 379 bytes are one of 384, more one of 448.
const baseSize = 1 + 5*5 + 6*8 + 8 + 1 + hoursOfWeek*2*3 + 3 + 2

// sizeOfBase is the size of a stored baseline without the code of a market; 0 = it cannot be read.
func sizeOfBase(stored string) int {
	size := baseSize
	switch {
	case strings.HasPrefix(stored, "\x02"):
		size += 5*3 + hoursOfWeek*2 - 3 - 2
	case strings.HasPrefix(stored, "\x03"):
		size -= 3 + 2
	case strings.HasPrefix(stored, "\x04"), strings.HasPrefix(stored, "\x05"):
		size -= 2
	case stored == "" || stored[0] != baseVersion:
		return 0
	}
	if len(stored) < size {
		return 0
	}
	return size
}

// encode packs a baseline; the profile and what leans to negative are rounded to 17 binary digits.
func (b *baseline) encode() string {
	out := make([]byte, 0, baseSize)
	out = append(out, baseVersion)
	for _, x := range [...]int64{b.next, b.since, b.episodeUntil, b.fired, b.openUntil} {
		out = appendTime(out, x)
	}
	for _, x := range [...]float64{b.items, b.exposure, b.seen, b.negative, b.copies, b.peak} {
		out = binary.LittleEndian.AppendUint64(out, math.Float64bits(x))
	}
	out = binary.LittleEndian.AppendUint64(out, b.frozen)
	out = append(out, byte(b.streak))
	for _, h := range b.hour {
		out = appendShort(out, h.items)
		out = appendShort(out, h.expected)
	}
	// Windows reach half a day back: what came longer before is of no account.
	out = append(appendShort(out, b.leaning), byte(8*b.toldSurprise), byte(min(b.fired-b.before, 255)))
	return string(b.appendOutage(append(out, b.marketCode()...)))
}

// appendTime packs a time or its chunk: 40 bits of seconds reach to the year 19,000.
func appendTime(out []byte, x int64) []byte {
	return append(binary.LittleEndian.AppendUint32(out, uint32(x)), byte(x>>32))
}

// readTime is what appendTime has packed.
func readTime(in []byte) int64 { return int64(int8(in[4]))<<32 | int64(binary.LittleEndian.Uint32(in)) }

// appendShort packs a number that is not negative: the upper 24 bits of a float32 without its sign.
func appendShort(out []byte, x float64) []byte {
	bits := (math.Float32bits(float32(x))<<1 + 0x80) >> 8
	return append(out, byte(bits), byte(bits>>8), byte(bits>>16))
}

// decodeBase unpacks a baseline of a kind of spike, but for its market.
func decodeBase(text string, kind news.SpikeKind) (b baseline, err error) {
	size := sizeOfBase(text)
	_, outage, ok := cutBase(text, size)
	if size == 0 || !ok {
		return b, fmt.Errorf("baseline of %d bytes that begins with %.1q: want %d bytes of version %d", len(text), text, baseSize, baseVersion)
	}
	in, old := []byte(text[1:]), text[0] == 2
	word := func() uint64 {
		x := binary.LittleEndian.Uint64(in)
		in = in[8:]
		return x
	}
	short := func() float64 {
		if old {
			x := binary.LittleEndian.Uint32(in)
			in = in[4:]
			return float64(math.Float32frombits(x))
		}
		x := uint32(in[0]) | uint32(in[1])<<8 | uint32(in[2])<<16
		in = in[3:]
		return float64(math.Float32frombits(x << 7))
	}
	for _, x := range [...]*int64{&b.next, &b.since, &b.episodeUntil, &b.fired, &b.openUntil} {
		if old {
			*x = int64(word())
			continue
		}
		*x = readTime(in)
		in = in[5:]
	}
	for _, x := range [...]*float64{&b.items, &b.exposure, &b.seen, &b.negative, &b.copies, &b.peak} {
		*x = math.Float64frombits(word())
	}
	b.frozen = word()
	b.streak, in = int(in[0]), in[1:]
	for h := range b.hour {
		b.hour[h].items, b.hour[h].expected = short(), short()
	}
	switch version := text[0]; {
	case kind == news.SpikeVolume: // no item leans to being one
	case version >= 5, version == 4 && kind != news.SpikePositive:
		b.leaning = short()
	default:
		b.leaning = math.Max(0, b.seen-b.negative) * leaningUsual / (1 - shareUsual)
	}
	if text[0] == baseVersion {
		b.toldSurprise = float64(text[size-2]) / 8
		b.before = b.fired - int64(text[size-1])
	}
	b.readOutage([]byte(outage))
	return b, nil
}

// cutBase gives what follows a stored baseline's size bytes: the code of its market and what it says of
// outages, both of which may be missing.
func cutBase(stored string, size int) (market, outage string, ok bool) {
	rest := stored[size:]
	for _, of := range [...]int{0, outageSize, shortOutageSize} {
		if at := len(rest) - of; at == 0 || at == marketCode {
			return rest[:at], rest[at:], true
		}
	}
	return "", "", false
}
