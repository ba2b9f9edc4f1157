package classify

import (
	"slices"
	"sync"
	"time"
)

// turns shares cores among the batches that are ready to run: more threads than cores would
// only take them from each other. Of those that wait, the one with the oldest row is next, so
// a lane that few texts come to does not read them one by one while the others wait.
type turns struct {
	mu      sync.Mutex
	free    int // cores
	waiting []*turn
}

type turn struct {
	cores int
	since time.Time // when the batch's oldest row came
	given chan struct{}
}

// take waits until it is the batch's turn and so many cores are free, at most all there are.
func (t *turns) take(cores int, since time.Time) {
	t.mu.Lock()
	if len(t.waiting) == 0 && t.free >= cores {
		t.free -= cores
		t.mu.Unlock()
		return
	}
	next := &turn{cores, since, make(chan struct{})}
	at, _ := slices.BinarySearchFunc(t.waiting, since, func(w *turn, since time.Time) int { return w.since.Compare(since) })
	t.waiting = slices.Insert(t.waiting, at, next)
	t.mu.Unlock()
	<-next.given
}

// give returns a batch's cores.
func (t *turns) give(cores int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free += cores
	for len(t.waiting) > 0 && t.waiting[0].cores <= t.free {
		next := t.waiting[0]
		t.waiting = slices.Delete(t.waiting, 0, 1)
		t.free -= next.cores
		close(next.given)
	}
}
