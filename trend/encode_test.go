package trend

import (
	"slices"
	"testing"
)

func TestParseRing(t *testing.T) {
	five, seven := count{bucket: 5, items: 1}, count{bucket: 7, items: 3, negative: 2, copies: 1, echoes: 1}
	for text, want := range map[string]packed{
		"60;7:3,2,1,1;5:1,0,0,0;":               {ring{five, seven}, 60, 2}, // as it was stored before
		"60;7:3,2,1,1;5:1;":                     {ring{five, seven}, 60, 2},
		"0;7:1,1;5:1;7:,,1;7:1,1;7:1,,,1;":      {ring{five, seven}, 0, 5},
		"5;5:,,,,1;5:1;":                        {ring{{bucket: 5, items: 1, leaning: 1}}, 5, 2},
		"-6;-1:2;-1:1,,,,3;":                    {ring{{bucket: -1, items: 3, leaning: 3}}, -6, 2},
		"60;":                                   {ring{}, 60, 0},
		"60;61:1;60:1;62:2;60:1;61:,1;63:,,1,;": {ring{{bucket: 60, items: 2}, {bucket: 61, items: 1, negative: 1}, {bucket: 62, items: 2}, {bucket: 63, copies: 1}}, 60, 6},
	} {
		if got, err := parseRing(text); err != nil || !slices.Equal(got.ring, want.ring) || got.learnt != want.learnt || got.entries != want.entries {
			t.Errorf("%q: %+v (%v), want %+v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "5", "x;", "5;x;", "5;1;", "5;1:2,3,4,x;", "5;1:1,1,1,1,1,1;", "5;;", "5:1;", "5;5:1", "5;5:1;6:", "5;5:1;7;", "1;1:1;x:1;"} {
		if got, err := parseRing(bad); err == nil {
			t.Errorf("counts %q are taken: %+v", bad, got)
		}
	}
}

func FuzzParseRing(f *testing.F) {
	f.Add("60;7:3,2,1,1;5:1,0,0,0;")
	f.Add("0;7:1;5:,,1;7:1,1;")
	f.Add("-1;9223372036854775807:1,1,1,0;-9223372036854775808:1,1,1,0;")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRing(text)
		if err != nil {
			return
		}
		for i := 1; i < len(r.ring); i++ {
			if r.ring[i-1].bucket >= r.ring[i].bucket {
				t.Errorf("%q: out of order at %d: %v", text, i, r)
			}
		}
		if len(r.ring) > r.entries {
			t.Errorf("%q: %d buckets of %d entries", text, len(r.ring), r.entries)
		}
	})
}
