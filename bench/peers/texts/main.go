// Command texts writes the texts that the peers and Barograph are measured on, a text a line:
// real ones, without links, which the classify stage takes out before it reads a text. All
// read the same, so no peer pays for the tokens of a link.
//
//	go run ./bench/peers/texts -data DIR -out DIR [-n 600]
//
//	texts.txt                  n tweets of tfns in random order, the same ones each time
//	en.sentiment.txt, ...      for each bundle and head, the rows that it was not trained on
package main

import (
	"encoding/csv"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/finetune"
)

// sets is the data set that each head of the shipped bundles was trained on.
var sets = map[string]string{
	"en.sentiment": "tfns-sentiment", "en.topic": "tfn-topic",
	"zh.sentiment": "finfe-zh-sentiment", "zh.topic": "finnl-zh-topic",
}

func main() {
	log.SetFlags(0)
	data := flag.String("data", os.Getenv("BAROGRAPH_DATA"), "folder of the data sets")
	out := flag.String("out", "bench/out/peers", "folder to write to")
	n := flag.Int("n", 600, "tweets to measure on")
	flag.Parse()
	if *data == "" {
		log.Fatal("bench/peers/texts: name the folder of the data sets by -data or BAROGRAPH_DATA")
	}
	if err := run(*data, *out, *n); err != nil {
		log.Fatal("bench/peers/texts: ", err)
	}
}

func run(data, out string, n int) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	tweets, err := texts(data, "tfns-sentiment", func(string) bool { return true })
	if err != nil {
		return err
	}
	if n < 1 || n > len(tweets) {
		return fmt.Errorf("-n is %d; there are %d tweets", n, len(tweets))
	}
	rand.New(rand.NewPCG(7, 0)).Shuffle(len(tweets), func(i, j int) { tweets[i], tweets[j] = tweets[j], tweets[i] })
	if err := write(out, "texts.txt", tweets[:n]); err != nil {
		return err
	}
	for head, set := range sets {
		wanted := finetune.InValidation
		if head == "zh.sentiment" { // the last tenth
			wanted = func(string) bool { return true }
		}
		rows, err := texts(data, set, wanted)
		if err != nil {
			return err
		}
		if head == "zh.sentiment" {
			rows = rows[len(rows)-len(rows)/10:]
		}
		if err := write(out, head+".txt", rows); err != nil {
			return err
		}
	}
	return nil
}

// texts are those of a set whose raw text is wanted, as the classify stage reads them and with
// white space collapsed, which no tokenizer here tells apart. What has no text is left out.
func texts(data, set string, wanted func(text string) bool) ([]string, error) {
	file, err := os.Open(filepath.Join(data, set, "train.csv"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", set, err)
	}
	var kept []string
	for _, row := range rows[1:] {
		text := strings.Join(strings.Fields(classify.StripURLs(row[0])), " ")
		if text != "" && wanted(row[0]) {
			kept = append(kept, text)
		}
	}
	return kept, nil
}

// write writes beside and renames.
func write(dir, name string, lines []string) error {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".part", []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}
