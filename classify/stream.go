package classify

import (
	"cmp"
	"slices"
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
	for _, l := range s.lanes {
		select {
		case l.idle <- struct{}{}:
		default: // told already
		}
	}
}

// admit sends a job to its model, or finishes it without.
func (s *Stage) admit(j *job) {
	start := time.Now()
	err := s.route(j)
	if err != nil {
		s.finish(j, nil, "", err)
		return
	}
	first, from := s.copies.claim(j)
	if !first {
		if from != nil {
			s.finish(j, from.answers, from.id, nil)
		}
		return
	}
	if err := j.by.prepare(j); err != nil {
		s.fail(j, err)
		return
	}
	s.metrics.seconds.WithLabelValues("tokenise").Observe(time.Since(start).Seconds())
	j.by.lane.ready <- j // never blocks: there is room for all that have a slot
}

// route finds the job's model, again where it failed as a copy of another.
func (s *Stage) route(j *job) (err error) {
	defer catch(&err, s.config.Model.Log, "routing")
	if s.stopping() {
		return ErrClosed
	}
	content := j.item.Content()
	at, lang := Route(j.item.Lang, content, *s.served.Load())
	s.letGo(j)
	j.by, j.lang = s.lanes[at].acquire(), lang
	j.text = StripURLs(content)
	j.digest = TextDigest(j.text)
	j.sketch = TextSketch(j.text)
	if blank(j.text) {
		return ErrNoText
	}
	j.entities = nil
	if j.by.Bundle.EntitySegment {
		j.entities = s.names(j.item)
	}
	return nil
}

// names are the item's entities as a model reads them.
func (s *Stage) names(it news.Item) []string {
	names := slices.Clone(it.Entities)
	if s.config.Names == nil || len(names) == 0 {
		return names
	}
	written := s.config.Names(it)
	for i, id := range names {
		names[i] = cmp.Or(written[id], id)
	}
	return names
}

func (s *Stage) letGo(j *job) {
	if j.by == nil {
		return
	}
	if err := j.by.release(); err != nil {
		s.config.Model.Log.Warn("a replaced model did not close well", "model", j.by.Bundle.Name, "error", err)
	}
	j.by = nil
}

// classify keeps a lane's model busy. A batch is cut when it is its turn, and not before: rows
// that come meanwhile give it better company. What follows from a batch is done beside the
// next one.
func (s *Stage) classify(l *lane) {
	var waiting pools
	for s.gather(&waiting, l) {
		from := waiting.first()
		cores := from.by.cores()
		l.turns.take(cores, from.since())
		s.drain(&waiting, l.ready)
		batch := from.Next(from.by.atOnce(cores))
		s.workers.Go(func() { s.readBatch(l, from.by, batch, cores) })
	}
}

func (s *Stage) readBatch(l *lane, by *liveModel, batch []*row, cores int) {
	if s.stopping() {
		for _, r := range batch {
			r.job.fail(ErrClosed)
		}
	} else {
		by.read(batch)
	}
	l.turns.give(cores)
	for _, r := range batch {
		if r.job.read() {
			s.complete(r.job)
		}
	}
}

// gather fills the pools with what has come and returns when a batch is due. It waits
// only while items are on their way that could join it: an idle stage reads a lone item
// at once. It is false when nothing is left and nothing more will come.
func (s *Stage) gather(waiting *pools, l *lane) bool {
	for {
		open := s.drain(waiting, l.ready)
		first := waiting.first()
		if !open || len(*waiting) > 1 {
			return first != nil
		}
		if first == nil {
			j, ok := <-l.ready
			if !ok {
				return false
			}
			waiting.add(j, s.config)
			continue
		}
		wait := first.Wait(time.Now(), s.upstream.Load() == 0)
		if wait == 0 {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case j, ok := <-l.ready:
			if ok {
				waiting.add(j, s.config)
			}
		case <-l.idle:
		case <-s.stopped:
			timer.Stop()
			return true
		case <-timer.C:
		}
		timer.Stop()
	}
}

// drain takes what is there without waiting. It is false when the channel is closed and empty.
func (s *Stage) drain(waiting *pools, ready <-chan *job) (open bool) {
	for {
		select {
		case j, ok := <-ready:
			if !ok {
				return false
			}
			waiting.add(j, s.config)
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
	answers := make([]answer, len(j.parts))
	for i, part := range j.parts {
		answers[i] = answerOf(j.by.Bundle.Heads, part.prediction)
	}
	waited, _ := s.copies.resolve(j, answers)
	original := j.item.ID
	s.finish(j, answers, original, nil)
	for _, w := range waited {
		s.finish(w, answers, original, nil)
	}
}

// fail finishes a job with an error. Copies that waited for it get their own chance.
func (s *Stage) fail(j *job, err error) {
	waited := s.copies.abandon(j)
	s.finish(j, nil, "", err)
	for _, w := range waited {
		s.admit(w)
	}
}

// finish calls done. original is the first item with the text.
func (s *Stage) finish(j *job, answers []answer, original string, err error) {
	if j.by == nil { // it could not be routed
		j.by = s.lanes[0].acquire()
	}
	model, result := j.by.Bundle, "error"
	readings := []news.Reading{j.reading()}
	if err == nil {
		result, readings = "read", j.readings(answers)
		if original == j.item.ID {
			original = ""
		} else {
			result = "copy"
		}
		now := s.config.Clock()
		for i := range readings {
			readings[i].ClassifiedAt, readings[i].Model, readings[i].DuplicateOf = now, model.Model(), original
		}
	}
	s.metrics.items.WithLabelValues(model.Name, result).Inc()
	s.metrics.seconds.WithLabelValues("total").Observe(time.Since(j.submitted).Seconds())
	s.callDone(j, readings, err)
	s.letGo(j)
	s.metrics.waiting.Dec()
	<-s.slots
	s.inFlight.Done()
}

// callDone keeps the stage going when done panics.
func (s *Stage) callDone(j *job, readings []news.Reading, err error) {
	var panicked error
	defer catch(&panicked, s.config.Model.Log, "handing over the reading of "+j.item.ID)
	j.done(readings, err)
}
