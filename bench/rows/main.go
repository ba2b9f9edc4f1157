// Command rows derives from the data sets the rows that the shipped bundles are trained and
// measured on, where those are not in the sets as they are:
//
//	go run ./bench/rows -data DIR -out DIR
//
//	headlines.csv   SEntFiN's headlines whose companies all have one sentiment: text,sentiment
//	contrasts.csv   two of SEntFiN's short headlines joined, one company each: title,entities_json
//	earlier.csv     the first nine tenths of FinFE's comments as they come, and
//	later.csv       the last one, which is what the Chinese bundle is validated on: text,sentiment
//	subjects.csv    FinNL's texts with the subject of their label, without the region, and
//	others.csv      those that it is validated on, by the hash of the text: text,topic
package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/barograph/barograph/finetune"
)

func main() {
	log.SetFlags(0)
	data := flag.String("data", os.Getenv("BAROGRAPH_DATA"), "folder of the data sets")
	out := flag.String("out", "bench/out/rows", "folder to write to")
	flag.Parse()
	if *data == "" {
		log.Fatal("bench/rows: name the folder of the data sets by -data or BAROGRAPH_DATA")
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		log.Fatal("bench/rows: ", err)
	}
	set := func(name string) string { return filepath.Join(*data, name, "train.csv") }
	to := func(name string) string { return filepath.Join(*out, name) }
	err := errors.Join(
		rewrite(set("sentfin"), to("headlines.csv"), "sentiment", onlySentiment),
		rewrite(set("finnl-zh-topic"), to("subjects.csv"), "topic", only(false, subject)),
		rewrite(set("finnl-zh-topic"), to("others.csv"), "topic", only(true, subject)),
		contrasts(set("sentfin"), to("contrasts.csv")),
		cut(set("finfe-zh-sentiment"), to("earlier.csv"), to("later.csv")),
	)
	if err != nil {
		log.Fatal("bench/rows: ", err)
	}
}

// rewrite writes the rows of a set of two columns with the label that derive makes of theirs.
// Those that get none are left out.
func rewrite(from, to, label string, derive func(text, label string) (string, error)) error {
	rows, err := read(from)
	if err != nil {
		return err
	}
	kept := [][]string{{"text", label}}
	for i, row := range rows {
		derived, err := derive(row[0], row[1])
		if err != nil {
			return fmt.Errorf("%s: row %d: %w", from, i+2, err)
		}
		if derived != "" {
			kept = append(kept, []string{row[0], derived})
		}
	}
	return write(to, kept)
}

// cut writes the first nine tenths of a set's rows and the last one.
func cut(from, first, last string) error {
	rows, err := read(from)
	if err != nil {
		return err
	}
	at := len(rows) - len(rows)/10
	header := []string{"text", "sentiment"}
	if err := write(first, slices.Concat([][]string{header}, rows[:at])); err != nil {
		return err
	}
	return write(last, slices.Concat([][]string{header}, rows[at:]))
}

// read reads a CSV file's rows without its header.
func read(path string) ([][]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rows[1:], nil
}

func write(path string, rows [][]string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return csv.NewWriter(file).WriteAll(rows)
}

// onlySentiment is the one sentiment of all companies of a headline, "" where they differ.
func onlySentiment(_, entities string) (string, error) {
	var sentiments map[string]string
	if err := json.Unmarshal([]byte(entities), &sentiments); err != nil {
		return "", err
	}
	only := ""
	for _, s := range sentiments {
		if only != "" && s != only {
			return "", nil
		}
		only = s
	}
	return only, nil
}

// only derives the labels of the texts that are validation rows by finetune's split by hash, or of the others.
func only(validation bool, derive func(text, label string) (string, error)) func(text, label string) (string, error) {
	return func(text, label string) (string, error) {
		if finetune.InValidation(text) != validation {
			return "", nil
		}
		return derive(text, label)
	}
}

// subjects are the topics of the Chinese bundle.
var subjects = strings.Fields("公司 新冠 经济 行业 大盘 政策 政治 期货 能源 债券 房地产 虚拟货币 外汇")

// subject is the first word of a label such as "中国 公司" (a region and subjects) that is, or ends
// with, a subject.
func subject(_, label string) (string, error) {
	for _, word := range strings.Fields(label) {
		for _, s := range subjects {
			if strings.HasSuffix(word, s) {
				return s, nil
			}
		}
	}
	return "", nil
}
