package finetune

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune/step"
)

func TestTheRateRisesAndFalls(t *testing.T) {
	s := Defaults(step.LoRA)
	s.Rate, s.Warmup = 1, 0.1
	for decay, want := range map[Decay][]float64{
		Linear: {0.1, 1, 0.5, 1.0 / 91},
		Cosine: {0.1, 1, 0.5, (1 - math.Cos(math.Pi/91)) / 2},
	} {
		s.Decay = decay
		got := []float64{s.rate(1, 100), s.rate(10, 100), (s.rate(55, 100) + s.rate(56, 100)) / 2, s.rate(100, 100)}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-9 {
				t.Errorf("%s: %v, want %v", decay, got, want)
				break
			}
		}
	}
	s.Warmup = 0
	if got := s.rate(1, 1); !(got > 0) {
		t.Errorf("the only update has the rate %v", got)
	}
}

func TestThePlanCountsUpdates(t *testing.T) {
	s := Defaults(step.LoRA)
	s.Batch, s.Accumulate, s.Epochs = 32, 2, 3
	if got := s.plan(130); got != (plan{3, 9, 3}) {
		t.Errorf("130 rows in updates of 64, three times: %+v", got)
	}
	s.Updates = 4
	if got := s.plan(130); got != (plan{3, 4, 2}) {
		t.Errorf("four updates: %+v", got)
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	for name, change := range map[string]func(*Settings){
		"lr is NaN":            func(s *Settings) { s.Rate = math.NaN() },
		"rank is 0":            func(s *Settings) { s.Rank = 0 },
		"targets is query,foo": func(s *Settings) { s.Targets = []string{"query", "foo"} },
		"decay is steep":       func(s *Settings) { s.Decay = "steep" },
		"batch is 0":           func(s *Settings) { s.Batch = 0 },
		"accumulate is -1":     func(s *Settings) { s.Accumulate = -1 },
		": dropout is 1":       func(s *Settings) { s.Dropout = 1 },
		"lora-dropout is -0.1": func(s *Settings) { s.LoRADropout = -0.1 },
		"lora-dropout is 1":    func(s *Settings) { s.LoRADropout = 1 },
		"average is 1":         func(s *Settings) { s.Average = 1 },
		"steps is -5":          func(s *Settings) { s.Updates = -5 },
		"epochs is 0":          func(s *Settings) { s.Epochs = 0 },
		"clip-norm is -1":      func(s *Settings) { s.ClipNorm = -1 },
		"weight-decay is +Inf": func(s *Settings) { s.WeightDecay = math.Inf(1) },
	} {
		s := Defaults(step.LoRA)
		change(&s)
		if err := s.check(); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	some := Defaults(step.LoRA)
	some.Targets = []string{"query", "dense", "output.dense", "self.value"}
	if err := some.check(); err != nil {
		t.Error(err)
	}
	few := &job{Config: Config{Settings: Defaults(step.LoRA), Threads: -3}}
	if err := few.prepare(); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), "threads is -3") {
		t.Errorf("threads: %v", err)
	}
	for _, mode := range []step.Mode{step.LoRA, step.Full, step.HeadOnly} {
		if err := Defaults(mode).check(); err != nil {
			t.Error(err)
		}
	}
}

// Dropout of LoRA is told where there is some: in a sweep's table and in the card.
func TestDropoutOfLoRAIsTold(t *testing.T) {
	for mode, want := range map[step.Mode]bool{step.LoRA: true, step.Full: false} {
		s := Defaults(mode)
		for _, s.LoRADropout = range []float64{0, 0.05} {
			card := &strings.Builder{}
			cardTraining(card, Report{Settings: s})
			want := want && s.LoRADropout > 0
			if words := s.InWords(); strings.Contains(words, "lora-dropout 0.05") != want || strings.Contains(words, "lora-dropout") != want {
				t.Errorf("dropout %g, mode %d: %q", s.LoRADropout, mode, words)
			}
			if said := card.String(); strings.Contains(said, "dropout 0.05 of what its matrices A read") != want || strings.Contains(said, "matrices A") != want {
				t.Errorf("dropout %g, mode %d: %s", s.LoRADropout, mode, said)
			}
		}
	}
}

func TestEpochsReadEachTextOnceInBatchesOfOneLength(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var examples []*Example
	for range 1000 {
		n := 1 + random.IntN(100)
		examples = append(examples, &Example{ids: make([]int32, n), types: make([]int32, n)})
	}
	batches := order(examples, 32, 5, 0)
	seen, padded, tokens := map[*Example]bool{}, 0, 0
	for _, b := range batches {
		for _, e := range b {
			seen[e] = true
			tokens += len(e.ids)
		}
		padded += len(layOut(b).IDs)
	}
	if len(seen) != 1000 || len(batches) != 32 {
		t.Errorf("%d texts in %d batches", len(seen), len(batches))
	}
	if share := float64(tokens) / float64(padded); share < 0.85 {
		t.Errorf("%.2f of the batches are text", share)
	}
	same := func(a, b [][]*Example) bool {
		return slices.EqualFunc(a, b, func(x, y []*Example) bool { return slices.Equal(x, y) })
	}
	if !same(batches, order(examples, 32, 5, 0)) || same(batches, order(examples, 32, 5, 1)) || same(batches, order(examples, 32, 6, 0)) {
		t.Error("the order must depend on the seed and the epoch, and on nothing else")
	}
}

func TestTargetsAreSmoothedWeightedAndShared(t *testing.T) {
	heads := []bert.Head{{Task: "sentiment", Labels: []string{"a", "b"}}, {Task: "topic", Labels: []string{"x", "y", "z"}}}
	examples := []*Example{
		{Labels: []int{1, -1}, Weights: []float32{0.5, 0}},
		{Labels: []int{-1, 2}, Weights: []float32{0, 1}},
	}
	got := targets(examples, heads, [][]float32{{1, 2}, {1, 1, 3}}, 0.3, 4)
	near := func(a, b []float32) bool {
		return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Abs(float64(x-y)) < 1e-6 })
	}
	if want := []float32{0.15 * 0.25, 0.85 * 0.25, 0, 0}; !near(got["sentiment"], want) {
		t.Errorf("sentiment: %v, want %v", got["sentiment"], want)
	}
	if want := []float32{0, 0, 0, 0.1 * 0.75, 0.1 * 0.75, 0.8 * 0.75}; !near(got["topic"], want) {
		t.Errorf("topic: %v, want %v", got["topic"], want)
	}
}

// TestTeachersSoftenLabels: the mean of two is 0.7 of the target, by the labels' names.
func TestTeachersSoftenLabels(t *testing.T) {
	e := &Example{Labels: []int{0}, Weights: []float32{0.5}}
	j := &job{heads: []bert.Head{{Task: "sentiment", Labels: []string{"a", "b"}}}, data: dataset{train: []*Example{e}}}
	even, sure := [][]float32{{0, 0}}, [][]float32{{float32(math.Log(3)), 0}}
	for _, teacher := range []struct {
		labels []string
		logits [][]float32
	}{{[]string{"a", "b"}, even}, {[]string{"b", "a"}, sure}} {
		places, err := labelsIn(bert.Head{Task: "sentiment", Labels: teacher.labels}, j.heads[0].Labels)
		if err := errors.Join(err, j.hear(0, j.data.train, places, teacher.logits)); err != nil {
			t.Fatal(err)
		}
	}
	j.average([]int{2}) // a: 0.5 and 0.25, b: 0.5 and 0.75
	got := targets(j.data.train, j.heads, [][]float32{{1, 1}}, 0, 1)["sentiment"]
	if want := []float32{0.5 * (0.3 + 0.7*0.375), 0.5 * 0.7 * 0.625}; math.Abs(float64(got[0]-want[0])) > 1e-6 || math.Abs(float64(got[1]-want[1])) > 1e-6 {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestKeptHeadsAreHeldToTheBase: a text without a label of theirs has what the base says.
func TestKeptHeadsAreHeldToTheBase(t *testing.T) {
	heads := []bert.Head{{Task: "sentiment", Labels: []string{"a", "b"}}, {Task: "topic", Labels: []string{"x", "y"}}}
	e := &Example{Labels: []int{0, -1}, Weights: []float32{1, 0}, soft: [][]float64{nil, {0.25, 0.75}}}
	got := targets([]*Example{e}, heads, [][]float32{{1, 1}, {5, 5}}, 0, 2)
	if !slices.Equal(got["sentiment"], []float32{0.5, 0}) || !slices.Equal(got["topic"], []float32{0.125, 0.375}) {
		t.Errorf("got %v", got)
	}
}

func TestClassWeightsAreOneOnAverage(t *testing.T) {
	n := []int{599, 299, 99}
	for _, power := range []float64{0, 0.25, 1} {
		w, mean := classWeights(n, power), 0.0
		for i := range n {
			mean += float64(n[i]+1) / 1000 * float64(w[i])
		}
		if math.Abs(mean-1) > 1e-6 || (power == 0) != (w[0] == w[2]) {
			t.Errorf("power %v: %v, mean %v", power, w, mean)
		}
	}
	if w := classWeights(n, 1); math.Abs(float64(w[2]/w[0])-6) > 1e-4 {
		t.Errorf("with power 1, classes count alike: %v", w)
	}
}

// TestTheTemperatureIsFound that made the labels' own distribution too sharp.
func TestTheTemperatureIsFound(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 3))
	for _, temperature := range []float64{0.4, 1, 2.5} {
		var truth []int
		var logits [][]float64
		for range 20000 {
			row, p, total := make([]float64, 3), make([]float64, 3), 0.0
			for k := range row {
				row[k] = 2 * random.NormFloat64()
				p[k] = math.Exp(row[k])
				total += p[k]
			}
			at, u := 0, random.Float64()*total
			for ; at < 2 && u > p[at]; at++ {
				u -= p[at]
			}
			for k := range row {
				row[k] *= temperature
			}
			truth, logits = append(truth, at), append(logits, row)
		}
		if got := fitTemperature(truth, logits); math.Abs(got/temperature-1) > 0.05 {
			t.Errorf("temperature %v was found as %v", temperature, got)
		}
	}
}

// TestFewRowsDoNotMakeAModelCertain: five rows, all right, leave the temperature near 1.
func TestFewRowsDoNotMakeAModelCertain(t *testing.T) {
	row := []float64{3, 0, 0}
	if got := fitTemperature([]int{0, 0, 0, 0, 0}, [][]float64{row, row, row, row, row}); got < 0.5 || got > 1 {
		t.Errorf("temperature %v", got)
	}
}
