// Command headlines turns the CNBC headlines among the data sets into items, in order of
// publication, for a look at what a half year of real news looks like in `barograph replay`:
//
//	go run ./bench/headlines ../shared/data/headlines/cnbc.csv > items.jsonl
//	bin/barograph replay -c barograph.yaml --report cnbc.png items.jsonl
//
// The headlines may not be committed, and nor may a picture made of them.
package main

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"time"
	_ "time/tzdata"

	"github.com/barograph/barograph/news"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: headlines cnbc.csv")
	}
	if err := convert(os.Args[1]); err != nil {
		log.Fatal("bench/headlines: ", err)
	}
}

func convert(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	eastern, err := time.LoadLocation("America/New_York")
	if err != nil {
		return err
	}
	var items []news.Item
	for i, row := range rows[1:] {
		// "7:51  PM ET Fri, 17 July 2020", also with the month cut short
		text := strings.Join(strings.Fields(strings.Replace(row[0], " ET ", " ", 1)), " ")
		at, err := time.ParseInLocation("3:04 PM Mon, 2 January 2006", text, eastern)
		if err != nil {
			at, err = time.ParseInLocation("3:04 PM Mon, 2 Jan 2006", text, eastern)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: row %d: %v\n", path, i+2, err)
			continue
		}
		items = append(items, news.Item{Kind: news.KindNews, Source: "cnbc", PublishedAt: at.UTC(), Title: row[1], Lang: "en"})
	}
	slices.SortStableFunc(items, func(a, b news.Item) int {
		return cmp.Or(a.PublishedAt.Compare(b.PublishedAt), cmp.Compare(a.Title, b.Title))
	})
	out := json.NewEncoder(os.Stdout)
	for _, item := range items {
		if err := out.Encode(item); err != nil {
			return err
		}
	}
	return nil
}
