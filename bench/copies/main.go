// Command copies measures how well sketches tell near copies from other texts: on edits of
// real texts as agencies and people make them, on changes that make another story of a text,
// and on the data sets as they are.
//
//	go run ./bench/copies -data DIR
package main

import (
	"encoding/csv"
	"flag"
	"fmt"
	"log"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"

	"github.com/barograph/barograph/classify"
)

// set is a data set; its texts are distinct.
type set struct {
	name, file string
	column     int
	chinese    bool
	texts      []string
	sketches   []string
}

var sets = []*set{
	{name: "tfns", file: "tfns-sentiment/train.csv"},
	{name: "tfn-topic", file: "tfn-topic/train.csv"},
	{name: "sentfin", file: "sentfin/train.csv"},
	{name: "cnbc", file: "headlines/cnbc.csv", column: 1},
	{name: "finfe", file: "finfe-zh-sentiment/train.csv", chinese: true},
	{name: "finnl", file: "finnl-zh-topic/train.csv", chinese: true},
}

// recent is how many texts one is compared with, as in the trend stage.
const recent = 256

// most is how many texts of a set are edited.
const most = 4000

var distances = []int{3, 4, 5, 6, 7, 8, 9, 10}

func main() {
	log.SetFlags(0)
	data := flag.String("data", os.Getenv("BAROGRAPH_DATA"), "folder of the data sets")
	show := flag.Int("show", 0, "print so many merges of texts that differ, for each data set, at the distance -at")
	at := flag.Int("at", 7, "distance for -show")
	flag.Parse()
	if *data == "" {
		log.Fatal("bench/copies: name the folder of the data sets by -data or BAROGRAPH_DATA")
	}
	for _, s := range sets {
		if err := s.read(*data); err != nil {
			log.Fatal("bench/copies: ", err)
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "edited\ttexts\tno sketch\t")
	for _, d := range distances {
		fmt.Fprintf(table, "≤ %d\t", d)
	}
	fmt.Fprintln(table)
	for _, e := range edits {
		e.measure(table)
	}
	table.Flush()
	fmt.Println()
	fmt.Fprint(table, "as they are\ttexts\tno sketch\t")
	for _, d := range distances {
		fmt.Fprintf(table, "%d: copies\tothers\t", d)
	}
	fmt.Fprintln(table)
	for _, s := range sets {
		s.measure(table, *show, *at)
	}
	table.Flush()
}

func (s *set) read(data string) error {
	file, err := os.Open(filepath.Join(data, filepath.FromSlash(s.file)))
	if err != nil {
		return err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", s.file, err)
	}
	seen := map[string]bool{}
	for _, row := range rows[1:] {
		if digest := classify.TextDigest(row[s.column]); !seen[digest] {
			seen[digest] = true
			s.texts = append(s.texts, row[s.column])
			s.sketches = append(s.sketches, classify.TextSketch(row[s.column]))
		}
	}
	return nil
}

// measure applies the edit to all texts that it suits.
func (e edit) measure(table *tabwriter.Writer) {
	rng := rand.New(rand.NewPCG(1, 1))
	n, none := 0, 0
	within := make([]int, len(distances))
	for _, s := range sets {
		if s.chinese != e.chinese {
			continue
		}
		for i, text := range s.texts {
			if i >= most {
				break
			}
			changed := e.change(rng, text)
			if changed == "" || classify.TextDigest(changed) == classify.TextDigest(text) {
				continue
			}
			n++
			distance, ok := distanceOf(s.sketches[i], classify.TextSketch(changed))
			if !ok {
				none++
				continue
			}
			for j, d := range distances {
				if distance <= d {
					within[j]++
				}
			}
		}
	}
	fmt.Fprintf(table, "%s\t%d\t%.1f %%\t", e.name, n, 100*float64(none)/float64(n))
	for _, hits := range within {
		fmt.Fprintf(table, "%.1f\t", 100*float64(hits)/float64(n-none))
	}
	fmt.Fprintln(table)
}

// distanceOf is in how many of the bits of words two sketches differ; all where their facts
// differ. It reports false where a text is too short for one.
func distanceOf(a, b string) (int, bool) {
	x, err := strconv.ParseUint(a, 16, 64)
	y, err2 := strconv.ParseUint(b, 16, 64)
	if x>>48 != y>>48 {
		return 48, err == nil && err2 == nil
	}
	return bits.OnesCount64(x ^ y), err == nil && err2 == nil
}

// measure lets the texts come in their order, as if all were of one series and day, and counts
// those that are taken for a copy of one before: rightly, as alike says, or not.
func (s *set) measure(table *tabwriter.Writer, show, at int) {
	none := 0
	for _, sketch := range s.sketches {
		if sketch == "" {
			none++
		}
	}
	fmt.Fprintf(table, "%s\t%d\t%.1f %%\t", s.name, len(s.texts), 100*float64(none)/float64(len(s.texts)))
	for _, d := range distances {
		copies, others := 0, 0
		var kept []int
		for i := range s.texts {
			near := -1
			for _, j := range kept[max(0, len(kept)-recent):] {
				if distance, ok := distanceOf(s.sketches[i], s.sketches[j]); ok && distance <= d {
					near = j
				}
			}
			switch {
			case near < 0:
				kept = append(kept, i)
			case alike(s.texts[i], s.texts[near], s.chinese):
				copies++
			default:
				others++
				if d == at && others <= show {
					log.Printf("%s %d: %s\n%s %d: %s\n\n", s.name, near, s.texts[near], s.name, i, s.texts[i])
				}
			}
		}
		fmt.Fprintf(table, "%d\t%d\t", copies, others)
	}
	fmt.Fprintln(table)
}
