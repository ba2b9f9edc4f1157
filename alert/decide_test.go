package alert

import (
	"testing"
	"time"

	"github.com/barograph/barograph/news"
)

func TestDecide(t *testing.T) {
	fresh := opened(burst(apple, noon, 10, 3), 6)
	told := fresh
	told.Told, told.ToldSeverity, told.ToldSurprise = true, news.Warning, 3
	worse := extended(told, burst(apple, noon.Add(time.Minute), 20, 4), 6)
	critical := extended(told, burst(apple, noon.Add(time.Minute), 40, 6), 6)
	because := func(r record, why Reason) record { r.Why = why; return r }

	tests := []struct {
		name  string
		r     record
		muted bool
		held  Reason
		want  Decision
	}{
		{name: "first spike", r: fresh, want: Decision{Fire, FirstExceedance}},
		{name: "muted", r: fresh, muted: true, want: Decision{Silenced, MutedByPeople}},
		{name: "silence ended", r: because(fresh, MutedByPeople), want: Decision{Fire, SilenceEnded}},
		{name: "another spoke", r: fresh, held: CompanySpoke, want: Decision{Hold, CompanySpoke}},
		{name: "the other ended", r: because(fresh, CompanySpoke), want: Decision{Fire, CauseEnded}},
		{name: "told and no worse", r: told, want: Decision{Hold, Continues}},
		{name: "told and worse", r: worse, want: Decision{Escalate, SurpriseRose}},
		{name: "told and now critical", r: critical, want: Decision{Escalate, SeverityRose}},
		{name: "worse but muted", r: critical, muted: true, want: Decision{Silenced, MutedByPeople}},
		{name: "told is not held back later", r: worse, held: CompanySpoke, want: Decision{Escalate, SurpriseRose}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := decide(tt.r, tt.muted, tt.held, 1); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Spikes of one alert may come in any order and more than once.
func TestExtendedIsAJoin(t *testing.T) {
	first := burst(apple, noon, 10, 3)
	a, b := burst(apple, noon.Add(time.Minute), 20, 5), burst(apple, noon.Add(2*time.Minute), 15, 4)
	one := extended(extended(opened(first, 6), a, 6), b, 6)
	other := extended(extended(extended(extended(opened(first, 6), b, 6), a, 6), b, 6), first, 6)
	if one.Alert.Negative != 20 || one.LastAt != b.At || one.Alert.ID != idOf(apple, "", first.StartedAt) {
		t.Errorf("merged to %d negatives, last %s, ID %s", one.Alert.Negative, one.LastAt, one.Alert.ID)
	}
	if one.Alert.Surprise != other.Alert.Surprise || one.LastAt != other.LastAt || one.LastStart != other.LastStart || one.Alert.ID != other.Alert.ID {
		t.Errorf("order matters:\n%+v\n%+v", one, other)
	}
}

func TestQuiet(t *testing.T) {
	short, long := opened(burst(apple, noon, 10, 3), 6), opened(burst(apple, noon, 10, 3), 6)
	long.Until = noon.Add(4 * time.Hour)
	old := long // as it was kept before there was an Until
	old.Until, old.Alert.Window = time.Time{}, news.Duration(3*time.Hour)
	tests := []struct {
		name  string
		r     record
		after time.Duration
		want  bool
	}{
		{"before the quiet time", short, 59 * time.Minute, false},
		{"after it", short, time.Hour, true},
		{"the spike is on for longer than the quiet time", long, 3 * time.Hour, false},
		{"after that", long, 4 * time.Hour, true},
		{"within the window of an old record", old, 2 * time.Hour, false},
		{"after it", old, 3 * time.Hour, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := !tt.r.quietAt(time.Hour).After(noon.Add(tt.after)); got != tt.want {
				t.Errorf("quiet after %s: %v", tt.after, got)
			}
		})
	}
}
