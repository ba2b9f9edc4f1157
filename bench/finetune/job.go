package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
)

// job is what both sides are given.
type job struct {
	Base    string    `json:"base"`
	LoRA    bool      `json:"lora"`
	Threads int       `json:"threads"`
	Rank    int       `json:"rank"`
	Alpha   int       `json:"alpha"`
	Targets string    `json:"targets"` // PEFT's regular expression
	Dropout float64   `json:"dropout"`
	Clip    float64   `json:"clip"`
	Decay   float64   `json:"decay"`
	Labels  int       `json:"labels"`
	First   string    `json:"first"` // safetensors: the trained weights before training
	Rates   []float64 `json:"rates"` // one a step
	Batches []batch   `json:"batches"`
	Valid   []batch   `json:"valid"`
}

// batch is padded texts with soft targets, and for validation their labels.
type batch struct {
	Rows   int       `json:"rows"`
	Cols   int       `json:"cols"`
	IDs    []int64   `json:"ids"`
	Mask   []int64   `json:"mask"`
	Target []float32 `json:"target"`
	Labels []int     `json:"labels"`
}

// result is what a side says of a job: times of each step in milliseconds, peak memory in
// MiB before validation, and the labels it gives the validation rows.
type result struct {
	Losses []float64 `json:"losses"`
	Wall   []float64 `json:"wall"`
	CPU    []float64 `json:"cpu"`
	Peak   float64   `json:"peak"`
	Said   []int     `json:"said"`
}

func newJob(base string, lora bool) job {
	return job{Base: base, LoRA: lora, Threads: 1, Rank: 8, Alpha: 16, Dropout: 0.1, Clip: 1, Decay: 0.01, Labels: 3,
		Targets: `.*encoder\.layer\.\d+\.(attention\.self\.(query|key|value)|attention\.output\.dense|intermediate\.dense|output\.dense)`}
}

// speedJob is steps on one batch of 32 texts of 64 tokens without padding.
func speedJob(base string, lora bool, threads, steps int) job {
	j, random := newJob(base, lora), rand.New(rand.NewPCG(1, 1))
	j.Threads = threads
	b := batch{Rows: 32, Cols: 64, Target: make([]float32, 32*j.Labels)}
	for range b.Rows * b.Cols {
		b.IDs, b.Mask = append(b.IDs, 1000+random.Int64N(15000)), append(b.Mask, 1)
	}
	for i := range b.Rows {
		b.Target[i*j.Labels+i%j.Labels] = 1 / float32(b.Rows)
	}
	j.Batches, j.Rates = []batch{b}, slices.Repeat([]float64{1e-4}, steps)
	return j
}

// example is a labelled text as ids.
type example struct {
	ids   []int32
	label int
}

// learnJob is two epochs on so many texts of the English sentiment set, at a rate that
// suits the mode.
func learnJob(base, data string, lora bool, trained int) (job, error) {
	const validated, size, epochs, longest = 954, 32, 2, 64
	j := newJob(base, lora)
	examples, err := readExamples(base, data, longest)
	if err != nil {
		return j, err
	}
	if len(examples) < trained+validated {
		return j, fmt.Errorf("%s has %d rows, not %d", data, len(examples), trained+validated)
	}
	random := rand.New(rand.NewPCG(2, 2))
	random.Shuffle(len(examples), func(a, b int) { examples[a], examples[b] = examples[b], examples[a] })
	j.Valid = inBatches(examples[:validated], 64, j.Labels, nil)
	for range epochs {
		j.Batches = append(j.Batches, inBatches(examples[validated:validated+trained], size, j.Labels, random)...)
	}
	rate := 5e-5
	if lora {
		rate = 2e-3
	}
	for i := range j.Batches {
		j.Rates = append(j.Rates, rate*min(float64(i+1)/8, 1-float64(i)/float64(len(j.Batches))))
	}
	return j, nil
}

func readExamples(base, data string, longest int) ([]example, error) {
	tokenizer, err := classify.OpenTokenizer(base)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(data, "tfns-sentiment", "train.csv")
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var out []example
	seen := map[string]bool{}
	for _, row := range rows[1:] {
		if seen[row[0]] {
			continue
		}
		seen[row[0]] = true
		ids, _, _, err := tokenizer.Pair(classify.StripURLs(row[0]), "", longest)
		if err != nil {
			return nil, err
		}
		out = append(out, example{ids, slices.Index([]string{"negative", "neutral", "positive"}, row[1])})
	}
	return out, nil
}

// inBatches puts texts of like length together; with a source of random numbers, in
// random order.
func inBatches(examples []example, size, labels int, random *rand.Rand) []batch {
	examples = slices.Clone(examples)
	if random != nil {
		random.Shuffle(len(examples), func(a, b int) { examples[a], examples[b] = examples[b], examples[a] })
	}
	slices.SortStableFunc(examples, func(a, b example) int { return len(a.ids) - len(b.ids) })
	var out []batch
	for part := range slices.Chunk(examples, size) {
		out = append(out, pad(part, labels))
	}
	if random != nil {
		random.Shuffle(len(out), func(a, b int) { out[a], out[b] = out[b], out[a] })
	}
	return out
}

func pad(part []example, labels int) batch {
	b := batch{Rows: len(part), Target: make([]float32, len(part)*labels)}
	for _, x := range part {
		b.Cols = max(b.Cols, (len(x.ids)+7)/8*8)
	}
	b.IDs, b.Mask = make([]int64, b.Rows*b.Cols), make([]int64, b.Rows*b.Cols)
	for row, x := range part {
		for col, id := range x.ids {
			b.IDs[row*b.Cols+col], b.Mask[row*b.Cols+col] = int64(id), 1
		}
		b.Target[row*labels+x.label] = 1 / float32(b.Rows)
		b.Labels = append(b.Labels, x.label)
	}
	return b
}

// write puts the job and the first weights into dir and names the job's file.
func (j *job) write(dir string, first map[string]bert.Tensor) (string, error) {
	j.First = filepath.Join(dir, "first.safetensors")
	f, err := os.Create(j.First)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := bert.WriteSafetensors(f, first); err != nil {
		return "", err
	}
	raw, err := json.Marshal(j)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "job.json")
	return path, os.WriteFile(path, raw, 0o644)
}
