package alert

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/barograph/barograph/news"
)

// ofKind is a spike of a kind in a series, of so many items that make it.
func ofKind(kind news.SpikeKind, of news.Series, n int) news.Spike {
	s := burst(of, noon, n, 4)
	s.Kind = kind
	switch kind {
	case news.SpikePositive:
		s.Window.Negative, s.Window.Positive = 0, n
	case news.SpikeVolume:
		s.Window.Negative, s.Window.Items = 0, n
	}
	return s
}

// Good news does not hold bad news back, nor the reverse; that there is much news is not told
// beside what sort of news it is.
func TestKindsAreAlertsOfTheirOwn(t *testing.T) {
	bad, good, much := ofKind("", apple, 20), ofKind(news.SpikePositive, apple, 15), ofKind(news.SpikeVolume, apple, 40)
	topic := ofKind(news.SpikePositive, appleLawsuit, 5)
	for name, tt := range map[string]struct {
		spikes []news.Spike
		want   []string
	}{
		"bad and good":      {[]news.Spike{good, bad}, []string{"fire AAPL: first_exceedance", "fire AAPL: first_exceedance"}},
		"bad and much":      {[]news.Spike{much, bad}, []string{"fire AAPL: first_exceedance", "hold AAPL: same_burst"}},
		"good and much":     {[]news.Spike{much, good}, []string{"fire AAPL: first_exceedance", "hold AAPL: same_burst"}},
		"much alone":        {[]news.Spike{much}, []string{"fire AAPL: first_exceedance"}},
		"good of a company": {[]news.Spike{topic, good}, []string{"fire AAPL: first_exceedance", "hold AAPL · Lawsuit: company_spoke"}},
		"bad and its good":  {[]news.Spike{bad, topic}, []string{"fire AAPL: first_exceedance", "fire AAPL · Lawsuit: first_exceedance"}},
	} {
		if got := story(emptyState(), testRules, tt.spikes)[0]; !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	ids := map[string]bool{}
	for _, s := range []news.Spike{bad, good, much} {
		a := opened(s, 6).Alert
		ids[a.ID] = true
		if a.Kind != s.Kind.OrNegative() || a.Count() != s.Count() {
			t.Errorf("alert of kind %q that counts %d, want %q and %d", a.Kind, a.Count(), s.Kind, s.Count())
		}
	}
	if spelt := ofKind(news.SpikeNegative, apple, 20); len(ids) != 3 || !ids[opened(spelt, 6).Alert.ID] {
		t.Errorf("ids %v: want three, whether or not negative is spelt out", ids)
	}
}

func TestKindInTheBody(t *testing.T) {
	for kind, want := range map[news.SpikeKind]string{"": "negative", news.SpikePositive: "positive", news.SpikeVolume: "volume"} {
		raw, err := json.Marshal(opened(ofKind(kind, apple, 20), 6).Alert)
		var body struct{ Kind string }
		if err != nil || json.Unmarshal(raw, &body) != nil || body.Kind != want {
			t.Errorf("kind %q in %s", body.Kind, raw)
		}
	}
}
