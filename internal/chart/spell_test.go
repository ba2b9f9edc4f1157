package chart

import (
	"testing"
	"time"

	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font/opentype"
)

func TestSpelled(t *testing.T) {
	font, err := opentype.Parse(liberationsansregular.TTF)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"AAPL · Earnings":    "AAPL · Earnings",
		"Société Générale Ж": "Société Générale Ж",
		"贵州茅台":               "gui zhou mao tai",
		"贵州茅台 · 公司":          "gui zhou mao tai · gong si",
		"A股（沪深300）":          "A gu(hu shen 300)",
		"to the 🚀 now":       "to the [U+1F680] now",
		"삼성":                 "[U+C0BC][U+C131]",
		"":                   "",
	} {
		if got := spelled(font, text); got != want {
			t.Errorf("%q is spelled %q, want %q", text, got, want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, tt := range []struct {
		highest, asked float64
		want           []float64
	}{
		{1, 4, []float64{0, 1}}, {4, 4, []float64{0, 1, 2, 3, 4}}, {5, 4, []float64{0, 2, 4, 6}},
		{13, 4, []float64{0, 5, 10, 15}}, {13, 1, []float64{0, 20}}, {900, 4, []float64{0, 500, 1000}}, {0, 0, []float64{0}},
	} {
		if got := countTicks(tt.highest, tt.asked); len(got) != len(tt.want) || got[len(got)-1] != tt.want[len(tt.want)-1] {
			t.Errorf("up to %g, %g asked: %v, want %v", tt.highest, tt.asked, got, tt.want)
		}
	}
	day := 24 * time.Hour
	for stretch, want := range map[time.Duration]time.Duration{time.Hour: 10 * time.Minute, 10 * time.Hour: 2 * time.Hour,
		7 * day: day, 3650 * day: 532 * day} {
		if got := stepOf(stretch, 7); got != want {
			t.Errorf("%s in 7 steps: %s, want %s", stretch, got, want)
		}
	}
}
