package console

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/barograph/barograph/news"
)

// Query says which readings are looked for. Zero fields match all.
type Query struct {
	ID        string
	Entity    string // regardless of case
	Topic     string
	Source    string
	Lang      string
	Sentiment string // negative (as the trend stage counts), neutral or positive
	Text      string // in title or text, regardless of case
	From, To  time.Time
	After     string // Page.Next of the page before
	Limit     int
}

// Page is what was found, the latest publication first.
type Page struct {
	Readings []*news.Reading // not to be changed
	Next     string          // Query.After of the page after; "" = there is none
}

func (q *Query) match(r *news.Reading) bool {
	return (q.ID == "" || q.ID == r.ID) &&
		(q.Entity == "" || slices.ContainsFunc(r.Entities, func(e string) bool { return strings.EqualFold(e, q.Entity) })) &&
		(q.Topic == "" || strings.EqualFold(q.Topic, r.Topic.Label)) &&
		(q.Source == "" || strings.EqualFold(q.Source, r.Source)) &&
		(q.Lang == "" || strings.EqualFold(q.Lang, r.Lang)) &&
		(q.Sentiment == "" || q.Sentiment == shownSentiment(r)) &&
		(q.Text == "" || strings.Contains(strings.ToLower(r.Title), q.Text) || strings.Contains(strings.ToLower(r.Text), q.Text))
}

// shownSentiment is what a reading is shown as: negative and positive are as they are counted.
func shownSentiment(r *news.Reading) string {
	switch {
	case r.Negative():
		return "negative"
	case r.Positive():
		return "positive"
	}
	return "neutral"
}

// Search finds readings. Its error is about Query.After.
func (x *Index) Search(q Query) (Page, error) {
	q.Text = strings.ToLower(q.Text)
	x.mu.RLock()
	defer x.mu.RUnlock()
	end := len(x.readings)
	if !q.To.IsZero() {
		end = x.position(&news.Reading{PublishedAt: q.To})
	}
	if q.After != "" {
		mark, err := readCursor(q.After)
		if err != nil {
			return Page{}, err
		}
		end = min(end, x.position(mark))
	}
	var page Page
	for i := end - 1; i >= 0; i-- {
		r := x.readings[i]
		if r.PublishedAt.Before(q.From) {
			break
		}
		if !q.match(r) {
			continue
		}
		if len(page.Readings) == q.Limit {
			page.Next = cursor(page.Readings[q.Limit-1])
			break
		}
		page.Readings = append(page.Readings, r)
	}
	return page, nil
}

func (x *Index) position(r *news.Reading) int {
	i, _ := slices.BinarySearchFunc(x.readings, r, before)
	return i
}

// cursor names a place in the order of readings, also when that reading is gone.
func cursor(r *news.Reading) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d\x1f%s", r.PublishedAt.UnixNano(), keyOf(r)))
}

func readCursor(text string) (*news.Reading, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	at, key, found := strings.Cut(string(raw), "\x1f")
	parts := strings.Split(key, "\x1f")
	nanos, notANumber := strconv.ParseInt(at, 10, 64)
	if err != nil || notANumber != nil || !found || len(parts) != 3 {
		return nil, fmt.Errorf("%w: after is not the \"next\" of an earlier answer", ErrInvalid)
	}
	return &news.Reading{PublishedAt: time.Unix(0, nanos), Source: parts[0], ID: parts[1], Entities: strings.Split(parts[2], "\x1e")}, nil
}
