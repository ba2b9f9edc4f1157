package alert

import (
	"testing"

	"github.com/barograph/barograph/news"
)

// Where messages link to, also for names that could lead elsewhere.
func TestPages(t *testing.T) {
	alert := news.Alert{ID: "37e9a618dab818fe"}
	for _, tt := range []struct {
		console string
		series  news.Series
		want    string
	}{
		{"", apple, ""},
		{"https://b.example", apple, "https://b.example/s/AAPL"},
		{"https://b.example/", apple, "https://b.example/s/AAPL"},
		{"https://b.example/baro", appleLawsuit, "https://b.example/baro/s/AAPL/Lawsuit"},
		{"https://b.example", lawsuit, "https://b.example/s/-/Lawsuit"},
		{"https://b.example", everything, "https://b.example/s/-"},
		{"https://b.example", news.Series{Entity: "../a?b#c/d", Topic: "公司"}, "https://b.example/s/..%2Fa%3Fb%23c%2Fd/%E5%85%AC%E5%8F%B8"},
	} {
		if got := seriesPage(tt.console, tt.series); got != tt.want {
			t.Errorf("%q of %q: %q, want %q", tt.series, tt.console, got, tt.want)
		}
	}
	if got, want := alertPage("https://b.example/", alert), "https://b.example/a/37e9a618dab818fe"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
