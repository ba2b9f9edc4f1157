package trend

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// The reference detector of the spike benchmark, where the rule is the same: see
// bench/spikes/vectors.py. What departs from it is listed in bench/spikes/README.md.
func TestAgreesWithTheReference(t *testing.T) {
	text, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Start  int64
		Tails  []struct{ Y, Mean, Size, P float64 }
		Slots  []struct{ T, Slot int64 }
		Series []struct {
			Chunks [][2]int
			After  []struct {
				Level, A, B, Shape float64
				Factor             [hoursOfWeek]float64
			}
		}
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-8*math.Abs(want) {
			t.Errorf("%s: %.12g, the reference has %.12g", what, got, want)
		}
	}
	for _, c := range want.Tails {
		near("tail", negBinTail(c.Y, c.Mean, c.Size), c.P)
	}
	for _, c := range want.Slots {
		if got := slot(floorDiv(c.T, bucketSeconds)); int64(got) != c.Slot {
			t.Errorf("slot of %d: %d, the reference has %d", c.T, got, c.Slot)
		}
	}
	learnt := 0
	for _, s := range want.Series {
		b := newBaseline(floorDiv(want.Start, bucketSeconds), noon)
		for i, got := range s.Chunks {
			b.learnChunk(b.next, float64(got[0]), float64(got[1]), 0, noPrior())
			b.pass(1)
			if i%48 != 47 {
				continue
			}
			after := s.After[i/48]
			near("level", b.level(), after.Level)
			near("share's a", b.share(noPrior()).a, after.A)
			near("share's b", b.share(noPrior()).b, after.B)
			near("shape of the volume", b.volumeShape(), after.Shape)
			for h := range after.Factor {
				near("factor of an hour", b.factor(h, noPrior()), after.Factor[h])
			}
			learnt++
		}
	}
	if len(want.Tails) < 50 || len(want.Slots) < 50 || learnt < 20 {
		t.Errorf("%d tails, %d slots and %d days of learning: too little to tell", len(want.Tails), len(want.Slots), learnt)
	}
}
