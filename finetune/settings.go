package finetune

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune/step"
)

// ErrSettings is wrapped by errors about settings that cannot be trained with.
var ErrSettings = errors.New("cannot train like this")

// Settings are what decides the outcome, with the data and the base. Zero values are
// replaced by what Defaults gives the mode.
type Settings struct {
	Mode        step.Mode `json:"mode"`
	Rank        int       `json:"rank,omitempty"`       // of LoRA
	Alpha       float64   `json:"alpha,omitempty"`      // of LoRA: its products are scaled by Alpha/Rank
	Targets     []string  `json:"targets,omitempty"`    // of LoRA: linear layers; nil is all of each encoder layer
	Embeddings  bool      `json:"embeddings,omitempty"` // Full trains the embeddings, too
	Dropout     float64   `json:"dropout"`
	LoRADropout float64   `json:"lora_dropout,omitempty"` // of LoRA: of what its matrices A read, in training

	Rate       float64 `json:"lr"`     // highest learning rate
	Warmup     float64 `json:"warmup"` // share of the updates over which the rate rises
	Decay      Decay   `json:"decay"`
	Epochs     int     `json:"epochs"`
	Updates    int     `json:"updates,omitempty"` // instead of Epochs, where it is not 0
	Patience   int     `json:"patience"`          // epochs without a better macro-F1 before it ends; 0 goes on
	Batch      int     `json:"batch"`             // texts in a batch
	Accumulate int     `json:"accumulate"`        // batches in an update
	MaxTokens  int     `json:"max_tokens"`        // texts are cut off there in training

	ClipNorm     float64 `json:"clip_norm"`
	WeightDecay  float64 `json:"weight_decay"`
	ClassWeights float64 `json:"class_weights"`     // labels count by their frequency to the power of minus this
	Average      float64 `json:"average,omitempty"` // decay, an update, of the average of the weights that is kept in their place; 0 keeps none
	Smoothing    float64 `json:"smoothing"`         // of labels (Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7)

	Split Split  `json:"split"` // where no validation rows are given
	Seed  uint64 `json:"seed"`  // of new weights, dropout, the order of rows and Stratified
}

// Decay is how the learning rate falls after the warm-up.
type Decay string

// The decays.
const (
	Linear Decay = "linear" // to 0 at the last update
	Cosine Decay = "cosine" // half a cosine, to 0 at the last update
)

// Defaults are settings that do well on some thousand short texts.
func Defaults(mode step.Mode) Settings {
	s := Settings{
		Mode: mode, Dropout: 0.1, Warmup: 0.06, Decay: Linear, Epochs: 3, Batch: 32, Accumulate: 1, MaxTokens: 128,
		ClipNorm: 1, WeightDecay: 0.01, ClassWeights: 0.25, Smoothing: 0.05, Split: Stratified,
	}
	switch mode {
	case step.LoRA:
		s.Rate, s.Rank = 1.5e-3, 8
	case step.Full:
		s.Rate = 5e-5
	default:
		s.Rate = 2e-3
	}
	return s
}

// isTarget tells whether a target names linear layers of an encoder layer, as package step reads
// it: the last parts of their names.
func isTarget(target string) bool {
	return slices.ContainsFunc(bert.Linears(), func(l string) bool { return l == target || strings.HasSuffix(l, "."+target) })
}

// InWords names what a sweep can vary, as far as the mode has a use for it.
func (s Settings) InWords() string {
	length := fmt.Sprintf("epochs %d", s.Epochs)
	if s.Updates > 0 {
		length = fmt.Sprintf("steps %d", s.Updates)
	}
	lora := ""
	if s.Mode == step.LoRA {
		lora = fmt.Sprintf(", rank %d, alpha %g", s.Rank, cmp.Or(s.Alpha, float64(2*s.Rank)))
		if s.LoRADropout > 0 {
			lora += fmt.Sprintf(", lora-dropout %g", s.LoRADropout)
		}
	}
	average := ""
	if s.Average > 0 {
		average = fmt.Sprintf(", average %g", s.Average)
	}
	return fmt.Sprintf("lr %g%s, dropout %g, %s, batch %d×%d, class-weights %g, smoothing %g, weight-decay %g, warmup %g, %s%s, seed %d", s.Rate, lora,
		s.Dropout, length, s.Batch, s.Accumulate, s.ClassWeights, s.Smoothing, s.WeightDecay, s.Warmup, s.Decay, average, s.Seed)
}

// TrialsInWords names of each setting of a sweep what not all of them have in common.
func TrialsInWords(trials []Trial) []string {
	const apart = ", "
	have := map[string]int{}
	for _, t := range trials {
		for part := range strings.SplitSeq(t.Settings.InWords(), apart) {
			have[part]++
		}
	}
	words := make([]string, len(trials))
	for i, t := range trials {
		parts := strings.Split(t.Settings.InWords(), apart)
		parts = slices.DeleteFunc(parts, func(part string) bool { return have[part] == len(trials) })
		words[i] = cmp.Or(strings.Join(parts, apart), t.Settings.InWords())
	}
	return words
}

func (s Settings) check() error {
	refuse := func(name string, value any, want string) error {
		return fmt.Errorf("%w: %s is %v; it must be %s", ErrSettings, name, value, want)
	}
	finite := func(x float64) bool { return x-x == 0 }
	switch {
	case !(s.Rate > 0 && s.Rate < 1):
		return refuse("lr", s.Rate, "over 0 and under 1")
	case s.Embeddings && s.Mode != step.Full:
		return fmt.Errorf("%w: embeddings are trained with --full only: leave --embeddings out", ErrSettings)
	case s.Mode == step.LoRA && (s.Rank < 1 || s.Rank > 1024):
		return refuse("rank", s.Rank, "1 to 1024")
	case s.Mode == step.LoRA && slices.ContainsFunc(s.Targets, func(t string) bool { return !isTarget(t) }):
		return refuse("targets", strings.Join(s.Targets, ","), "of "+strings.Join(allLinears, ", "))
	case !(s.Alpha >= 0 && finite(s.Alpha)):
		return refuse("alpha", s.Alpha, "over 0")
	case !(s.Dropout >= 0 && s.Dropout < 1):
		return refuse("dropout", s.Dropout, "0 to under 1")
	case !(s.LoRADropout >= 0 && s.LoRADropout < 1):
		return refuse("lora-dropout", s.LoRADropout, "0 to under 1")
	case !(s.Warmup >= 0 && s.Warmup < 1):
		return refuse("warmup", s.Warmup, "a share of the updates, 0 to under 1")
	case s.Decay != Linear && s.Decay != Cosine:
		return refuse("decay", s.Decay, "linear or cosine")
	case s.Updates < 0:
		return refuse("steps", s.Updates, "at least 1, or 0 to go by epochs")
	case s.Epochs < 1 && s.Updates < 1:
		return refuse("epochs", s.Epochs, "at least 1")
	case s.Batch < 1:
		return refuse("batch", s.Batch, "at least 1")
	case s.Accumulate < 1:
		return refuse("accumulate", s.Accumulate, "at least 1")
	case s.MaxTokens < 8:
		return refuse("max-tokens", s.MaxTokens, "at least 8")
	case !(s.ClipNorm >= 0 && finite(s.ClipNorm)):
		return refuse("clip-norm", s.ClipNorm, "0 or more")
	case !(s.WeightDecay >= 0 && finite(s.WeightDecay)):
		return refuse("weight-decay", s.WeightDecay, "0 or more")
	case !(s.ClassWeights >= 0 && s.ClassWeights <= 1):
		return refuse("class-weights", s.ClassWeights, "0 (all rows alike) to 1 (all classes alike)")
	case !(s.Average >= 0 && s.Average < 1):
		return refuse("average", s.Average, "0 to under 1")
	case !(s.Smoothing >= 0 && s.Smoothing < 1):
		return refuse("smoothing", s.Smoothing, "0 to under 1")
	case s.Split != Stratified && s.Split != Hashed:
		return refuse("split", s.Split, "stratified or hash")
	case s.Patience < 0:
		return refuse("patience", s.Patience, "0 or more")
	}
	return nil
}

// checkAsked refuses settings that would do nothing, and settings that a sweep has twice.
func (j *job) checkAsked() error {
	asked := func(names ...string) string {
		for _, name := range names {
			if slices.Contains(j.Asked, name) {
				return name
			}
		}
		return ""
	}
	switch name := asked("rank", "alpha", "targets", "lora-dropout"); {
	case name != "" && j.Settings.Mode != step.LoRA:
		return fmt.Errorf("%w: %s is of LoRA, and this trains without: leave it out", ErrSettings, name)
	case name != "" && j.base.adapter:
		return fmt.Errorf("%w: %s is that of the adapter, which is trained further as it is (rank %d, alpha %g, lora-dropout %g): leave it out, merge the adapter by --full, or begin from its base",
			ErrSettings, name, j.Settings.Rank, j.Settings.Alpha, j.Settings.LoRADropout)
	case asked("epochs") != "" && asked("steps") != "":
		return fmt.Errorf("%w: steps and epochs both say how long it trains: leave one out", ErrSettings)
	case asked("split") != "" && len(j.Valid) > 0:
		return fmt.Errorf("%w: split takes validation rows out of the others, and there are some of their own: leave it out, or --valid", ErrSettings)
	}
	for i := range j.Sweep {
		for k := range i {
			if reflect.DeepEqual(j.Sweep[i], j.Sweep[k]) {
				return fmt.Errorf("%w: settings %d and %d of the sweep are the same (%s)", ErrSettings, k+1, i+1, j.Sweep[i].InWords())
			}
		}
	}
	return nil
}

// plan is how long training lasts.
type plan struct {
	perEpoch int // updates
	updates  int // in all
	epochs   int // the last may end early
}

func (s Settings) plan(train int) plan {
	perEpoch := (train + s.Batch*s.Accumulate - 1) / (s.Batch * s.Accumulate)
	updates := cmp.Or(s.Updates, s.Epochs*perEpoch)
	return plan{perEpoch, updates, (updates + perEpoch - 1) / perEpoch}
}

// rate is the learning rate of update n of so many, counted from 1: it rises from 0 over
// the warm-up and reaches 0 one update after the last.
func (s Settings) rate(n, of int) float64 {
	at, total := float64(n), float64(of+1)
	warm := math.Max(1, s.Warmup*float64(of))
	if at < warm {
		return s.Rate * at / warm
	}
	left := (total - at) / (total - warm)
	if s.Decay == Cosine {
		return s.Rate * (1 - math.Cos(math.Pi*left)) / 2
	}
	return s.Rate * left
}
