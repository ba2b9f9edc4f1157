package console

import (
	"net/http"
	"time"

	"github.com/barograph/barograph/news"
)

// itemRow is a reading as the API shows it.
type itemRow struct {
	ID          string         `json:"id"`
	Kind        news.Kind      `json:"kind"`
	Source      string         `json:"source"`
	PublishedAt time.Time      `json:"published_at"`
	Lang        string         `json:"lang"`
	Entities    []string       `json:"entities"`
	Shown       string         `json:"shown"` // negative or positive as counted, else neutral
	Sentiment   news.Sentiment `json:"sentiment"`
	Topic       news.Topic     `json:"topic"`
	DuplicateOf string         `json:"duplicate_of"`
	Title       string         `json:"title"`
	Text        string         `json:"text"`
	URL         string         `json:"url"`
	Model       news.Model     `json:"model"`
}

func itemOf(r *news.Reading) itemRow {
	return itemRow{ID: r.ID, Kind: r.Kind, Source: r.Source, PublishedAt: r.PublishedAt.UTC(), Lang: r.Lang, Entities: emptyNotNull(r.Entities),
		Shown: shownSentiment(r), Sentiment: r.Sentiment, Topic: r.Topic, DuplicateOf: r.DuplicateOf,
		Title: r.Title, Text: r.Text, URL: r.URL, Model: r.Model}
}

// items searches the index.
func (s *Server) items(r *http.Request) (any, error) {
	p := params{values: r.URL.Query()}
	q := Query{
		ID: p.text("id"), Entity: p.text("entity"), Topic: p.text("topic"), Source: p.text("source"), Lang: p.text("lang"),
		Sentiment: p.oneOf("sentiment", "negative", "neutral", "positive"), Text: p.text("q"),
		From: p.time("from"), To: p.time("to"), After: p.text("after"), Limit: p.number("limit", 50, 1, 200),
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	page, err := s.sources.Index.Search(q)
	if err != nil {
		return nil, badRequest(err.Error())
	}
	rows := make([]itemRow, len(page.Readings))
	for i, reading := range page.Readings {
		rows[i] = itemOf(reading)
	}
	_, since, complete := s.sources.Index.Extent()
	return struct {
		Now      time.Time  `json:"now"`
		Items    []itemRow  `json:"items"`
		Next     *string    `json:"next"` // null on the last page
		Since    *time.Time `json:"since"`
		Complete bool       `json:"complete"`
	}{s.now(), rows, textOrNull(page.Next), timeOrNull(since), complete}, nil
}

func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
