package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// knownModels lists the bundles configured here, and others whose readings came in.
func (s *Server) knownModels(ctx context.Context) ([]Model, error) {
	var out []Model
	if s.sources.Models != nil {
		var err error
		if out, err = s.sources.Models(ctx); err != nil {
			return nil, err
		}
	}
	out = slices.Clone(out)
	uses := s.sources.Index.uses()
	for i := range out {
		if u, seen := uses[out[i].Model]; seen {
			out[i].Readings, out[i].LastSeen = u.readings, timeOrNull(u.last.UTC())
			delete(uses, out[i].Model)
		}
	}
	var others []Model
	for m, u := range uses {
		others = append(others, Model{Model: m, Readings: u.readings, LastSeen: timeOrNull(u.last.UTC())})
	}
	slices.SortFunc(others, func(a, b Model) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version), strings.Compare(a.Digest, b.Digest))
	})
	out = append(out, others...)
	for i := range out {
		out[i].Languages, out[i].Heads = emptyNotNull(out[i].Languages), emptyNotNull(out[i].Heads)
	}
	return emptyNotNull(out), nil
}

func (s *Server) models(r *http.Request) (any, error) {
	p := params{values: r.URL.Query()}
	if err := p.end(); err != nil {
		return nil, err
	}
	list, err := s.knownModels(r.Context())
	if err != nil {
		return nil, err
	}
	return struct {
		Now    time.Time `json:"now"`
		Models []Model   `json:"models"`
	}{s.now(), list}, nil
}
