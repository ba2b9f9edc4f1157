// Command classify measures the classify stage alone: texts a second, how much of a batch is
// padding, and on the CPU what share of the machine's matrix-product peak, measured just after, the
// model reaches.
//
//	go run ./bench/classify -model models/en -texts FILE [-precision int8] [-threads 2] [-json]
//
// FILE has a text a line. Copies are not answered from memory here: peers do not, either.
// bench/peers/run times it beside what people use. `make build` must have run.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/news"
)

// result is one run.
type result struct {
	Texts     int      `json:"texts"`
	Seconds   float64  `json:"seconds"`
	PerSecond float64  `json:"texts_per_second"`
	Tokens    float64  `json:"tokens"`  // without padding
	Padding   float64  `json:"padding"` // share of all tokens run
	GFLOPS    float64  `json:"gflops"`  // of the tokens, without padding
	Peak      float64  `json:"peak"`    // GFLOP/s that matrix products alone reach; 0 on a GPU, where it is not measured
	Labels    []string `json:"labels"`  // the sentiment of each text, in their order
	Topics    []string `json:"topics"`  // empty strings where the bundle has no topics
}

func main() {
	log.SetFlags(0)
	model := flag.String("model", "models/en", "bundle")
	bases := flag.String("bases", ".deps/bases", "folder of the base models")
	file := flag.String("texts", "", "file with a text a line")
	precision := flag.String("precision", "int8", "fp32, int8 or (on CUDA) fp16")
	device := flag.String("device", "cpu", "cpu or cuda")
	budget := flag.Int("budget", 0, "tokens in a batch, padding included; 0 = the monitor's")
	threads := flag.Int("threads", runtime.NumCPU(), "cores for the model")
	batchThreads := flag.Int("batch-threads", 0, "of them for one batch; 0 = the monitor's")
	asJSON := flag.Bool("json", false, "one JSON object, with the labels")
	flag.Parse()
	texts, err := readTexts(*file)
	if err != nil {
		log.Fatal("bench/classify: ", err)
	}
	r, err := measure(*model, classify.ModelConfig{
		Bases: []string{*bases}, Device: onnx.Device(*device), Precision: bert.Precision(*precision), Threads: *threads, BatchThreads: *batchThreads, TokenBudget: *budget,
	}, texts)
	if err != nil {
		log.Fatal("bench/classify: ", err)
	}
	if onnx.Device(*device) == onnx.CPU {
		if r.Peak, err = machinePeak(bert.Precision(*precision), *threads); err != nil {
			log.Fatal("bench/classify: measuring the machine's peak: ", err)
		}
	}
	if *asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(r)
		return
	}
	fmt.Printf("%d texts in %.1f s: %.0f texts/s, %.0f tokens/s, %.1f %% padding, %.1f GFLOP/s", r.Texts, r.Seconds, r.PerSecond,
		r.Tokens/r.Seconds, 100*r.Padding, r.GFLOPS)
	if r.Peak > 0 {
		fmt.Printf(", %.0f %% of the %.1f that matrix products alone reach", 100*r.GFLOPS/r.Peak, r.Peak)
	}
	fmt.Println()
}

func readTexts(path string) ([]string, error) {
	if path == "" {
		return nil, errors.New("name a file with a text a line by -texts")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var texts []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		texts = append(texts, lines.Text())
	}
	return texts, lines.Err()
}

func measure(model string, run classify.ModelConfig, texts []string) (result, error) {
	registry := prometheus.NewRegistry()
	stage, err := classify.New(classify.Config{
		Model: run, Bundles: []string{model}, Copies: -1, Registerer: registry,
	})
	if err != nil {
		return result{}, err
	}
	defer stage.Close()
	r := result{Texts: len(texts), Labels: make([]string, len(texts)), Topics: make([]string, len(texts))}
	if _, err := read(stage, texts[:min(len(texts), 64)], nil, nil); err != nil { // warm
		return r, err
	}
	tokens, padding, err := counted(registry)
	if err != nil {
		return r, err
	}
	if r.Seconds, err = read(stage, texts, r.Labels, r.Topics); err != nil {
		return r, err
	}
	allTokens, allPadding, err := counted(registry)
	if err != nil {
		return r, err
	}
	r.Tokens, padding = allTokens-tokens, allPadding-padding
	r.PerSecond, r.Padding = float64(r.Texts)/r.Seconds, padding/(r.Tokens+padding)
	checkpoint, err := bert.Open(model, run.Bases)
	if err != nil {
		return r, err
	}
	r.GFLOPS = float64(r.Texts) * flops(checkpoint.Config, r.Tokens/float64(r.Texts)) / r.Seconds / 1e9
	return r, nil
}

// read puts the texts through the stage at once and returns the seconds it took.
func read(stage *classify.Stage, texts, labels, topics []string) (float64, error) {
	var (
		wait   sync.WaitGroup
		mu     sync.Mutex
		failed error
	)
	start := time.Now()
	for i, text := range texts {
		wait.Add(1)
		err := stage.Submit(context.Background(), news.Item{ID: strconv.Itoa(i), Text: text, Lang: "en"}, func(readings []news.Reading, err error) {
			defer wait.Done()
			if err != nil && !errors.Is(err, classify.ErrNoText) {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
			} else if err == nil && labels != nil {
				labels[i], topics[i] = readings[0].Sentiment.Label(), readings[0].Topic.Label
			}
		})
		if err != nil {
			return 0, err
		}
	}
	wait.Wait()
	return time.Since(start).Seconds(), failed
}

// counted are the tokens and the padding that went through the model so far.
func counted(registry *prometheus.Registry) (tokens, padding float64, err error) {
	families, err := registry.Gather()
	if err != nil {
		return 0, 0, err
	}
	for _, f := range families {
		if f.GetName() != "barograph_classify_tokens_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == "padding" }) {
				padding += m.GetCounter().GetValue()
			} else {
				tokens += m.GetCounter().GetValue()
			}
		}
	}
	return tokens, padding, nil
}

// flops are the multiplications and additions of one text of so many tokens: four products
// of the hidden size and two of the feed-forward's in each layer, and attention's two. The
// last layer has one query. Embeddings, normalisation and heads are left out.
func flops(c bert.Config, tokens float64) float64 {
	h, f, n := float64(c.HiddenSize), float64(c.IntermediateSize), float64(c.Layers)
	full := tokens * (8*h*h + 4*h*f + 4*tokens*h)
	last := tokens*4*h*h + 4*h*h + 4*h*f + 4*tokens*h
	return (n-1)*full + last
}
