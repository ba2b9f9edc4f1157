// Command tokens holds the tokeniser beside Hugging Face's Rust core (`tokenizers`, called from
// Python) and beside sugarme/tokenizer, which is the way for other kinds of tokenizer.json:
//
//	go run ./bench/tokens -data DIR
//
// First the ids of every text of the data sets and of 100,000 invented ones, with the English and
// the Chinese vocabulary: one that differs from Rust's is an error. Then the time a text on one thread, by
// turns. `make deps` and bench/peers/install must have run.
package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	sugarme "github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/pretrained"

	"github.com/barograph/barograph/bench/summary"
	"github.com/barograph/barograph/classify/wordpiece"
)

// language is a vocabulary and the texts that its speed is measured on.
type language struct{ name, base, set string }

var languages = []language{{"English", "bge-small-en-v1.5", "tfns-sentiment"}, {"Chinese", "bge-small-zh-v1.5", "finfe-zh-sentiment"}}

// slow is how many texts sugarme/tokenizer reads: it takes a hundred times as long.
const slow = 1000

type comparison struct {
	data, deps, python, out string
	rounds                  int
}

func main() {
	log.SetFlags(0)
	var c comparison
	flag.StringVar(&c.data, "data", os.Getenv("BAROGRAPH_DATA"), "folder of the data sets")
	flag.StringVar(&c.deps, "deps", ".deps", "folder of third-party files")
	flag.StringVar(&c.python, "python", ".deps/peers/venv/bin/python", "interpreter with tokenizers, version .20 or later")
	flag.StringVar(&c.out, "out", "bench/out/tokens", "folder to write to")
	flag.IntVar(&c.rounds, "rounds", 3, "how often the time is taken")
	flag.Parse()
	if c.data == "" {
		log.Fatal("bench/tokens: name the folder of the data sets by -data or BAROGRAPH_DATA")
	}
	if c.rounds < 1 {
		log.Fatalf("bench/tokens: -rounds is %d; it is 1 or more", c.rounds)
	}
	if err := c.run(); err != nil {
		log.Fatal("bench/tokens: ", err)
	}
}

func (c comparison) run() error {
	if err := os.MkdirAll(c.out, 0o755); err != nil {
		return err
	}
	if err := c.ids(); err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "µs a text, one thread\tours\tRust, all in one call\tours over it\tRust, text by text\tsugarme\tsugarme's ids as ours")
	for _, l := range languages {
		if err := c.speed(l, table); err != nil {
			return err
		}
	}
	return table.Flush()
}

func (c comparison) tokenizer(base string) string {
	return filepath.Join(c.deps, "bases", base, "tokenizer.json")
}

func (c comparison) open(base string) (*wordpiece.Tokenizer, error) {
	raw, err := os.ReadFile(c.tokenizer(base))
	if err != nil {
		return nil, err
	}
	return wordpiece.Parse(raw)
}

// ids compares the ids of all texts with those of the reference.
func (c comparison) ids() error {
	sets, err := filepath.Glob(filepath.Join(c.data, "*", "*.csv"))
	if err != nil {
		return err
	}
	expected := filepath.Join(c.out, "reference.jsonl")
	reference := exec.Command(c.python, append([]string{"classify/wordpiece/testdata/reference.py", c.deps, "--all", expected}, sets...)...)
	reference.Stderr = os.Stderr
	if err := reference.Run(); err != nil {
		return fmt.Errorf("asking Rust's tokenizers for the ids: %w", err)
	}
	en, err := c.open("bge-small-en-v1.5")
	if err != nil {
		return err
	}
	zh, err := c.open("bge-small-zh-v1.5")
	if err != nil {
		return err
	}
	file, err := os.Open(expected)
	if err != nil {
		return err
	}
	defer file.Close()
	texts, different := 0, 0
	for lines := json.NewDecoder(bufio.NewReader(file)); lines.More(); texts++ {
		var want struct {
			Text   string
			En, Zh []int32
		}
		if err := lines.Decode(&want); err != nil {
			return fmt.Errorf("%s: %w", expected, err)
		}
		if !slices.Equal(en.Encode(nil, want.Text), want.En) || !slices.Equal(zh.Encode(nil, want.Text), want.Zh) {
			if different++; different <= 5 {
				log.Printf("other ids than Rust's tokenizers: %q", want.Text)
			}
		}
	}
	if different > 0 {
		return fmt.Errorf("%d of %d texts have other ids than Rust's tokenizers give", different, texts)
	}
	fmt.Printf("%d texts of %d files and of invention: the same ids as Rust's tokenizers, with both vocabularies\n", texts, len(sets))
	return summary.Row("tokeniser: texts with the ids of Rust's tokenizers", fmt.Sprint(texts), fmt.Sprintf("all %d", texts), "")
}

// speed times one language, by turns.
func (c comparison) speed(l language, table *tabwriter.Writer) error {
	texts, err := readTexts(filepath.Join(c.data, l.set, "train.csv"))
	if err != nil {
		return err
	}
	own, err := c.open(l.base)
	if err != nil {
		return err
	}
	general, err := pretrained.FromFile(c.tokenizer(l.base))
	if err != nil {
		return fmt.Errorf("sugarme/tokenizer: %w", err)
	}
	list, err := json.Marshal(texts)
	if err != nil {
		return err
	}
	file := filepath.Join(c.out, l.base+".json")
	if err := os.WriteFile(file, list, 0o644); err != nil {
		return err
	}
	var ours, batches, ones, ratios []float64
	for range c.rounds {
		mine := timeOwn(own, texts)
		peer, err := c.peer(c.tokenizer(l.base), file)
		if err != nil {
			return err
		}
		ours, batches, ones, ratios = append(ours, mine), append(batches, peer.Batch), append(ones, peer.One), append(ratios, peer.Batch/mine)
	}
	others, same, err := timeGeneral(general, own, texts[:min(slow, len(texts))])
	if err != nil {
		return err
	}
	fmt.Fprintf(table, "%s, %d texts\t%.2f\t%.1f\t%.1f times\t%.1f\t%.0f\t%.1f %%\n", l.name, len(texts), median(ours), median(batches), median(ratios), median(ones), others, 100*same)
	return summary.Row("tokeniser, "+l.name+", one thread", fmt.Sprintf("%.2f µs a text", median(ours)),
		fmt.Sprintf("Rust's tokenizers in one call: %.1f µs", median(batches)), fmt.Sprintf("%.1f times as fast", median(ratios)))
}

// timeOwn gives µs a text.
func timeOwn(t *wordpiece.Tokenizer, texts []string) float64 {
	ids := make([]int32, 0, 4096)
	for _, text := range texts[:min(100, len(texts))] {
		ids = t.Encode(ids[:0], text)
	}
	start := time.Now()
	for _, text := range texts {
		ids = t.Encode(ids[:0], text)
	}
	return float64(time.Since(start).Nanoseconds()) / 1e3 / float64(len(texts))
}

// timeGeneral gives µs a text, and for what share of the texts the ids are as ours.
func timeGeneral(general *sugarme.Tokenizer, own *wordpiece.Tokenizer, texts []string) (micros, same float64, err error) {
	all := make([][]int, len(texts))
	start := time.Now()
	for i, text := range texts {
		encoding, err := general.EncodeSingle(text, false)
		if err != nil {
			return 0, 0, fmt.Errorf("sugarme/tokenizer on %q: %w", text, err)
		}
		all[i] = encoding.Ids
	}
	took := time.Since(start)
	for i, text := range texts {
		if slices.EqualFunc(all[i], own.Encode(nil, text), func(a int, b int32) bool { return a == int(b) }) {
			same++
		}
	}
	return float64(took.Nanoseconds()) / 1e3 / float64(len(texts)), same / float64(len(texts)), nil
}

// peerTime is what peer.py prints, in µs a text.
type peerTime struct{ One, Batch float64 }

func (c comparison) peer(tokenizer, texts string) (t peerTime, err error) {
	command := exec.Command(c.python, "bench/tokens/peer.py", tokenizer, texts)
	command.Env = append(os.Environ(), "TOKENIZERS_PARALLELISM=false")
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return t, fmt.Errorf("timing Rust's tokenizers: %w", err)
	}
	return t, json.NewDecoder(bytes.NewReader(out)).Decode(&t)
}

// readTexts are the first column of a CSV file.
func readTexts(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var texts []string
	for _, row := range rows[1:] {
		texts = append(texts, row[0])
	}
	return texts, nil
}

func median(numbers []float64) float64 {
	sorted := slices.Sorted(slices.Values(numbers))
	return sorted[len(sorted)/2]
}
