package step

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/internal/testenv/runtimetest"
)

// tiny is a configuration on the reference's base, with dropout.
func tiny(t testing.TB, mode Mode) Config {
	t.Helper()
	base, err := bert.Open(filepath.Join("testdata", "base"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Base: base, Runtime: runtimetest.Open(t), Device: onnx.CPU, Threads: 2, Mode: mode, Rank: 4, Dropout: 0.1,
		Embeddings: true, Heads: []Head{{"sentiment", 3}, {"topic", 4}}, Seed: 1, ClipNorm: 1, WeightDecay: 0.01,
	}
}

// texts is the i-th of a series of batches of different lengths. A text's label is what
// its first token after the start says.
func texts(i int) Batch {
	random := rand.New(rand.NewPCG(7, uint64(i)))
	b := Batch{Rows: 4 + i%3, Cols: 6 + 2*(i%2), Targets: map[string][]float32{}}
	b.Targets["sentiment"], b.Targets["topic"] = make([]float32, 3*b.Rows), make([]float32, 4*b.Rows)
	for row := range b.Rows {
		length := 3 + random.IntN(b.Cols-2)
		for col := range b.Cols {
			id, mask := int64(0), int64(0)
			if col < length {
				id, mask = 1+random.Int64N(19), 1
			}
			b.IDs, b.Mask = append(b.IDs, id), append(b.Mask, mask)
		}
		label := int(b.IDs[row*b.Cols+1])
		b.Targets["sentiment"][3*row+label%3] = 1 / float32(b.Rows)
		if row%2 == 0 { // the other rows have no topic
			b.Targets["topic"][4*row+label%4] = 1 / float32(b.Rows)
		}
	}
	return b
}

// train takes updates from to before, two batches each.
func train(t testing.TB, tr *Trainer, from, before int) {
	t.Helper()
	for i := from; i < before; i++ {
		for k := range 2 {
			if _, err := tr.Accumulate(texts(2*i + k)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := tr.Update(3e-3); err != nil {
			t.Fatal(err)
		}
	}
}

var modes = map[string]Mode{"LoRA": LoRA, "full": Full, "head only": HeadOnly}

func TestSameSeedSameWeights(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			var runs []map[string]bert.Tensor
			for _, seed := range []uint64{1, 1, 2} {
				c := tiny(t, mode)
				c.Seed = seed
				tr := newTrainer(t, c)
				train(t, tr, 0, 6)
				runs = append(runs, tr.Weights())
			}
			if !equal(runs[0], runs[1]) {
				t.Error("the same seed gave other weights")
			}
			if equal(runs[0], runs[2]) {
				t.Error("another seed gave the same weights")
			}
		})
	}
}

func equal(a, b map[string]bert.Tensor) bool {
	return maps.EqualFunc(a, b, func(x, y bert.Tensor) bool { return slices.Equal(x.Data, y.Data) })
}

// A run that is killed after a Save goes on to the same weights and their average, bit for
// bit, also when it was saved with gradients waiting.
func TestRestoreGoesOnToTheSameEnd(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			c := tiny(t, mode)
			c.Average, c.LoRADropout = 0.9, 0.1
			whole := newTrainer(t, c)
			train(t, whole, 0, 8)

			killed := newTrainer(t, c)
			train(t, killed, 0, 3)
			if _, err := killed.Accumulate(texts(6)); err != nil {
				t.Fatal(err)
			}
			var state bytes.Buffer
			if err := killed.Save(&state); err != nil {
				t.Fatal(err)
			}

			resumed := newTrainer(t, c)
			if err := resumed.Restore(&state); err != nil {
				t.Fatal(err)
			}
			if _, err := resumed.Accumulate(texts(7)); err != nil {
				t.Fatal(err)
			}
			if _, err := resumed.Update(3e-3); err != nil {
				t.Fatal(err)
			}
			train(t, resumed, 4, 8)
			if !equal(whole.Weights(), resumed.Weights()) {
				t.Error("the weights differ")
			}
		})
	}
}

func TestRestoreRefusesWhatIsNotItsState(t *testing.T) {
	tr := newTrainer(t, tiny(t, LoRA))
	train(t, tr, 0, 1)
	var saved bytes.Buffer
	if err := tr.Save(&saved); err != nil {
		t.Fatal(err)
	}
	before := tr.Weights()
	other := tiny(t, LoRA)
	other.Dropout = 0.2
	pairs := tiny(t, LoRA)
	pairs.LoRADropout = 0.2
	flipped := slices.Clone(saved.Bytes())
	flipped[len(flipped)/2] ^= 1
	for name, x := range map[string]struct {
		tr    *Trainer
		state []byte
	}{
		"cut off":       {tr, saved.Bytes()[:saved.Len()-5]},
		"damaged":       {tr, flipped},
		"empty":         {tr, nil},
		"other setting": {newTrainer(t, other), saved.Bytes()},
		"LoRA dropout":  {newTrainer(t, pairs), saved.Bytes()},
		"other weights": {newTrainer(t, tiny(t, HeadOnly)), saved.Bytes()},
	} {
		t.Run(name, func(t *testing.T) {
			if err := x.tr.Restore(bytes.NewReader(x.state)); !errors.Is(err, ErrState) {
				t.Errorf("got %v, want ErrState", err)
			}
		})
	}
	if !equal(before, tr.Weights()) {
		t.Error("a state that was refused changed the weights")
	}
}

// Dropout disturbs every pass by other masks, about as many numbers as it should, and
// Predict not at all.
func TestDropoutIsLive(t *testing.T) {
	tr := newTrainer(t, tiny(t, LoRA))
	seen := map[float64]bool{}
	for range 10 {
		loss, err := tr.Accumulate(texts(0))
		if err != nil {
			t.Fatal(err)
		}
		seen[loss] = true
	}
	if len(seen) != 10 {
		t.Errorf("ten passes gave %d losses", len(seen))
	}
	c := tiny(t, LoRA)
	c.Dropout = 0
	still := newTrainer(t, c)
	loss, err := still.Accumulate(texts(0))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := still.Accumulate(texts(0)); again != loss || seen[loss] {
		t.Errorf("without dropout, the loss is %v and then %v", loss, again)
	}
	// Embeddings, three in each of two layers, the pooled vector.
	if len(tr.masks) != 8 || len(still.masks) != 0 {
		t.Errorf("%d masks with dropout, %d without", len(tr.masks), len(still.masks))
	}
	first, err := tr.Predict(texts(0))
	if err != nil {
		t.Fatal(err)
	}
	if second, _ := tr.Predict(texts(0)); !maps.EqualFunc(first, second, slices.Equal) {
		t.Error("Predict differs from itself")
	}
}

// The last layer's one query a text sees, without keys and values, what it sees with them.
// Adapters of keys and values, which do nothing before the first update, make the trainer
// work them out.
func TestOneQueryNeedsNoKeys(t *testing.T) {
	c := tiny(t, LoRA)
	c.Dropout, c.Targets = 0.3, []string{"query", "attention.output.dense"}
	without := newTrainer(t, c)
	c.Targets, c.Init = []string{"query", "attention.output.dense", "key", "value"}, map[string][]float32{}
	for name, w := range without.Weights() {
		c.Init[name] = w.Data
	}
	with := newTrainer(t, c)
	a, err := without.Accumulate(texts(0))
	if err != nil {
		t.Fatal(err)
	}
	b, err := with.Accumulate(texts(0))
	if err != nil {
		t.Fatal(err)
	}
	if !(math.Abs(a-b) < 1e-5) {
		t.Errorf("the loss is %v without keys, %v with them", a, b)
	}
	for _, w := range without.weights {
		i := slices.IndexFunc(with.weights, func(x weight) bool { return x.name == w.name })
		want := with.weights[i].of(with.grads)
		if d := distance(w.of(without.grads), want); !(d <= 1e-4*norm(want, 1)) {
			t.Errorf("the gradient of %s is off by %g of %g", w.name, d, norm(want, 1))
		}
	}
}

// The steps for CPUs, with operators of their own, give loss and gradients of the step for other
// devices, which has ONNX's alone.
func TestStepIsTheSameForOtherDevices(t *testing.T) {
	all, some := adapted(t, 0), tiny(t, LoRA)
	some.Targets = []string{"query", "output.dense"}
	for name, c := range map[string]Config{"LoRA": all, "LoRA with dropout": adapted(t, 0.2), "LoRA of some": some, "full": tiny(t, Full), "head only": tiny(t, HeadOnly)} {
		t.Run(name, func(t *testing.T) {
			c.Dropout = 0.3
			tr := newTrainer(t, c)
			in, err := tr.inputs(texts(1))
			if err != nil {
				t.Fatal(err)
			}
			by := func(o operators) map[string][]float32 {
				model, _, err := buildGraph(tr.c, tr.weights, o)
				if err != nil {
					t.Fatal(err)
				}
				graph, err := c.Runtime.NewGraph(onnx.GraphConfig{Model: model, Device: onnx.CPU, Threads: 1})
				if err != nil {
					t.Fatal(err)
				}
				defer graph.Close()
				return outputs(t, graph, in)
			}
			want := by(operatorsOf(onnx.CUDA))
			for o, within := range map[operators]float64{
				{kernels: true}: 2e-5, {kernels: true, products: true}: 1e-5, {kernels: true, products: true, weightGrads: true}: 1e-5,
			} {
				got := by(o)
				for name, w := range want {
					if d := distance(got[name], w); !(d <= within*max(norm(w, 1), 0.1)) {
						t.Errorf("by %+v %s is off by %g of %g", o, name, d, norm(w, 1))
					}
				}
			}
		})
	}
}

func outputs(t *testing.T, g *onnx.Graph, in map[string]onnx.Tensor) map[string][]float32 {
	t.Helper()
	out, err := g.Run(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	data := map[string][]float32{}
	for name, x := range out {
		data[name] = x.Data.([]float32)
	}
	return data
}

// adapted is a LoRA configuration with pairs that do something, and dropout of what A reads.
func adapted(t testing.TB, drop float64) Config {
	t.Helper()
	c := tiny(t, LoRA)
	c.Dropout, c.LoRADropout = 0, drop
	random := rand.New(rand.NewPCG(5, 6))
	c.Init = map[string][]float32{}
	for _, w := range newTrainer(t, c).weights {
		if strings.HasSuffix(w.name, loraA) || strings.HasSuffix(w.name, loraB) {
			c.Init[w.file] = make([]float32, w.count)
			for i := range w.count {
				c.Init[w.file][i] = float32(random.NormFloat64() * 0.4)
			}
		}
	}
	return c
}

// Dropout of LoRA disturbs every pass by a mask of each target's own, and Predict not at all.
func TestLoRADropoutIsLive(t *testing.T) {
	tr, still := newTrainer(t, adapted(t, 0.1)), newTrainer(t, adapted(t, 0))
	seen := map[float64]bool{}
	for range 10 {
		loss, err := tr.Accumulate(texts(0))
		if err != nil {
			t.Fatal(err)
		}
		seen[loss] = true
	}
	if loss, err := still.Accumulate(texts(0)); err != nil || len(seen) != 10 || seen[loss] {
		t.Errorf("ten passes gave %d losses; without dropout it is %v (%v)", len(seen), loss, err)
	}
	if targets := len(tr.Targets()); len(tr.masks) != targets || targets != 12 || len(still.masks) != 0 {
		t.Errorf("%d masks for %d targets, %d without dropout", len(tr.masks), targets, len(still.masks))
	}
	got, err := tr.Predict(texts(0))
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := still.Predict(texts(0)); !maps.EqualFunc(got, want, slices.Equal) {
		t.Error("Predict is not what it is without dropout")
	}
	other := tiny(t, Full)
	other.Dropout, other.LoRADropout = 0, 0.1
	if full := newTrainer(t, other); len(full.masks) != 0 {
		t.Errorf("%d masks without LoRA", len(full.masks))
	}
}

// Where a mask drops the same columns of every row, A might as well have zeros there, and the
// products be larger by 1/(1-p): loss and gradients are those of such pairs without dropout,
// and a dropped column of A has no gradient. The targets' own products lose nothing.
func TestLoRADropoutIsOfWhatAReads(t *testing.T) {
	const drop = 0.25
	c := adapted(t, drop)
	c.Alpha = 6
	tr := newTrainer(t, c)
	b := texts(0)
	in, err := tr.inputs(b)
	if err != nil {
		t.Fatal(err)
	}
	plain := c
	plain.LoRADropout, plain.Alpha, plain.Init = 0, c.Alpha/(1-drop), maps.Clone(c.Init)
	random, dropped := rand.New(rand.NewPCG(8, 9)), map[string][]bool{}
	for _, m := range tr.masks {
		keep, columns := in[m.name].Data.([]uint8), m.shape[1].Size
		module, _ := strings.CutPrefix(m.name, "keep:")
		name := peftPrefix + "bert." + module + ".weight"
		lost, a := make([]bool, columns), slices.Clone(c.Init[name])
		for i := range lost {
			lost[i] = random.IntN(3) == 0
		}
		for i := range keep {
			keep[i] = 1
			if lost[i%columns] {
				keep[i] = 0
			}
		}
		for i := range a {
			if lost[i%columns] {
				a[i] = 0
			}
		}
		plain.Init[name], dropped[name] = a, lost
	}
	got, err := tr.graph.Run(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := newTrainer(t, plain)
	loss, err := want.Accumulate(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := math.Abs(float64(got[outputLoss].Data.([]float32)[0]) - loss); !(d < 1e-5) {
		t.Errorf("the loss is off by %g of %g", d, loss)
	}
	for _, w := range want.weights {
		g, wanted := got[gradientOutput(w.name)].Data.([]float32), slices.Clone(w.of(want.grads))
		for i := range wanted {
			if lost := dropped[w.file]; lost != nil && lost[i%len(lost)] {
				wanted[i] = 0
			}
		}
		if d := distance(g, wanted); !(d < 1e-4*max(norm(wanted, 1), 1e-3*norm(want.grads, 1))) {
			t.Errorf("the gradient of %s is off by %g of %g", w.file, d, norm(wanted, 1))
		}
	}
}

// With the masks of one batch held, the loss along each pair's gradient rises as the gradient
// says: the backward pass has the forward pass's masks, also for what lies below.
func TestLoRADropoutHasOneMaskForBothPasses(t *testing.T) {
	tr := newTrainer(t, adapted(t, 0.5))
	b := texts(0)
	lossAt := func() float64 {
		tr.batches = 0 // which the masks are drawn by
		loss, err := tr.Accumulate(b)
		if err != nil {
			t.Fatal(err)
		}
		return loss
	}
	lossAt()
	grads, start := slices.Clone(tr.grads), slices.Clone(tr.values)
	const step = 2e-3
	checked := 0
	for _, w := range tr.weights {
		length := norm(w.of(grads), 1)
		if !strings.Contains(w.name, "lora_") || length < 2e-2 { // in float32, a gentler slope is not seen
			continue
		}
		checked++
		var at [2]float64
		for side, sign := range []float64{1, -1} {
			copy(tr.values, start)
			for i, g := range w.of(grads) {
				w.of(tr.values)[i] += float32(sign * step * float64(g) / length)
			}
			at[side] = lossAt()
		}
		if slope := (at[0] - at[1]) / (2 * step); !(math.Abs(slope-length) < 2e-2*length) {
			t.Errorf("along the gradient of %s the loss rises by %g, not %g", w.file, slope, length)
		}
	}
	if checked < 15 {
		t.Errorf("%d of 24 weights have a gradient to speak of", checked)
	}
}

// A mask keeps the share that it should, has no neighbours in common with another site's
// or run's, and does not depend on the number of threads.
func TestMasks(t *testing.T) {
	draw := func(seed, run uint64, site, threads int) []uint8 {
		keep := make([]uint8, 3*maskChunk+5)
		drawMask(keep, 0.1, seed, run, site, threads)
		return keep
	}
	base := draw(1, 1, 1, 1)
	kept := 0
	for _, k := range base {
		kept += int(k)
	}
	n := float64(len(base))
	if d := math.Abs(float64(kept)/n - 0.9); d > 5*math.Sqrt(0.09/n) {
		t.Errorf("%d of %v kept", kept, n)
	}
	if !slices.Equal(base, draw(1, 1, 1, 3)) {
		t.Error("three threads draw another mask")
	}
	for name, other := range map[string][]uint8{
		"seed": draw(2, 1, 1, 1), "run": draw(1, 2, 1, 1), "site": draw(1, 1, 2, 1),
		"next chunk": append(slices.Clone(base[maskChunk:]), base[:maskChunk]...),
	} {
		both := 0
		for i := range base {
			if base[i]+other[i] == 0 {
				both++
			}
		}
		if d := math.Abs(float64(both)/n - 0.01); d > 5*math.Sqrt(0.0099/n) {
			t.Errorf("another %s: %d of %v dropped in both", name, both, n)
		}
	}
}

// Training learns what can be learnt, and what Predict says is what the loss was of.
func TestTrainingLearns(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			c := tiny(t, mode)
			c.Dropout = 0
			tr := newTrainer(t, c)
			first, err := tr.Accumulate(texts(0))
			if err != nil {
				t.Fatal(err)
			}
			if d := math.Abs(first - lossOf(t, tr, texts(0))); !(d < 1e-5) {
				t.Errorf("Accumulate's loss differs from Predict's by %g", d)
			}
			for range 120 {
				if _, err := tr.Update(1e-2); err != nil {
					t.Fatal(err)
				}
				if _, err := tr.Accumulate(texts(0)); err != nil {
					t.Fatal(err)
				}
			}
			if last := lossOf(t, tr, texts(0)); !(last < first/3) {
				t.Errorf("the loss went from %v to %v", first, last)
			}
		})
	}
}

// lossOf computes the loss from Predict's logits.
func lossOf(t *testing.T, tr *Trainer, b Batch) float64 {
	t.Helper()
	logits, err := tr.Predict(b)
	if err != nil {
		t.Fatal(err)
	}
	loss := 0.0
	for _, h := range tr.c.Heads {
		for row := range b.Rows {
			z, target := logits[h.Task][row*h.Labels:(row+1)*h.Labels], b.Targets[h.Task][row*h.Labels:]
			total := 0.0
			for _, v := range z {
				total += math.Exp(float64(v))
			}
			for i, v := range z {
				loss -= float64(target[i]) * (float64(v) - math.Log(total))
			}
		}
	}
	return loss
}

// Two batches before an Update are as good as one of both.
func TestGradientsAccumulate(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			c := tiny(t, mode)
			c.Dropout = 0
			apart, together := newTrainer(t, c), newTrainer(t, c)
			a, b := texts(0), texts(2) // of the same length
			both := Batch{Rows: a.Rows + b.Rows, Cols: a.Cols, IDs: slices.Concat(a.IDs, b.IDs), Mask: slices.Concat(a.Mask, b.Mask),
				Targets: map[string][]float32{}}
			for task := range a.Targets {
				both.Targets[task] = slices.Concat(a.Targets[task], b.Targets[task])
			}
			for _, x := range []Batch{a, b} {
				if _, err := apart.Accumulate(x); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := together.Accumulate(both); err != nil {
				t.Fatal(err)
			}
			if d := distance(apart.grads, together.grads); !(d < 1e-5*norm(together.grads, 1)) {
				t.Errorf("the gradients differ by %g of %g", d, norm(together.grads, 1))
			}
		})
	}
}

// A loss that is no number leaves weights and moments alone, and training goes on.
func TestDivergenceLeavesTheWeights(t *testing.T) {
	tr := newTrainer(t, tiny(t, LoRA))
	train(t, tr, 0, 2)
	before := tr.Weights()
	good := tr.values[0]
	tr.values[0] = float32(math.Inf(1))
	if _, err := tr.Accumulate(texts(9)); !errors.Is(err, ErrDiverged) {
		t.Errorf("got %v, want ErrDiverged", err)
	}
	tr.values[0] = good
	if _, err := tr.Update(1e-3); !errors.Is(err, ErrDiverged) {
		t.Errorf("got %v, want ErrDiverged", err)
	}
	if !equal(before, tr.Weights()) {
		t.Error("the weights changed")
	}
	train(t, tr, 2, 3)
	if equal(before, tr.Weights()) {
		t.Error("training did not go on")
	}
}

func TestBatchesThatDoNotFit(t *testing.T) {
	tr := newTrainer(t, tiny(t, LoRA))
	for name, edit := range map[string]func(b *Batch){
		"no rows":         func(b *Batch) { b.Rows = 0 },
		"ids missing":     func(b *Batch) { b.IDs = b.IDs[1:] },
		"id too large":    func(b *Batch) { b.IDs[3] = 20 },
		"negative id":     func(b *Batch) { b.IDs[3] = -1 },
		"mask of 2":       func(b *Batch) { b.Mask[0] = 2 },
		"type too large":  func(b *Batch) { b.Types = make([]int64, len(b.IDs)); b.Types[5] = 2 },
		"too long":        func(b *Batch) { *b = Batch{Rows: 1, Cols: 16, IDs: make([]int64, 16), Mask: make([]int64, 16)} },
		"unknown task":    func(b *Batch) { b.Targets["colour"] = nil },
		"too few targets": func(b *Batch) { b.Targets["topic"] = b.Targets["topic"][1:] },
		"no number":       func(b *Batch) { b.Targets["topic"][0] = float32(math.NaN()) },
	} {
		t.Run(name, func(t *testing.T) {
			b := texts(0)
			edit(&b)
			if _, err := tr.Accumulate(b); !errors.Is(err, ErrBatch) {
				t.Errorf("got %v, want ErrBatch", err)
			}
		})
	}
	if _, err := tr.Update(1); !errors.Is(err, ErrBatch) {
		t.Errorf("Update without gradients gave %v, want ErrBatch", err)
	}
}

func TestConfigsThatCannotBeTrained(t *testing.T) {
	for name, edit := range map[string]func(c *Config){
		"no base":        func(c *Config) { c.Base = nil },
		"no head":        func(c *Config) { c.Heads = nil },
		"one label":      func(c *Config) { c.Heads[0].Labels = 1 },
		"head twice":     func(c *Config) { c.Heads[1].Task = c.Heads[0].Task },
		"unknown mode":   func(c *Config) { c.Mode = 7 },
		"unknown target": func(c *Config) { c.Targets = []string{"qury"} },
		"dropout of 1":   func(c *Config) { c.Dropout = 1 },
		"all of A lost":  func(c *Config) { c.LoRADropout = 1 },
		"negative rank":  func(c *Config) { c.Rank = -1 },
		"unknown weight": func(c *Config) { c.Init = map[string][]float32{"x": {1}} },
		"short weight":   func(c *Config) { c.Init = map[string][]float32{"topic.bias": {1}} },
	} {
		t.Run(name, func(t *testing.T) {
			c := tiny(t, LoRA)
			edit(&c)
			if tr, err := New(c); !errors.Is(err, ErrConfig) {
				t.Errorf("got %v, want ErrConfig", err)
				if err == nil {
					tr.Close()
				}
			}
		})
	}
}

func BenchmarkDrawMask(b *testing.B) {
	keep := make([]uint8, 1<<20)
	b.SetBytes(int64(len(keep)))
	for i := 0; b.Loop(); i++ {
		drawMask(keep, 0.1, 1, uint64(i), 1, 1)
	}
}
