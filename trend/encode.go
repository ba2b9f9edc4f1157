package trend

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A ring is stored as text, which a script can change without unpacking it:
//
//	LEARNT;BUCKET:ITEMS,NEGATIVE,COPIES,ECHOES;BUCKET:...;
//
// LEARNT is the first bucket that the baseline has not learnt yet. Buckets stand in the
// order in which they were first counted, so late ones are out of order.

func parseRing(text string) (r ring, learnt int64, err error) {
	bad := func(part string) (ring, int64, error) {
		return nil, 0, fmt.Errorf("counts %.60q: cannot read %q", text, part)
	}
	head, rest, ok := strings.Cut(text, ";")
	if learnt, err = strconv.ParseInt(head, 10, 64); err != nil || !ok {
		return bad(head)
	}
	r = make(ring, 0, strings.Count(rest, ";"))
	sorted := true
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, ";")
		c, ok := parseCount(part)
		if !ok {
			return bad(part)
		}
		sorted = sorted && (len(r) == 0 || r[len(r)-1].bucket < c.bucket)
		r = append(r, c)
	}
	if !sorted {
		slices.SortFunc(r, func(a, b count) int { return cmp.Compare(a.bucket, b.bucket) })
	}
	return r, learnt, nil
}

func parseCount(part string) (c count, ok bool) {
	bucket, counts, ok := strings.Cut(part, ":")
	items, counts, ok2 := strings.Cut(counts, ",")
	negative, counts, ok3 := strings.Cut(counts, ",")
	copies, echoes, ok4 := strings.Cut(counts, ",")
	if !ok || !ok2 || !ok3 || !ok4 {
		return c, false
	}
	var errs [5]error
	c.bucket, errs[0] = strconv.ParseInt(bucket, 10, 64)
	c.items, errs[1] = strconv.Atoi(items)
	c.negative, errs[2] = strconv.Atoi(negative)
	c.copies, errs[3] = strconv.Atoi(copies)
	c.echoes, errs[4] = strconv.Atoi(echoes)
	return c, errs == [5]error{}
}

// baseVersion is the first byte of a stored baseline. Version 2 is read too: its times take eight
// bytes, and its profile four bytes a number.
const baseVersion = 3

// baseSize is the size of a stored baseline, in bytes. The code of a market may follow. The
// profile is most of it. Redis takes memory in steps: up to 379 bytes are one of 384.
const baseSize = 1 + 5*5 + 6*8 + 8 + 1 + hoursOfWeek*2*3

// sizeOfBase is the size of a stored baseline without the code of a market; 0 = it cannot be read.
func sizeOfBase(stored string) int {
	size := baseSize
	if strings.HasPrefix(stored, "\x02") {
		size += 5*3 + hoursOfWeek*2
	} else if stored == "" || stored[0] != baseVersion {
		return 0
	}
	if len(stored) < size {
		return 0
	}
	return size
}

// encode packs a baseline; the profile is rounded to 17 binary digits.
func (b *baseline) encode() string {
	out := make([]byte, 0, baseSize)
	out = append(out, baseVersion)
	for _, x := range [...]int64{b.next, b.since, b.episodeUntil, b.fired, b.openUntil} {
		out = binary.LittleEndian.AppendUint32(out, uint32(x))
		out = append(out, byte(x>>32)) // 40 bits reach to the year 19,000
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
	return string(out) + b.marketCode()
}

// appendShort packs a number that is not negative: the upper 24 bits of a float32 without its sign.
func appendShort(out []byte, x float64) []byte {
	bits := (math.Float32bits(float32(x))<<1 + 0x80) >> 8
	return append(out, byte(bits), byte(bits>>8), byte(bits>>16))
}

// decodeBase unpacks a baseline, but for its market.
func decodeBase(text string) (b baseline, err error) {
	size := sizeOfBase(text)
	if size == 0 || len(text) > size+marketCode {
		return b, fmt.Errorf("baseline of %d bytes that begins with %.1q: want %d bytes of version %d", len(text), text, baseSize, baseVersion)
	}
	in, old := []byte(text[1:]), size > baseSize
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
		*x = int64(int8(in[4]))<<32 | int64(binary.LittleEndian.Uint32(in))
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
	return b, nil
}
