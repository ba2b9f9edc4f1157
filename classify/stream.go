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
	s.send(j, start)
}

// send gives a job that has its model to it, or answers a copy. start is when it was taken up.
func (s *Stage) send(j *job, start time.Time) {
	first, from := s.copies.claim(j)
	if !first {
		if from != nil {
			s.answer(j, from.answers, from.id)
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
	at, lang := Route(j.item.Lang, content, s.served.Load().texts)
	s.letGo(j)
	j.by, j.lang = s.lanes[at].acquire(), lang
	j.text = StripURLs(content)
	j.digest = TextDigest(j.text)
	j.sketch = TextSketch(j.text)
	if blank(j.text) {
		return ErrNoText
	}
	j.entities, j.whole = nil, nil
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
	s.answer(j, answers, original)
	for _, w := range waited {
		s.answer(w, answers, original)
	}
}

// answer finishes a job, or has its text read for each of its entities. original is the
// first item with the text.
func (s *Stage) answer(j *job, answers []answer, original string) {
	next, err := s.again(j)
	if next == nil || err != nil {
		s.finish(j, answers, original, err)
		return
	}
	next.whole = &s.stamped(j, answers, original)[0]
	next.whole.Entities = nil
	s.letGo(j)
	s.send(next, time.Now())
}

// mostEntities is how many entities a text is read for besides: one that names more is a list.
const mostEntities = 8

// again is the job of reading j's text once more, for each of its entities; nil where there
// are not several, or no bundle for it beside the one that has read the text.
func (s *Stage) again(j *job) (next *job, err error) {
	defer catch(&err, s.config.Model.Log, "routing")
	at, is := s.served.Load().again[j.lang]
	if n := len(j.item.Entities); !is || n < 2 || n > mostEntities || j.by.Bundle.EntitySegment {
		return nil, nil
	}
	next = &job{item: j.item, done: j.done, text: j.text, digest: j.digest, sketch: j.sketch, lang: j.lang,
		entities: s.names(j.item), submitted: j.submitted}
	if next.by = s.lanes[at].acquire(); !next.by.Bundle.EntitySegment { // replaced a moment ago
		s.letGo(next)
		return nil, nil
	}
	return next, nil
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
		result, readings = "read", s.stamped(j, answers, original)
		if original != j.item.ID {
			result = "copy"
		}
		if j.whole != nil {
			readings = slices.Insert(readings, 0, *j.whole)
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

// stamped are the job's readings with who made them, and when.
func (s *Stage) stamped(j *job, answers []answer, original string) []news.Reading {
	if original == j.item.ID {
		original = ""
	}
	readings, now := j.readings(answers), s.config.Clock()
	for i := range readings {
		readings[i].ClassifiedAt, readings[i].Model, readings[i].DuplicateOf = now, j.by.Bundle.Model(), original
	}
	return readings
}

// callDone keeps the stage going when done panics.
func (s *Stage) callDone(j *job, readings []news.Reading, err error) {
	var panicked error
	defer catch(&panicked, s.config.Model.Log, "handing over the reading of "+j.item.ID)
	j.done(readings, err)
}
