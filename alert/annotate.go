package alert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/barograph/barograph/news"
)

// ErrNoSuchAlert is the error of what is done about an alert that is not open: resolved, or
// never told.
var ErrNoSuchAlert = errors.New("no such alert is open")

// ErrInvalidNote is the error of a note that says too little.
var ErrInvalidNote = errors.New("invalid note")

// longestMute bounds a silence "until the alert is resolved".
const longestMute = 7 * 24 * time.Hour

// mostNotes is how many notes an alert keeps, the newest.
const mostNotes = 20

// Annotate records that somebody acknowledged an alert or corrected one of its texts, and
// tells those who were told of it. It may be repeated: a second acknowledgement changes
// nothing, a second correction of a text and task replaces the first. The correction itself
// is Corrections' to record.
func (d *Desk) Annotate(ctx context.Context, id string, n news.Note) error {
	switch {
	case n.By == "" || n.At.IsZero():
		return fmt.Errorf("alert %s: %w: it needs an author and a time", id, ErrInvalidNote)
	case n.Did == news.Corrected && (n.Item == "" || n.Task == "" || n.Label == ""):
		return fmt.Errorf("alert %s: %w: a correction needs an item, a task and a label", id, ErrInvalidNote)
	case n.Did != news.Corrected && n.Did != news.Acknowledged:
		return fmt.Errorf("alert %s: %w: %q is neither acknowledged nor corrected", id, ErrInvalidNote, n.Did)
	}
	return d.annotate(ctx, id, func(news.Alert) (news.Note, *Silence) { return n, nil })
}

// Mute silences an alert's series for so long from at, or until the alert is resolved where
// long is 0 (a week at most), and tells those who were told of it. For a company's alert that
// is the company with its topics; for a topic's, or everything's, that series alone. The
// same call again changes nothing. The resolution of the alert is told all the same.
func (d *Desk) Mute(ctx context.Context, id, by string, at time.Time, long time.Duration) error {
	if by == "" || at.IsZero() || long < 0 {
		return fmt.Errorf("alert %s: %w: a mute needs an author, a time, and how long", id, ErrInvalidNote)
	}
	return d.annotate(ctx, id, func(a news.Alert) (news.Note, *Silence) {
		m := muteOf(a, by, at, long)
		n := news.Note{At: at, By: by, Did: news.Muted}
		if m.Alert == "" {
			n.Until = m.Until.UTC()
		}
		return n, &m
	})
}

// muteOf is the silence behind Mute. Its ID is the press of the button's, so that the same
// press makes the same silence.
func muteOf(a news.Alert, by string, at time.Time, long time.Duration) Silence {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d\n%d", a.ID, by, at.UnixNano(), long))
	m := Silence{
		ID: hex.EncodeToString(sum[:5]), Entity: a.Series.Entity, Topic: a.Series.Topic,
		Exact: a.Series.Entity == "", Until: at.Add(long), Author: by, CreatedAt: at,
		Comment: "muted at its alert",
	}
	if long == 0 {
		m.Alert, m.Until = a.ID, at.Add(longestMute)
	}
	return m
}

func (d *Desk) annotate(ctx context.Context, id string, noteOn func(news.Alert) (news.Note, *Silence)) error {
	var known bool
	err := d.change(ctx, func(s *state) []outcome {
		var key string
		if key, known = s.told(id); !known {
			return nil
		}
		n, silence := noteOn(s.open[key].Alert)
		outcomes := d.rules().annotate(s, key, n)
		if silence != nil && len(outcomes) > 0 {
			s.silence(*silence, d.clock())
		}
		return outcomes
	})
	if err == nil && !known {
		err = ErrNoSuchAlert
	}
	if err != nil {
		return fmt.Errorf("alert %s: %w", id, err)
	}
	return nil
}

// told finds the open alert of an ID that somebody was told of.
func (s *state) told(id string) (key string, known bool) {
	for key, r := range s.open {
		if r.Alert.ID == id && r.Told {
			return key, true
		}
	}
	return "", false
}

// annotate adds a note to an alert, unless it says nothing new, and tells of it.
func (u rules) annotate(s *state, key string, n news.Note) []outcome {
	r := s.open[key]
	notes, changed := withNote(r.Alert.Notes, n)
	if !changed {
		return nil
	}
	r.Alert.Notes = notes
	o := outcome{Decision: Decision{Annotate, ByPeople}, deliveries: u.tell(s, &r, Annotate, later(r.Alert.UpdatedAt, n.At))}
	o.alert = r.Alert
	s.set(key, r)
	return []outcome{o}
}

func withNote(notes []news.Note, n news.Note) (out []news.Note, changed bool) {
	n.At = n.At.UTC()
	same := func(o news.Note) bool {
		switch n.Did {
		case news.Acknowledged:
			return o.Did == news.Acknowledged
		case news.Corrected:
			return o.Did == news.Corrected && o.Item == n.Item && o.Task == n.Task
		}
		return o.Did == n.Did && o.By == n.By && o.At.Equal(n.At)
	}
	i := slices.IndexFunc(notes, same)
	switch {
	case i >= 0 && (n.Did != news.Corrected || notes[i].Label == n.Label || !n.At.After(notes[i].At)):
		return notes, false
	case i >= 0:
		out = slices.Clone(notes)
		out[i] = n
		return out, true
	}
	out = append(slices.Clone(notes), n)
	return out[max(0, len(out)-mostNotes):], true
}
