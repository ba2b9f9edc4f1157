package trend

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/barograph/barograph/news"
)

// A near copy is known by its sketch (news.Reading.TextSketch): one that is near that of a text
// counted before, in the same company and day of event time. The sketches of the last texts are
// kept: a client searches what it reads of them, the observe script what came since. A near copy's
// own is not kept, so that a chain of small changes does not lead from one story to another.
const (
	nearBits  = 6   // of the 48 bits of words, in which near copies differ at most: see bench/RESULTS.md
	nearKept  = 256 // sketches to a list
	nearParts = 256 // lists of the topics and of everything
	nearSlack = 64  // a full list grows by so many before it is cut
	nearShort = 64  // up to so many it is cut whenever its first is stale: it costs little
	nearDays  = 2   // from so many days after its own a sketch goes: a copy that late is an item
	keepNear  = (nearDays + 1) * 24 * time.Hour
)

// sketch is a text's sketch with the day of event time, as it is compared.
type sketch struct {
	day  uint8 // the day's number, modulo 256
	bits uint64
}

// sketchOf gives false where the reading has no sketch, or not one of 16 hex digits.
func sketchOf(text string, day int64) (sketch, bool) {
	bits, err := strconv.ParseUint(text, 16, 64)
	return sketch{uint8(day), bits}, err == nil && len(text) == 16
}

// near says whether the texts are of one day, state the same facts (the first 16 bits) and
// share most of their words: at most nearBits of the other bits differ, and one of their six
// bytes is equal. The last is so for 98 % of those that differ in 6 bits, and for all that
// differ in fewer.
func (s sketch) near(o sketch) bool {
	differ := s.bits ^ o.bits
	if s.day != o.day || differ>>48 != 0 || bits.OnesCount64(differ) > nearBits {
		return false
	}
	for byteAt := 0; byteAt < 48; byteAt += 8 {
		if differ>>byteAt&0xff == 0 {
			return true
		}
	}
	return false
}

// pack appends the nine bytes of a sketch that the observe script takes.
func (s sketch) pack(to []byte) []byte {
	return binary.BigEndian.AppendUint64(append(to, s.day), s.bits)
}

// unpackSketches reads sketches as pack wrote them.
func unpackSketches(text string) (all nearTexts) {
	all = make(nearTexts, 0, len(text)/9)
	for ; len(text) >= 9; text = text[9:] {
		all = append(all, sketch{text[0], binary.BigEndian.Uint64([]byte(text[1:9]))})
	}
	return all
}

// nearList names the list of an entity that a reading's sketch belongs to. The topics and
// everything see too many texts for one list: theirs is that of the reading's first company,
// or of its topic, which near copies have in common.
func nearList(entity string, r *news.Reading) string {
	if entity != "" {
		return entity
	}
	subject := r.Topic.Label
	if len(r.Entities) > 0 {
		subject = r.Entities[0]
	}
	return "\x1f" + strconv.FormatUint(xxhash.Sum64String(subject)%nearParts, 10)
}

// nearTexts are the last sketches of a list, in the order in which they came. In Redis they are
// nine bytes each, behind two that say how often the list was cut, modulo 65,536.
type nearTexts []sketch

// has reports whether a text near s was counted.
func (l nearTexts) has(s sketch) bool {
	for _, o := range l {
		if s.near(o) {
			return true
		}
	}
	return false
}

// add remembers s.
func (l nearTexts) add(s sketch, today uint8) nearTexts {
	stale := l.stale(today)
	if l = append(l, s); len(l) >= nearKept+nearSlack || len(l) <= nearShort && stale > 0 {
		return l[max(stale, len(l)-nearKept):]
	}
	return l
}

// stale is how many of the first sketches are.
func (l nearTexts) stale(today uint8) (n int) {
	for n < len(l) && l[n].stale(today) {
		n++
	}
	return n
}

// stale says whether the sketch's day is nearDays or more before today, in a calendar of 256 days.
func (s sketch) stale(today uint8) bool {
	age := today - s.day
	return age >= nearDays && age < 128
}
