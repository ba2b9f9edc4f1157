package ingest

// offsets follows one partition's messages from fetch to done. It has no lock of its own.
type offsets struct {
	next    int64   // offset after the last message that was added or skipped
	pending []*mark // added and not all done, by offset; the first is never done
}

// mark is one message's place in its partition.
type mark struct {
	offset int64
	done   bool
}

// add notes that the message at this offset is being worked on. Offsets only rise.
func (o *offsets) add(offset int64) *mark {
	m := &mark{offset: offset}
	o.pending = append(o.pending, m)
	o.next = offset + 1
	return m
}

// finish notes that a message is done.
func (o *offsets) finish(m *mark) {
	m.done = true
	n := 0
	for n < len(o.pending) && o.pending[n].done {
		o.pending[n] = nil
		n++
	}
	o.pending = o.pending[n:]
}

// position is what may be committed: the offset of the first message that is not done.
func (o *offsets) position() int64 {
	if len(o.pending) > 0 {
		return o.pending[0].offset
	}
	return o.next
}
