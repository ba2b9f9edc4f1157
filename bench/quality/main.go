// Command quality measures the shipped bundles on the rows that they were not trained on, in
// float and in int8, by `barograph evaluate`. contrasts.csv, beside it, is headlines that we wrote
// before the bundle that reads them was trained, whose companies fare differently.
//
//	go run ./bench/quality -data DIR
//
// `make build deps` must have run.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/barograph/barograph/bench/summary"
	"github.com/barograph/barograph/classify"
)

// measure is one head on one data set: a folder of them, contrasts, or a file that bench/rows derives.
type measure struct{ bundle, task, data, text, entity, split string }

const contrasts = "bench/quality/contrasts.csv"

var measures = []measure{
	{"models/en", "sentiment", "tfns-sentiment", "text", "", "validation"},
	{"models/en", "topic", "tfn-topic", "text", "", "validation"},
	{"models/en-company", "sentiment", "sentfin", "title", "entities_json", "validation"},
	{"models/en-company", "sentiment", contrasts, "title", "entities_json", "all"},
	{"models/zh", "sentiment", "later.csv", "text", "", "all"},
	{"models/zh", "topic", "others.csv", "text", "", "all"},
}

func main() {
	log.SetFlags(0)
	data := flag.String("data", os.Getenv("BAROGRAPH_DATA"), "folder of the data sets")
	flag.Parse()
	if *data == "" {
		log.Fatal("bench/quality: name the folder of the data sets by -data or BAROGRAPH_DATA")
	}
	dir, err := os.MkdirTemp("", "barograph-quality-")
	if err != nil {
		log.Fatal("bench/quality: ", err)
	}
	err = run(*data, dir)
	os.RemoveAll(dir)
	if err != nil {
		log.Fatal("bench/quality: ", err)
	}
}

func run(data, dir string) error {
	derive := exec.Command("go", "run", "./bench/rows", "-data", data, "-out", dir)
	derive.Stderr = os.Stderr
	if err := derive.Run(); err != nil {
		return fmt.Errorf("deriving rows: %w", err)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "bundle\thead\trows\taccuracy fp32\tint8\tmacro-F1 fp32\tint8\tECE fp32\tint8\tseconds fp32\tint8")
	for _, m := range measures {
		file := filepath.Join(data, m.data, "train.csv")
		switch {
		case m.data == contrasts:
			file = contrasts
		case filepath.Ext(m.data) == ".csv":
			file = filepath.Join(dir, m.data)
		}
		float, floatTook, err := evaluate(m, file, "fp32")
		if err != nil {
			return err
		}
		int8, int8Took, err := evaluate(m, file, "int8")
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.0f\t%.0f\n", m.bundle, m.task, float.Rows,
			float.Accuracy, int8.Accuracy, float.MacroF1, int8.MacroF1, float.ECE, int8.ECE, floatTook.Seconds(), int8Took.Seconds())
		if err := summary.Row("accuracy, "+m.bundle+", "+m.task+" of "+filepath.Base(m.data)+", int8", fmt.Sprintf("%.3f", int8.Accuracy), fmt.Sprintf("fp32: %.3f", float.Accuracy), ""); err != nil {
			return err
		}
	}
	return table.Flush()
}

func evaluate(m measure, file, precision string) (e classify.Evaluation, took time.Duration, err error) {
	command := exec.Command("bin/barograph", "evaluate", "--json", "--model", m.bundle, "--data", file, "--task", m.task,
		"--text-column", m.text, "--entity-column", m.entity, "--split", m.split, "--precision", precision, "--skip-bad")
	command.Stderr = os.Stderr
	start := time.Now()
	out, err := command.Output()
	if err != nil {
		return e, 0, fmt.Errorf("barograph evaluate on %s: %w", m.data, err)
	}
	return e, time.Since(start), json.Unmarshal(out, &e)
}
