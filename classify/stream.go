package classify

import (
	"time"

	"github.com/barograph/barograph/news"
)

// tokenize is a worker: it routes texts, answers copies and cuts the others into rows.
func (s *Stage) tokenize() {
	for j := range s.in {
		s.admit(j)
		if s.upstream.Add(-1) == 0 {
			s.nudge()
		}
	}
}

// nudge tells the models that wait for company that none is on its way.
func (s *Stage) nudge() {
	for _, idle := range s.idle {
		select {
		case idle <- struct{}{}:
		default: // told already
		}
	}
}

// admit sends a job to its model, or finishes it without.
func (s *Stage) admit(j *job) {
	start := time.Now()
	err := s.route(j)
	if err != nil {
		s.finish(j, answer{}, "", err)
		return
	}
	first, from := s.copies.claim(j)
	if !first {
		if from != nil {
			s.finish(j, from.answer, from.id, nil)
		}
		return
	}
	if err := s.models[j.model].prepare(j); err != nil {
		s.fail(j, err)
		return
	}
	s.metrics.seconds.WithLabelValues("tokenise").Observe(time.Since(start).Seconds())
	s.ready[j.model] <- j // never blocks: there is room for all that have a slot
}

func (s *Stage) route(j *job) (err error) {
	defer catch(&err, s.config.Model.Log, "routing")
	content := j.item.Content()
	j.model, j.lang = Route(j.item.Lang, content, s.served)
	j.text = StripURLs(content)
	j.digest = TextDigest(j.text)
	if blank(j.text) {
		return ErrNoText
	}
	return nil
}

// classify keeps one model busy.
func (s *Stage) classify(model int) {
	pool := &batcher{budget: s.models[model].config.TokenBudget, maxWait: s.config.MaxWait}
	for s.gather(pool, s.ready[model], s.idle[model]) {
		batch := pool.Next()
		s.models[model].read(batch)
		for _, r := range batch {
			if r.job.left == 0 && !r.job.finished {
				r.job.finished = true
				s.complete(r.job)
			}
		}
	}
}

// gather fills the pool with what has come and returns when a batch is due. It waits
// only while items are on their way that could join it: an idle stage reads a lone item
// at once. It is false when nothing is left and nothing more will come.
func (s *Stage) gather(pool *batcher, ready <-chan *job, idle <-chan struct{}) bool {
	for {
		open := drain(pool, ready)
		if !open {
			return pool.Len() > 0
		}
		if pool.Len() == 0 {
			j, ok := <-ready
			if !ok {
				return false
			}
			pool.addAll(j)
			continue
		}
		wait := pool.Wait(time.Now(), s.upstream.Load() == 0)
		if wait == 0 {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case j, ok := <-ready:
			if ok {
				pool.addAll(j)
			}
		case <-idle:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// drain takes what is there without waiting. It is false when the channel is closed and empty.
func drain(pool *batcher, ready <-chan *job) (open bool) {
	for {
		select {
		case j, ok := <-ready:
			if !ok {
				return false
			}
			pool.addAll(j)
		default:
			return true
		}
	}
}

func (b *batcher) addAll(j *job) {
	now := time.Now()
	for _, r := range j.rows {
		b.Add(r, now)
	}
	j.rows = nil
}

// complete finishes a job that its model has read, and the copies that waited for it.
func (s *Stage) complete(j *job) {
	if j.err != nil {
		s.fail(j, j.err)
		return
	}
	a := answerOf(s.models[j.model].Bundle.Heads, j.prediction)
	waited, _ := s.copies.resolve(j, a)
	s.finish(j, a, j.item.ID, nil)
	for _, w := range waited {
		s.finish(w, a, j.item.ID, nil)
	}
}

// fail finishes a job with an error. Copies that waited for it get their own chance.
func (s *Stage) fail(j *job, err error) {
	waited := s.copies.abandon(j)
	s.finish(j, answer{}, "", err)
	for _, w := range waited {
		s.admit(w)
	}
}

// finish calls done. original is the first item with the text.
func (s *Stage) finish(j *job, a answer, original string, err error) {
	r := j.reading()
	model := s.models[j.model].Bundle
	result := "error"
	if err == nil {
		result = "read"
		r.ClassifiedAt = s.config.Clock()
		r.Sentiment, r.Topic, r.Model = a.sentiment, a.topic, model.Model()
		if original != j.item.ID {
			result, r.DuplicateOf = "copy", original
		}
	}
	s.metrics.items.WithLabelValues(model.Name, result).Inc()
	s.metrics.seconds.WithLabelValues("total").Observe(time.Since(j.submitted).Seconds())
	s.callDone(j, r, err)
	s.metrics.waiting.Dec()
	<-s.slots
	s.inFlight.Done()
}

// callDone keeps the stage going when done panics.
func (s *Stage) callDone(j *job, r news.Reading, err error) {
	var panicked error
	defer catch(&panicked, s.config.Model.Log, "handing over the reading of "+j.item.ID)
	j.done(r, err)
}
