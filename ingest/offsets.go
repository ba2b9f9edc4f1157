package ingest

// offsets follows one partition's messages from fetch to done. It has no lock of its own. Its
// memory is used again: a message in flight takes a mark in it, and nothing else.
type offsets struct {
	next    int64  // offset after the last message that was added or skipped
	marks   []mark // by offset; all before head are done, and the one at head is not
	head    int
	dropped int64 // marks that were in front of these
}

// mark is one message's place in its partition.
type mark struct {
	offset int64
	done   bool
}

// add notes that the message at this offset is being worked on, and gives its number, by which
// it is finished. Offsets only rise.
func (o *offsets) add(offset int64) (number int64) {
	if len(o.marks) == cap(o.marks) && o.head >= len(o.marks)/2 && o.head > 0 { // less would be moved again and again
		o.dropped += int64(o.head)
		o.marks, o.head = o.marks[:copy(o.marks, o.marks[o.head:])], 0
	}
	o.marks = append(o.marks, mark{offset: offset})
	o.next = offset + 1
	return o.dropped + int64(len(o.marks)) - 1
}

// finish notes that a message is done.
func (o *offsets) finish(number int64) {
	o.marks[number-o.dropped].done = true
	for o.head < len(o.marks) && o.marks[o.head].done {
		o.head++
	}
}

// pending is how many messages there are from the first that is not done on.
func (o *offsets) pending() int { return len(o.marks) - o.head }

// position is what may be committed: the offset of the first message that is not done.
func (o *offsets) position() int64 {
	if o.pending() > 0 {
		return o.marks[o.head].offset
	}
	return o.next
}
