// Command quality measures the shipped bundles on the rows that they were not trained on, in
// float and in int8, by `barograph evaluate`.
//
//	go run ./bench/quality -data DIR
//
// `make build deps` must have run.
package main

import (
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/barograph/barograph/classify"
)

// measure is one head on one data set.
type measure struct{ bundle, task, data, text string }

var measures = []measure{
	{"models/en", "sentiment", "tfns-sentiment", "text"},
	{"models/en", "topic", "tfn-topic", "text"},
	{"models/zh", "sentiment", "finfe-zh-sentiment", "text"},
	{"models/zh", "topic", "finnl-zh-topic", "text"},
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
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "bundle\thead\trows\taccuracy fp32\tint8\tmacro-F1 fp32\tint8\tECE fp32\tint8\tseconds fp32\tint8")
	for _, m := range measures {
		file := filepath.Join(data, m.data, "train.csv")
		if m.data == "finnl-zh-topic" {
			var err error
			if file, err = subjects(file, dir); err != nil {
				return err
			}
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
	}
	return table.Flush()
}

func evaluate(m measure, file, precision string) (e classify.Evaluation, took time.Duration, err error) {
	command := exec.Command("bin/barograph", "evaluate", "--json", "--model", m.bundle, "--data", file, "--task", m.task,
		"--text-column", m.text, "--split", "validation", "--precision", precision)
	command.Stderr = os.Stderr
	start := time.Now()
	out, err := command.Output()
	if err != nil {
		return e, 0, fmt.Errorf("barograph evaluate on %s: %w", m.data, err)
	}
	return e, time.Since(start), json.Unmarshal(out, &e)
}

// known are the topics of the Chinese bundle.
var known = strings.Fields("公司 新冠 经济 行业 大盘 政策 政治 期货 能源 债券 房地产 虚拟货币 外汇")

// subjects rewrites labels such as "中国 公司" (a region and subjects) as the Chinese bundle
// was trained on them: the first word that is, or ends with, a subject. Other rows are left out.
func subjects(file, dir string) (string, error) {
	in, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer in.Close()
	rows, err := csv.NewReader(in).ReadAll()
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "topic.csv")
	written, err := os.Create(out)
	if err != nil {
		return "", err
	}
	defer written.Close()
	w := csv.NewWriter(written)
	_ = w.Write(rows[0])
	for _, row := range rows[1:] {
		if topic := subject(row[1]); topic != "" {
			_ = w.Write([]string{row[0], topic})
		}
	}
	w.Flush()
	return out, w.Error()
}

func subject(label string) string {
	for _, word := range strings.Fields(label) {
		for _, topic := range known {
			if strings.HasSuffix(word, topic) {
				return topic
			}
		}
	}
	return ""
}
