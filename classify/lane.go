package classify

import (
	"sync"
	"sync/atomic"
)

// lane is the place of one configured bundle: the model that serves there now, and the
// items on their way to it.
type lane struct {
	dir   string        // as configured
	ready chan *job     // tokenised
	idle  chan struct{} // told when the stage has nothing left to tokenise
	turns *turns        // when its batches run

	mu   sync.Mutex
	live *liveModel
}

// liveModel is a model in a lane with what needs it: each job that it is to read, and the
// lane itself while it is live there. The last that lets go of it closes it.
type liveModel struct {
	*Model
	lane   *lane
	number int64 // tells the models of a stage apart, also after they are closed
	users  atomic.Int64
}

// acquire is the live model, for a job.
func (l *lane) acquire() *liveModel {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live.users.Add(1) // above 0 already: the lane holds it
	return l.live
}

// replace puts a model live and gives the one before, if there was one, which the lane
// still holds.
func (l *lane) replace(m *Model, number int64) (before *liveModel) {
	next := &liveModel{Model: m, lane: l, number: number}
	next.users.Store(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	before, l.live = l.live, next
	return before
}

// release lets go of a model. It must not be used afterwards.
func (v *liveModel) release() error {
	if v.users.Add(-1) > 0 {
		return nil
	}
	return v.Close()
}

// pools are a lane's rows, by the model that they were cut for. There are several only
// while a bundle is replaced: the old model's rows go first then, and at once.
type pools []*pool

type pool struct {
	batcher
	by *liveModel
}

// add puts a job's rows into the pool of its model.
func (p *pools) add(j *job, c Config) {
	if p.first() == nil && len(*p) > 0 && (*p)[0].by != j.by {
		*p = nil // rather than keep a model that nothing waits for
	}
	at := len(*p) - 1
	for at >= 0 && (*p)[at].by != j.by {
		at--
	}
	if at < 0 {
		at = len(*p)
		wait := c.MaxWait
		if calibrated := j.by.maxWait; calibrated > 0 {
			wait = min(wait, calibrated)
		}
		*p = append(*p, &pool{batcher{budget: j.by.config.TokenBudget, maxWait: wait}, j.by})
	}
	(*p)[at].addAll(j)
}

// first drops pools that are empty, but for the last, and gives the first of the rest; nil
// where no row waits.
func (p *pools) first() *pool {
	for len(*p) > 1 && (*p)[0].Len() == 0 {
		*p = (*p)[1:]
	}
	if len(*p) == 0 || (*p)[0].Len() == 0 {
		return nil
	}
	return (*p)[0]
}
