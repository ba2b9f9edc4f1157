package console

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/barograph/barograph/news"
)

func (s *Server) listLabels(r *http.Request) (any, error) {
	p := params{values: r.URL.Query()}
	limit := p.number("limit", 100, 1, 500)
	if err := p.end(); err != nil {
		return nil, err
	}
	list, err := s.sources.Corrections.List(r.Context(), limit)
	if err != nil {
		return nil, err
	}
	return struct {
		Now    time.Time    `json:"now"`
		Labels []news.Label `json:"labels"`
	}{s.now(), emptyNotNull(list)}, nil
}

// maxReadings is how many readings of one item are looked at: one for each of its companies.
const maxReadings = 100

// addLabel takes a correction of a reading that is in the index: what the model read and
// said comes from there, not from the caller.
func (s *Server) addLabel(r *http.Request) (any, error) {
	var body struct {
		ID     string `json:"id"`
		Source string `json:"source"`
		Task   string `json:"task"`
		Label  string `json:"label"`
		Entity string `json:"entity"`
		Alert  string `json:"alert"` // whose evidence it is, if any
	}
	if err := readBody(nil, r, &body); err != nil {
		return nil, err
	}
	if body.ID == "" {
		return nil, fmt.Errorf("%w: \"id\" is the item's", ErrInvalid)
	}
	page, err := s.sources.Index.Search(Query{ID: body.ID, Source: body.Source, Limit: maxReadings})
	if err != nil {
		return nil, err
	}
	if len(page.Readings) == 0 {
		return nil, notFound("no item of that id is in the index: only those of late can be corrected here")
	}
	whole := page.Readings[0] // the text's own reading, where it has others for its companies
	for _, r := range page.Readings {
		if len(r.Entities) == 0 {
			whole = r
		}
	}
	reading, toward := whole, ""
	for _, r := range page.Readings {
		if len(page.Readings) > 1 && slices.Contains(r.Entities, body.Entity) {
			reading, toward = r, body.Entity
		}
	}
	label := news.Label{ID: reading.ID, At: s.now().UTC(), Author: authorOf(r), Task: body.Task, Label: body.Label, Entity: body.Entity,
		Lang: reading.Lang, Text: reading.Text, Model: reading.Model}
	switch body.Task {
	case news.TaskSentiment:
		label.Was, label.Entity = reading.Sentiment.Label(), toward
		if !slices.Contains([]string{"negative", "neutral", "positive"}, body.Label) {
			return nil, fmt.Errorf("%w: a sentiment is negative, neutral or positive", ErrInvalid)
		}
	case news.TaskTopic:
		label.Was, label.Entity, label.Model = whole.Topic.Label, "", whole.Model
		if err := s.knownTopic(r, whole, body.Label); err != nil {
			return nil, err
		}
	case news.TaskEntity:
		if label.Label != news.NotAbout || !slices.Contains(reading.Entities, body.Entity) {
			return nil, fmt.Errorf("%w: of the task entity, the label is %s and \"entity\" one of the item's companies", ErrInvalid, news.NotAbout)
		}
		label.Was = body.Entity
	default:
		return nil, fmt.Errorf("%w: the task is sentiment, topic or entity", ErrInvalid)
	}
	if err := s.sources.Corrections.Add(r.Context(), label); err != nil {
		return nil, err
	}
	s.sources.Index.hub.touch("labels")
	s.noteCorrection(r, body.Alert, label)
	return created{label}, nil
}

// knownTopic wants a topic that the reading's model tells apart, where that model is known
// here.
func (s *Server) knownTopic(r *http.Request, reading *news.Reading, label string) error {
	models, err := s.knownModels(r.Context())
	if err != nil {
		return err
	}
	for _, m := range models {
		for _, head := range m.Heads {
			if m.Model.Digest == reading.Model.Digest && head.Task == news.TaskTopic && !slices.Contains(head.Labels, label) {
				return fmt.Errorf("%w: the model %s has no topic of that name", ErrInvalid, m.Name)
			}
		}
	}
	if !plainName(label) {
		return fmt.Errorf("%w: that is no topic's name", ErrInvalid)
	}
	return nil
}
