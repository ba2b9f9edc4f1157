package classify

import (
	"cmp"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/barograph/barograph/news"
)

// job is one item on its way through a model.
type job struct {
	item     news.Item
	done     func([]news.Reading, error)
	text     string   // what is classified: the item's content without links
	digest   string   // TextDigest of it
	sketch   string   // TextSketch of it
	entities []string // the item's as the model reads them; none where it reads the text alone
	lang     string
	whole    *news.Reading // of the text, where another model has read it before
	by       *liveModel    // the model; nil before routing

	submitted time.Time

	rows []*row

	mu       sync.Mutex // of what follows: several batches may hold windows of one text
	parts    []part     // one, or one for each entity
	left     int        // windows not yet read
	err      error
	finished bool // done was called, or is about to be
}

// part is what is read at once of a job: its text, or its text for one entity.
type part struct {
	weights    []float64  // by window
	prediction Prediction // weighted mean over the windows read so far
}

// cut adds a part, with its rows: windows of the text, each with the whole entity, if there
// is one, as second segment.
func (j *job) cut(ids []int32, around frame, entity []int32, maxTokens int) {
	size := maxTokens - len(around.before) - len(around.between) - len(entity) - len(around.after)
	cuts := windows(len(ids), size, overlap)
	for i, w := range cuts {
		r := &row{job: j, part: len(j.parts), window: i,
			ids: slices.Concat(around.before, ids[w.start:w.end], around.between, entity, around.after)}
		r.second = len(r.ids)
		if around.typed {
			r.second -= len(entity) + len(around.after)
		}
		j.rows = append(j.rows, r)
	}
	j.parts = append(j.parts, part{weights: weights(cuts)})
	j.left += len(cuts)
}

// take adds what the model said of one window.
func (j *job) take(of, window int, p Prediction) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.left--
	part := &j.parts[of]
	if part.prediction == nil {
		part.prediction = make(Prediction, len(p))
		for h := range p {
			part.prediction[h] = make([]float64, len(p[h]))
		}
	}
	for h := range p {
		for i := range p[h] {
			part.prediction[h][i] += part.weights[window] * p[h][i]
		}
	}
}

// fail says that one window could not be read; the item then has no reading.
func (j *job) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.left--
	if j.err == nil {
		j.err = err
	}
}

// read is true once: when all windows have been read.
func (j *job) read() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	first := j.left == 0 && !j.finished
	j.finished = j.finished || first
	return first
}

// maxHeadline bounds what a reading shows of its item, in runes.
const maxHeadline = 300

// reading is the item's own half of a reading: all but what a model says.
func (j *job) reading() news.Reading {
	return news.Reading{
		ID:          j.item.ID,
		Kind:        j.item.Kind,
		Source:      j.item.Source,
		PublishedAt: j.item.PublishedAt,
		Lang:        j.lang,
		Entities:    j.item.Entities,
		Title:       j.item.Headline(maxHeadline),
		URL:         j.item.URL,
		Text:        cut(j.item.Content(), news.MaxReadingText),
		TextDigest:  j.digest,
		TextSketch:  j.sketch,
	}
}

// readings are the item's readings by its model: one, or one for each entity, as many as there
// are answers. What has no topic gets the text's.
func (j *job) readings(answers []answer) []news.Reading {
	r := j.reading()
	out := make([]news.Reading, len(answers))
	for i, a := range answers {
		out[i] = r
		out[i].Sentiment, out[i].Topic = a.sentiment, a.topic
		if j.whole != nil {
			out[i].Topic = cmp.Or(a.topic, j.whole.Topic)
		}
		if len(j.entities) > 0 {
			out[i].Entities = j.item.Entities[i : i+1 : i+1]
		}
	}
	return out
}

// cut is as many whole runes of s as fit into max bytes.
func cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max]
}
