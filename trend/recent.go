package trend

import "math/bits"

// What a replay remembers of ids and of texts: the last ones over all series together, so that its
// memory does not grow with the readings. An id is of use for the history that is counted, a day by default,
// and so far they reach with 60 readings a day for each series, of one company each: ten million a month in
// 5,500 series.
const (
	recentKept  = 128   // ids, and as many texts, for each series
	recentLeast = 32768 // of each, however few the series
)

// recent knows for sure whether something was among its last recentKept members for each series that
// was known when the younger table was made, or recentLeast, and by chance of as many before. What comes again is kept anew. It takes 2.7 kB a series: two
// tables, of which the older goes when the younger is full.
type recent struct{ young, old table }

// first remembers a member of a day of event time, and says whether it was not known. series is how many
// there are. Two of n members collide, and one is then not counted, with probability n²/2⁶⁵.
func (r *recent) first(day int64, member uint64, series int) bool {
	member ^= uint64(day) * 0x9e3779b97f4a7c15 // 2⁶⁴ over the golden ratio: days differ in all bits
	member = max(1, member)
	if _, known := r.young.find(member); known {
		return false
	}
	_, known := r.old.find(member)
	if r.young.room == 0 {
		r.old, r.young = r.young, newTable(max(recentLeast, recentKept*series))
	}
	r.young.add(member)
	return !known
}

// table is a set of members, open addressed by their leading bits.
type table struct {
	slots []uint64 // 0 = free; a quarter of them is always
	room  int      // for so many more
}

func newTable(members int) table { return table{make([]uint64, members+members/3+1), members} }

// find gives the member's slot, or where it is not known, a free one for it.
func (t *table) find(member uint64) (slot int, known bool) {
	if len(t.slots) == 0 {
		return 0, false
	}
	at, _ := bits.Mul64(member, uint64(len(t.slots)))
	for slot = int(at); t.slots[slot] != 0; {
		if t.slots[slot] == member {
			return slot, true
		}
		if slot++; slot == len(t.slots) {
			slot = 0
		}
	}
	return slot, false
}

// add puts in a member that is not known yet. There must be room.
func (t *table) add(member uint64) {
	slot, _ := t.find(member)
	t.slots[slot] = member
	t.room--
}
