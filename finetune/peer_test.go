package finetune

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/finetune/step"
	"github.com/barograph/barograph/internal/testenv"
)

// TestTransformersAndPeftSayTheSame of a bundle's folder as the trainer whose weights it
// has: an adapter, an adapter that reads an entity, and a whole checkpoint.
func TestTransformersAndPeftSayTheSame(t *testing.T) {
	python := testenv.Python(t)
	for name, c := range map[string]struct {
		mode   step.Mode
		entity string
	}{"adapter": {step.LoRA, ""}, "adapter by entity": {step.LoRA, "entity"}, "whole": {step.Full, ""}} {
		t.Run(name, func(t *testing.T) {
			config := sampleConfig(t, 48, 16)
			config.Settings.Mode, config.Settings.Updates = c.mode, 3
			if c.mode == step.Full {
				config.Settings.Rate = 5e-5
			}
			for _, s := range []*Source{&config.Train[0], &config.Valid[0]} {
				s.Entity = c.entity
				s.Rows = withEntity(s.Rows)
			}
			j := &job{Config: config}
			logits := trainJob(t, j)
			if err := errors.Join(os.MkdirAll(j.Out, 0o755), j.writeBundle(j.Out)); err != nil {
				t.Fatal(err)
			}
			compareLogits(t, j, logits)
			for i, got := range askPeer(t, python, j) {
				if !slices.EqualFunc(got, logits[0][i], near) {
					t.Fatalf("%.40q: %v by Python, %v by the trainer", j.data.valid[i].Text, got, logits[0][i])
				}
			}
		})
	}
}

func near(a float64, b float32) bool { return a-float64(b) < 1e-4 && float64(b)-a < 1e-4 }

func withEntity(rows func(func(Row) bool)) func(func(Row) bool) {
	return func(yield func(Row) bool) {
		rows(func(r Row) bool {
			r.Fields["entity"] = "Boeing Co"
			return yield(r)
		})
	}
}

func askPeer(t *testing.T, python string, j *job) (logits [][]float64) {
	t.Helper()
	var texts [][2]string
	for _, e := range j.data.valid {
		texts = append(texts, [2]string{classify.StripURLs(e.Text), e.Entity})
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "peer.py"), j.Out, j.base.dir)
	var log bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &log
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &logits)
	}
	if err != nil || len(logits) != len(texts) {
		t.Fatalf("%d of %d texts: %v\n%s", len(logits), len(texts), err, log.String())
	}
	return logits
}
