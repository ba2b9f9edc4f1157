package news_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
)

func TestContentAndHeadline(t *testing.T) {
	tests := []struct {
		name              string
		item              news.Item
		content, headline string
	}{
		{"a title", news.Item{Title: "Boeing slips"}, "Boeing slips", "Boeing slips"},
		{"a text", news.Item{Text: "Boeing slips\nand falls"}, "Boeing slips\nand falls", "Boeing slips"},
		{"both", news.Item{Title: "Boeing slips", Text: "It fell."}, "Boeing slips\nIt fell.", "Boeing slips"},
		{"a text that begins with its title", news.Item{Title: "Boeing slips", Text: "Boeing slips again"}, "Boeing slips again", "Boeing slips"},
		{"a long title", news.Item{Title: "波音交付量减半，供应商受累"}, "波音交付量减半，供应商受累", "波音交付量减半，供应商…"},
		{"exactly as long as there is room", news.Item{Title: "波音交付量减半，供应商受"}, "波音交付量减半，供应商受", "波音交付量减半，供应商受"},
		{"nothing", news.Item{}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.item.Content(); got != tt.content {
				t.Errorf("content %q, want %q", got, tt.content)
			}
			if got := tt.item.Headline(12); got != tt.headline {
				t.Errorf("headline %q, want %q", got, tt.headline)
			}
		})
	}
}

func TestSeriesOf(t *testing.T) {
	r := news.Reading{Entities: []string{"AIR", "BA"}, Topic: news.Topic{Label: "Earnings"}}
	var got []string
	for _, s := range news.SeriesOf(r) {
		got = append(got, s.String())
	}
	want := []string{"everything", "Earnings", "AIR", "AIR · Earnings", "BA", "BA · Earnings"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("series %q, want %q", got, want)
	}
	r.Topic.Label = ""
	if got := len(news.SeriesOf(r)); got != 3 {
		t.Errorf("%d series without a topic, want everything and two companies", got)
	}
}

func TestReasonIsASentence(t *testing.T) {
	spike := news.Spike{Window: news.Window{Length: 30 * time.Minute, Items: 9, Negative: 8}, Expected: 0.31, VolumeFactor: 1, Surprise: 3.7}
	for surprise, want := range map[float64]string{
		3.7: "8 negative of 9 items in 30 min, 0.3 expected; by chance once in 2,505 days",
		0.2: "8 negative of 9 items in 30 min, 0.3 expected; by chance about once a day",
		7:   "8 negative of 9 items in 30 min, 0.3 expected; by chance less than once in a million days",
	} {
		spike.Surprise = surprise
		if got := spike.Reason(); got != want {
			t.Errorf("surprise %g: %q, want %q", surprise, got, want)
		}
	}
	spike.Surprise, spike.VolumeFactor, spike.Expected, spike.Window.Length = 7, 3.2, 12.4, 2*time.Hour
	if got, want := spike.Reason(), "8 negative of 9 items in 2 h, 12 expected at 3.2 times the usual volume; by chance less than once in a million days"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestReasonSaysItsKind(t *testing.T) {
	spike := news.Spike{Window: news.Window{Length: 30 * time.Minute, Items: 40, Positive: 31, Negative: 4}, Expected: 9, VolumeFactor: 1, Surprise: 7}
	for kind, want := range map[news.SpikeKind]string{
		"":                 "4 negative of 40 items in 30 min, 9.0 expected; by chance less than once in a million days",
		news.SpikeNegative: "4 negative of 40 items in 30 min, 9.0 expected; by chance less than once in a million days",
		news.SpikePositive: "31 positive of 40 items in 30 min, 9.0 expected; by chance less than once in a million days",
		news.SpikeVolume:   "40 items in 30 min, 9.0 expected; by chance less than once in a million days",
	} {
		if spike.Kind = kind; spike.Reason() != want {
			t.Errorf("%q: %q, want %q", kind, spike.Reason(), want)
		}
	}
	for kind, want := range map[news.SpikeKind]float64{"": .1, news.SpikePositive: .775, news.SpikeVolume: 1} {
		if spike.Kind = kind; spike.Share() != want {
			t.Errorf("%q: share %g, want %g", kind, spike.Share(), want)
		}
	}
}

func TestAnAlertSaysWhoToldIt(t *testing.T) {
	for want, a := range map[string]news.Alert{
		"4 sources, no copies":        {Sources: 4},
		"1 source, 1 further copy":    {Sources: 1, Copies: 1},
		"2 sources, 7 further copies": {Sources: 2, Copies: 7},
	} {
		if got := a.ToldBy(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestDurationInJSON(t *testing.T) {
	for d, want := range map[time.Duration]string{15 * time.Minute: "15m", 2 * time.Hour: "2h", 90 * time.Second: "1m30s", 90 * time.Minute: "1h30m"} {
		text, err := json.Marshal(news.Duration(d))
		var back news.Duration
		if err != nil || string(text) != `"`+want+`"` || json.Unmarshal(text, &back) != nil || time.Duration(back) != d {
			t.Errorf("%s: %s and back %s, %v; want %q", d, text, back, err, want)
		}
	}
	var d news.Duration
	if json.Unmarshal([]byte(`"soon"`), &d) == nil {
		t.Error("soon is a duration")
	}
}
