package classify

import (
	"container/list"
	"hash/maphash"
	"strings"
	"sync"
)

// copies knows the answers to texts read lately, so that a syndicated text is read once.
// A copy that comes while the first is being read waits for it.
type copies struct {
	size int // texts remembered; 0 or less remembers none

	mu     sync.Mutex
	known  map[copyKey]*list.Element // of *original
	recent *list.List                // most recently asked for first
}

// copyKey is a text, as far as white space does not matter, before one model, which reads it
// for these entities.
type copyKey struct {
	digest   string
	written  uint64 // the digest folds case, and a model may know US from us
	entities string
	model    int64
}

func keyOf(j *job) copyKey {
	return copyKey{j.digest, written(j.text), strings.Join(j.entities, "\x1f"), j.by.number}
}

var seed = maphash.MakeSeed()

// written is a hash of the text's words as they are written.
func written(text string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for word := range strings.FieldsSeq(text) {
		_, _ = h.WriteString(word) // never fails
		_ = h.WriteByte(' ')
	}
	return h.Sum64()
}

// original is a text that is being read (waiting) or was (answered).
type original struct {
	key      copyKey
	id       string // the first item that had the text
	answered bool
	answers  []answer
	waiting  []*job
}

func newCopies(size int) *copies {
	return &copies{size: size, known: map[copyKey]*list.Element{}, recent: list.New()}
}

// claim tells what to do with a job: read it (first), or answer it from the original, or
// nothing more, because it now waits for the original's answer.
func (c *copies) claim(j *job) (first bool, from *original) {
	if c.size <= 0 {
		return true, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := keyOf(j)
	if e, ok := c.known[key]; ok {
		o := e.Value.(*original)
		c.recent.MoveToFront(e)
		if o.answered {
			return false, o
		}
		o.waiting = append(o.waiting, j)
		return false, nil
	}
	c.known[key] = c.recent.PushFront(&original{key: key, id: j.item.ID})
	c.forget()
	return true, nil
}

// forget drops the texts not asked for the longest; those being read stay.
func (c *copies) forget() {
	for e := c.recent.Back(); e != nil && c.recent.Len() > c.size; {
		before := e.Prev()
		if o := e.Value.(*original); o.answered {
			c.recent.Remove(e)
			delete(c.known, o.key)
		}
		e = before
	}
}

// resolve remembers the answers to a claimed job and gives the jobs that waited for it,
// with their original.
func (c *copies) resolve(j *job, answers []answer) (waited []*job, from *original) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.known[keyOf(j)]
	if !ok {
		return nil, nil
	}
	o := e.Value.(*original)
	o.answered, o.answers = true, answers
	waited, o.waiting = o.waiting, nil
	return waited, o
}

// abandon forgets a claimed job that could not be read and gives the jobs that waited for it.
func (c *copies) abandon(j *job) (waited []*job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.known[keyOf(j)]
	if !ok {
		return nil
	}
	c.recent.Remove(e)
	delete(c.known, keyOf(j))
	return e.Value.(*original).waiting
}
