package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/barograph/barograph/news"
)

// allAlerts lists the alerts on record and those that are on, the latest first.
func (s *Server) allAlerts(ctx context.Context) ([]news.Alert, error) {
	firing, err := s.sources.Firing(ctx)
	if err != nil {
		return nil, err
	}
	all := s.sources.Index.Alerts()
	known := map[string]bool{}
	for _, a := range all {
		known[a.ID] = true
	}
	for _, a := range firing {
		if !known[a.ID] {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b news.Alert) int {
		return cmp.Or(b.FiredAt.Compare(a.FiredAt), strings.Compare(a.ID, b.ID))
	})
	return all, nil
}

func (s *Server) listAlerts(r *http.Request) (any, error) {
	p := params{values: r.URL.Query()}
	status := p.oneOf("status", string(news.Firing), string(news.Resolved))
	entity, topic := p.text("entity"), p.text("topic")
	limit, offset := p.number("limit", 50, 1, 500), p.number("offset", 0, 0, maxAlerts)
	if err := p.end(); err != nil {
		return nil, err
	}
	all, err := s.allAlerts(r.Context())
	if err != nil {
		return nil, err
	}
	found := []news.Alert{}
	for _, a := range all {
		if (status == "" || string(a.Status) == status) && (entity == "" || strings.EqualFold(entity, a.Series.Entity)) &&
			(topic == "" || strings.EqualFold(topic, a.Series.Topic)) {
			found = append(found, a)
		}
	}
	total := len(found)
	return struct {
		Now    time.Time    `json:"now"`
		Total  int          `json:"total"`
		Alerts []news.Alert `json:"alerts"`
	}{s.now(), total, whole(found[min(offset, total):min(offset+limit, total)])}, nil
}

// mostOthers is how many other alerts of its series stand beside an alert.
const mostOthers = 20

// oneAlert is an alert, what was said of it, and what else was said of its series.
func (s *Server) oneAlert(r *http.Request) (any, error) {
	p := params{values: r.URL.Query()}
	if err := p.end(); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	alert, said, found := s.sources.Index.Alert(id)
	all, err := s.allAlerts(r.Context())
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, func(a news.Alert) bool { return a.ID == id }); !found && i >= 0 {
		alert, found = all[i], true
	}
	if !found {
		return nil, notFound("no alert of that ID is on, or on record: the console remembers those of late")
	}
	others := slices.DeleteFunc(all, func(a news.Alert) bool { return a.ID == id || a.Series != alert.Series })
	mutes, err := s.mutes(r.Context(), alert.Series)
	if err != nil {
		return nil, err
	}
	alert.Evidence = emptyNotNull(alert.Evidence)
	return struct {
		Now      time.Time    `json:"now"`
		Alert    news.Alert   `json:"alert"`
		History  []Said       `json:"history"`
		Others   []news.Alert `json:"others"` // of the same series
		Silences []Silence    `json:"silences"`
	}{s.now(), alert, emptyNotNull(said), whole(others[:min(mostOthers, len(others))]), mutes}, nil
}

// mutes lists the silences that match a series.
func (s *Server) mutes(ctx context.Context, of news.Series) ([]Silence, error) {
	all, err := s.sources.Silences.List(ctx)
	if err != nil {
		return nil, err
	}
	out := []Silence{}
	for _, m := range all {
		wider := !m.Exact && (m.Entity == "" || m.Entity == "*" || strings.EqualFold(m.Entity, of.Entity)) && (m.Topic == "" || strings.EqualFold(m.Topic, of.Topic))
		if wider || m.Exact && strings.EqualFold(m.Entity, of.Entity) && strings.EqualFold(m.Topic, of.Topic) {
			out = append(out, m)
		}
	}
	return out, nil
}
