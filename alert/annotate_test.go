package alert

import (
	"errors"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
)

func openAlert(t *testing.T, d *Desk) news.Alert {
	t.Helper()
	open, err := d.Open(t.Context())
	if err != nil || len(open) != 1 {
		t.Fatalf("open: %+v, %v", open, err)
	}
	return open[0]
}

func noted(t *testing.T, d *Desk, id string, n news.Note) {
	t.Helper()
	if err := d.Annotate(t.Context(), id, n); err != nil {
		t.Fatal(err)
	}
}

// What people did is on the alert, once, survives its growth, and is told where it was told.
func TestNotes(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, nil)
	consider(t, d, burst(apple, noon, 10, 3))
	id := openAlert(t, d).ID
	ack := news.Note{At: noon.Add(time.Minute), By: "slack:U0KIM", Did: news.Acknowledged}
	wrong := news.Note{At: noon.Add(2 * time.Minute), By: "slack:U0KIM", Did: news.Corrected, Item: "a", Task: news.TaskSentiment, Label: "neutral"}
	better := wrong
	better.At, better.Label = noon.Add(3*time.Minute), "positive"
	second := ack
	second.By, second.At = "slack:U0LEE", noon.Add(time.Hour)
	for _, n := range []news.Note{ack, ack, second, wrong, better, wrong} {
		noted(t, d, id, n)
	}
	consider(t, d, burst(apple, noon.Add(10*time.Minute), 40, 7))
	a := openAlert(t, d)
	if len(a.Notes) != 2 || a.Notes[0] != ack || a.Notes[1] != better {
		t.Errorf("notes %+v, want %+v and %+v", a.Notes, ack, better)
	}
	drainAll(t, d)
	if n := len(o.slack.Calls("chat.update")); n != 4+2 { // three notes and the growth; in the thread, the two corrections
		t.Errorf("%d edits, want 6", n)
	}
	for _, n := range []news.Note{{At: noon, Did: news.Acknowledged}, {At: noon, By: "x", Did: news.Corrected}, {At: noon, By: "x", Did: "liked"}} {
		if err := d.Annotate(t.Context(), id, n); !errors.Is(err, ErrInvalidNote) {
			t.Errorf("%+v: %v", n, err)
		}
	}
	if err := d.Annotate(t.Context(), "none", ack); !errors.Is(err, ErrNoSuchAlert) {
		t.Errorf("an alert that is not there: %v", err)
	}
}

// A mute of an alert silences its series until its time, or until the alert is resolved.
func TestMutes(t *testing.T) {
	tests := []struct {
		name   string
		muted  news.Series
		long   time.Duration
		later  news.Series // fires after the alert is resolved
		silent bool
	}{
		{"for a day, the company", apple, 24 * time.Hour, apple, true},
		{"for a day, its topics, too", apple, 24 * time.Hour, appleLawsuit, true},
		{"for a day, others not", apple, 24 * time.Hour, tesla, false},
		{"for an hour", apple, time.Hour, apple, false},
		{"until resolved", apple, 0, apple, false},
		{"a topic, not its companies", lawsuit, 24 * time.Hour, appleLawsuit, false},
		{"everything, not everyone", everything, 24 * time.Hour, apple, false},
		{"everything itself", everything, 24 * time.Hour, everything, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newOffice(t)
			d := o.desk(t, nil)
			consider(t, d, burst(tt.muted, noon, 10, 3))
			id := openAlert(t, d).ID
			for range 2 { // the press is given twice
				if err := d.Mute(t.Context(), id, "slack:U0KIM", noon, tt.long); err != nil {
					t.Fatal(err)
				}
			}
			if notes := openAlert(t, d).Notes; len(notes) != 1 || notes[0].Did != news.Muted || notes[0].Until.IsZero() != (tt.long == 0) {
				t.Errorf("notes %+v", notes)
			}
			silences := NewSilences(o.redis, "", o.arrival.now)
			if list, err := silences.List(t.Context()); err != nil || len(list) != 1 {
				t.Errorf("silences %+v, %v", list, err)
			}
			consider(t, d, burst(tt.muted, noon.Add(10*time.Minute), 40, 9))
			if a := openAlert(t, d); a.Surprise != 9 {
				t.Errorf("a muted alert's numbers stand still: %+v", a)
			}
			o.arrival.add(2 * time.Hour)
			housekeep(t, d) // resolved
			drainAll(t, d)
			consider(t, d, burst(tt.later, noon.Add(2*time.Hour+time.Minute), 10, 3))
			open, err := d.Open(t.Context())
			if err != nil || (len(open) == 0) != tt.silent {
				t.Errorf("open later: %+v, %v; silent: want %v", open, err, tt.silent)
			}
			if n := posts(o); n != 1 {
				t.Errorf("%d posts of the muted alert, want 1", n)
			}
		})
	}
}
