// Command finetune compares Barograph's training step with PyTorch's (transformers and
// peft): time a step, peak memory, and what both have learnt after the same batches from
// the same first weights.
//
//	go run ./bench/finetune -data DIR [-rounds 3]
//
// The sides run in turn, so that what else the machine does falls on both: read the
// ratios. The first run installs PyTorch into bench/out/finetune/venv, a few GB. `make
// build deps` must have run.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/barograph/barograph/classify"
)

func main() {
	log.SetFlags(0)
	data := flag.String("data", os.Getenv("BAROGRAPH_DATA"), "folder of the data sets")
	base := flag.String("base", ".deps/bases/all-minilm-l6-v2", "checkpoint to train")
	rounds := flag.Int("rounds", 3, "turns of each side")
	steps := flag.Int("steps", 12, "steps in a turn; the first two do not count")
	rows := flag.Int("rows", 2000, "texts to learn from, twice each")
	python := flag.String("python", "", "interpreter with PyTorch; \"\" makes one in bench/out/finetune/venv")
	part := flag.String("part", "all", "speed, learn or all")
	modes := flag.String("modes", "LoRA,full", "what to train")
	threads := flag.String("threads", "1,2", "threads to time steps with")
	child := flag.String("ours", "", "do this job and print the result (the program calls itself)")
	flag.Parse()
	err := error(nil)
	if *child != "" {
		err = ours(*child)
	} else {
		err = run(comparison{*base, *data, *python, *rounds, *steps, *rows, strings.Split(*modes, ","), strings.Split(*threads, ",")}, *part)
	}
	if err != nil {
		log.Fatal("bench/finetune: ", err)
	}
}

type comparison struct {
	base, data, python  string
	rounds, steps, rows int
	modes, threads      []string
}

func run(c comparison, part string) error {
	dir, err := os.MkdirTemp("", "barograph-finetune-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if c.python == "" {
		if c.python, err = install(); err != nil {
			return err
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	defer table.Flush()
	if part != "learn" {
		if err := c.speed(dir, table); err != nil {
			return err
		}
	}
	if part != "speed" {
		return c.learn(dir, table)
	}
	return nil
}

// install puts PyTorch and its company into a folder of their own, once.
func install() (python string, err error) {
	venv := filepath.Join("bench", "out", "finetune", "venv")
	python = filepath.Join(venv, "bin", "python")
	if exec.Command(python, "-c", "import torch, transformers, peft").Run() == nil {
		return python, nil
	}
	log.Print("installing PyTorch, transformers and peft into ", venv)
	for _, args := range [][]string{
		{"python3", "-m", "venv", venv},
		{python, "-m", "pip", "install", "-q", "-r", filepath.Join("bench", "finetune", "requirements.txt")},
	} {
		command := exec.Command(args[0], args[1:]...)
		command.Stdout, command.Stderr = os.Stderr, os.Stderr
		if err := command.Run(); err != nil {
			return "", fmt.Errorf("%v: %w", args, err)
		}
	}
	return python, nil
}

// both does the job on both sides, Barograph first.
func (c comparison) both(dir string, j job) (ours, peer result, err error) {
	t, r, err := newTrainer(j)
	if err != nil {
		return ours, peer, err
	}
	first := t.Weights()
	if err := errors.Join(t.Close(), r.Close()); err != nil {
		return ours, peer, err
	}
	path, err := j.write(dir, first)
	if err != nil {
		return ours, peer, err
	}
	self, err := os.Executable()
	if err != nil {
		return ours, peer, err
	}
	if ours, err = side(self, "-ours", path); err != nil {
		return ours, peer, err
	}
	peer, err = side(c.python, filepath.Join("bench", "finetune", "peer.py"), path)
	return ours, peer, err
}

func side(args ...string) (result, error) {
	var out result
	var stderr bytes.Buffer
	command := exec.Command(args[0], args[1:]...)
	command.Stderr = &stderr
	stdout, err := command.Output()
	if err != nil {
		return out, fmt.Errorf("%v: %w\n%s", args, err, stderr.String())
	}
	if err := json.Unmarshal(stdout, &out); err != nil {
		return out, fmt.Errorf("%v: %w", args, err)
	}
	return out, nil
}

func (c comparison) speed(dir string, table *tabwriter.Writer) error {
	fmt.Fprintln(table, "mode\tthreads\tround\tCPU ms\tPyTorch\tratio\twall ms\tPyTorch\tratio\tpeak MiB\tPyTorch")
	for _, mode := range c.modes {
		for _, thread := range c.threads {
			threads, err := strconv.Atoi(thread)
			if err != nil {
				return fmt.Errorf("-threads: %w", err)
			}
			for round := range c.rounds {
				a, b, err := c.both(dir, speedJob(c.base, mode == "LoRA", threads, c.steps))
				if err != nil {
					return err
				}
				log.Printf("%s, %d threads, round %d of %d", mode, threads, round+1, c.rounds)
				cpu, peerCPU := median(a.CPU[2:]), median(b.CPU[2:])
				wall, peerWall := median(a.Wall[2:]), median(b.Wall[2:])
				fmt.Fprintf(table, "%s\t%d\t%d\t%.0f\t%.0f\t%.2f\t%.0f\t%.0f\t%.2f\t%.0f\t%.0f\n", mode, threads, round+1,
					cpu, peerCPU, peerCPU/cpu, wall, peerWall, peerWall/wall, a.Peak, b.Peak)
			}
		}
	}
	fmt.Fprintln(table)
	return nil
}

func (c comparison) learn(dir string, table *tabwriter.Writer) error {
	fmt.Fprintln(table, "mode\tsteps\tloss, last 20\tPyTorch\taccuracy\tPyTorch\tmacro-F1\tPyTorch\tCPU s\tPyTorch\tratio\tpeak MiB\tPyTorch")
	for _, mode := range c.modes {
		j, err := learnJob(c.base, c.data, mode == "LoRA", c.rows)
		if err != nil {
			return err
		}
		a, b, err := c.both(dir, j)
		if err != nil {
			return err
		}
		accuracy, f1, err := score(j, a)
		if err != nil {
			return err
		}
		peerAccuracy, peerF1, err := score(j, b)
		if err != nil {
			return err
		}
		n := len(a.Losses)
		fmt.Fprintf(table, "%s\t%d\t%.4f\t%.4f\t%.3f\t%.3f\t%.3f\t%.3f\t%.1f\t%.1f\t%.2f\t%.0f\t%.0f\n", mode, n,
			sum(a.Losses[n-20:])/20, sum(b.Losses[n-20:])/20, accuracy, peerAccuracy, f1, peerF1,
			sum(a.CPU)/1e3, sum(b.CPU)/1e3, sum(b.CPU)/sum(a.CPU), a.Peak, b.Peak)
	}
	return nil
}

func score(j job, r result) (accuracy, f1 float64, err error) {
	var truth []int
	for _, b := range j.Valid {
		truth = append(truth, b.Labels...)
	}
	said := make([][]float64, len(r.Said))
	for i, label := range r.Said {
		said[i] = make([]float64, j.Labels)
		said[i][label] = 1
	}
	e, err := classify.Evaluate([]string{"negative", "neutral", "positive"}, truth, said)
	return e.Accuracy, e.MacroF1, err
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func sum(v []float64) float64 {
	total := 0.0
	for _, x := range v {
		total += x
	}
	return total
}
