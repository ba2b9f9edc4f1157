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
// counted before, in the same company and within a day of event time. The sketches of the last texts are
// kept: a client searches what it reads of them, the observe script what came since. A near copy's
// own is not kept, so that a chain of small changes does not lead from one story to another.
//
// An equal text is one of the set of its calendar day. On the next one it is found here, as a near copy
// of which no bit differs; where a text is too short for a sketch, its digest stands for one.
const (
	nearBits  = 6   // of the 48 bits of words, in which near copies differ at most: see bench/RESULTS.md
	nearKept  = 256 // sketches to a list
	nearParts = 256 // lists of the topics and of everything
	nearSlack = 64  // a full list grows by so many before it is cut
	nearShort = 64  // up to so many it is cut whenever its first is stale: it costs little; a longer one, once nearSlack are
	nearHours = 24  // between the hours of event time of near copies at most
	nearStale = 48  // hours after its own in which a sketch goes: a copy that late is an item
	keepNear  = (nearStale + 24) * time.Hour
)

// sketch is a text's sketch with the hour of event time, as it is compared.
type sketch struct {
	hour uint8 // the hour's number, modulo 256
	bits uint64
}

// hourOf is the hour of a sketch, or of the clock.
func hourOf(t time.Time) uint8 { return uint8(floorDiv(t.Unix(), 3600)) }

// sketchOf is the sketch of 16 hex digits of a text, or where it has none, its digest's. It gives false where
// there is neither, and of a text that comes too late to have copies.
func sketchOf(text, digest string, at, now time.Time) (sketch, bool) {
	if now.Sub(at) >= nearStale*time.Hour {
		return sketch{}, false
	}
	if bits, err := strconv.ParseUint(text, 16, 64); err == nil && len(text) == 16 {
		return sketch{hourOf(at), bits}, true
	}
	return sketch{hourOf(at), xxhash.Sum64String(digest)}, digest != ""
}

// near says whether the texts are of one day, give or take an hour, state the same facts (the first 16 bits) and
// share most of their words: at most nearBits of the other bits differ, and one of their six
// bytes is equal. The last is so for 98 % of those that differ in 6 bits, and for all that
// differ in fewer.
func (s sketch) near(o sketch) bool {
	differ := s.bits ^ o.bits
	apart := s.hour - o.hour
	if differ>>48 != 0 || min(apart, -apart) > nearHours || bits.OnesCount64(differ) > nearBits {
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
	return binary.BigEndian.AppendUint64(append(to, s.hour), s.bits)
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
func (l nearTexts) add(s sketch, now uint8) nearTexts {
	stale := l.stale(now)
	if l = append(l, s); len(l) >= nearKept+nearSlack || len(l) <= nearShort && stale > 0 || stale >= nearSlack {
		return l[max(stale, len(l)-nearKept):]
	}
	return l
}

// stale is how many of the first sketches are.
func (l nearTexts) stale(now uint8) (n int) {
	for n < len(l) && l[n].stale(now) {
		n++
	}
	return n
}

// stale says whether the sketch's hour is nearStale or more before now, in a calendar of 256 hours: no list holds
// one so old that it is young again.
func (s sketch) stale(now uint8) bool {
	age := now - s.hour
	return age >= nearStale && age < 256-nearStale
}

// nearLists are the lists of a history. They are dropped as those of Redis expire.
type nearLists map[string]*nearTextsOf

type nearTextsOf struct {
	nearTexts
	last time.Time // when it got its last
}

// seen says whether a list has a text near s, and else adds s to it.
func (n nearLists) seen(list string, s sketch, now time.Time) bool {
	l := n[list]
	if l == nil || now.Sub(l.last) >= keepNear {
		l = &nearTextsOf{}
		n[list] = l
	}
	if l.has(s) {
		return true
	}
	l.nearTexts, l.last = l.add(s, hourOf(now)), now
	return false
}
