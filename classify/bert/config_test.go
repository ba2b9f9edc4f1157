package bert

import (
	"reflect"
	"testing"
)

func TestHeads(t *testing.T) {
	label := func(labels ...string) map[string]string {
		m := map[string]string{}
		for i, l := range labels {
			m[string(rune('0'+i))] = l
		}
		return m
	}
	for name, x := range map[string]struct {
		config Config
		want   []Head
	}{
		"FinBERT's labels are a sentiment": {Config{Labels: label("Positive", "NEGATIVE", "neutral")},
			[]Head{{"sentiment", []string{"positive", "negative", "neutral"}, 1}}},
		"other labels are a topic": {Config{Labels: label("Macro", "M&A")}, []Head{{"topic", []string{"Macro", "M&A"}, 1}}},
		"transformers' default":    {Config{}, []Head{{"topic", []string{"LABEL_0", "LABEL_1"}, 1}}},
		"the section goes first": {Config{Labels: label("a", "b"), Barograph: &Bundle{Heads: []Head{
			{"sentiment", []string{"negative", "neutral", "positive"}, 1.5}, {"topic", []string{"x"}, 0}}}},
			[]Head{{"sentiment", []string{"negative", "neutral", "positive"}, 1.5}, {"topic", []string{"x"}, 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := x.config.Heads(); !reflect.DeepEqual(got, x.want) {
				t.Errorf("got %v, want %v", got, x.want)
			}
		})
	}
}
