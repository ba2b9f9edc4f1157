package classify

import (
	"time"
	"unicode/utf8"

	"github.com/barograph/barograph/news"
)

// job is one text on its way through a model.
type job struct {
	item   news.Item
	done   func(news.Reading, error)
	text   string // what is classified: the item's content without links
	digest string // TextDigest of it
	lang   string
	model  int // index into the stage's models

	submitted time.Time
	finished  bool // done was called

	rows    []*row
	weights []float64 // by window
	left    int       // windows not yet read

	prediction Prediction // weighted mean over the windows read so far
	err        error
}

// take adds what the model said of one window.
func (j *job) take(window int, p Prediction) {
	j.left--
	if j.prediction == nil {
		j.prediction = make(Prediction, len(p))
		for h := range p {
			j.prediction[h] = make([]float64, len(p[h]))
		}
	}
	for h := range p {
		for i := range p[h] {
			j.prediction[h][i] += j.weights[window] * p[h][i]
		}
	}
}

// fail says that one window could not be read; the text then has no reading.
func (j *job) fail(err error) {
	j.left--
	if j.err == nil {
		j.err = err
	}
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
	}
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
