// Command rows derives from the data sets the rows that the shipped bundles are trained and
// measured on, where those are not in the sets as they are:
//
//	go run ./bench/rows -data DIR -out DIR
//
//	headlines.csv   SEntFiN's headlines whose companies all have one sentiment: text,sentiment
//	subjects.csv    FinNL's texts with the subject of their label, without the region: text,topic
package main

import (
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
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
	for _, set := range []struct {
		from, to, label string
		derive          func(label string) (string, error)
	}{
		{"sentfin", "headlines.csv", "sentiment", onlySentiment},
		{"finnl-zh-topic", "subjects.csv", "topic", subject},
	} {
		if err := rewrite(filepath.Join(*data, set.from, "train.csv"), filepath.Join(*out, set.to), set.label, set.derive); err != nil {
			log.Fatal("bench/rows: ", err)
		}
	}
}

// rewrite writes the rows of a set of two columns with the label that derive makes of theirs.
// Those that get none are left out.
func rewrite(from, to, label string, derive func(string) (string, error)) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	rows, err := csv.NewReader(in).ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	kept := [][]string{{"text", label}}
	for i, row := range rows[1:] {
		derived, err := derive(row[1])
		if err != nil {
			return fmt.Errorf("%s: row %d: %w", from, i+2, err)
		}
		if derived != "" {
			kept = append(kept, []string{row[0], derived})
		}
	}
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	defer file.Close()
	return csv.NewWriter(file).WriteAll(kept)
}

// onlySentiment is the one sentiment of all companies of a headline, "" where they differ.
func onlySentiment(entities string) (string, error) {
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

// subjects are the topics of the Chinese bundle.
var subjects = strings.Fields("公司 新冠 经济 行业 大盘 政策 政治 期货 能源 债券 房地产 虚拟货币 外汇")

// subject is the first word of a label such as "中国 公司" (a region and subjects) that is, or ends
// with, a subject.
func subject(label string) (string, error) {
	for _, word := range strings.Fields(label) {
		for _, s := range subjects {
			if strings.HasSuffix(word, s) {
				return s, nil
			}
		}
	}
	return "", nil
}
