package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/finetune/step"
)

// newTrainer is the job's trainer; the caller closes both.
func newTrainer(j job) (*step.Trainer, *onnx.Runtime, error) {
	library, err := onnx.Find()
	if err != nil {
		return nil, nil, err
	}
	r, err := onnx.Open(library)
	if err != nil {
		return nil, nil, err
	}
	base, err := bert.Open(j.Base, nil)
	if err != nil {
		return nil, nil, err
	}
	mode := step.Full
	if j.LoRA {
		mode = step.LoRA
	}
	t, err := step.New(step.Config{
		Base: base, Runtime: r, Device: onnx.CPU, Threads: j.Threads, Mode: mode, Rank: j.Rank, Alpha: float64(j.Alpha),
		Dropout: j.Dropout, Heads: []step.Head{{Task: "sentiment", Labels: j.Labels}}, Seed: 1,
		ClipNorm: j.Clip, WeightDecay: j.Decay,
	})
	return t, r, err
}

// ours does a job with Barograph's trainer and prints the result.
func ours(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var j job
	if err := json.Unmarshal(raw, &j); err != nil {
		return err
	}
	t, r, err := newTrainer(j)
	if err != nil {
		return err
	}
	defer r.Close()
	defer t.Close()
	var out result
	for i, rate := range j.Rates {
		wall, cpu := time.Now(), cpuMillis()
		b := j.Batches[i%len(j.Batches)]
		loss, err := t.Accumulate(step.Batch{Rows: b.Rows, Cols: b.Cols, IDs: b.IDs, Mask: b.Mask,
			Targets: map[string][]float32{"sentiment": b.Target}})
		if err != nil {
			return err
		}
		if _, err := t.Update(rate); err != nil {
			return err
		}
		out.Losses = append(out.Losses, loss)
		out.Wall = append(out.Wall, float64(time.Since(wall))/1e6)
		out.CPU = append(out.CPU, cpuMillis()-cpu)
	}
	out.Peak = peakMiB()
	for _, b := range j.Valid {
		logits, err := t.Predict(step.Batch{Rows: b.Rows, Cols: b.Cols, IDs: b.IDs, Mask: b.Mask})
		if err != nil {
			return err
		}
		for row := range b.Rows {
			out.Said = append(out.Said, largest(logits["sentiment"][row*j.Labels:(row+1)*j.Labels]))
		}
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func largest(v []float32) int {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	return best
}

func usage() syscall.Rusage {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprint("getrusage: ", err)) // it has no other way to fail than a bad address
	}
	return u
}

func cpuMillis() float64 {
	u := usage()
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e6
}

func peakMiB() float64 { return float64(usage().Maxrss) / 1024 }
