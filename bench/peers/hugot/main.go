// Command hugot times github.com/knights-analytics/hugot as peer.py times Python: batches of 32 in
// the order of the file, tokenising included.
//
//	hugot ort|go LIBRARY-FOLDER MODEL-FOLDER TEXTS THREADS
package main

import (
	"encoding/json"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/knights-analytics/hugot"
	"github.com/knights-analytics/hugot/options"
	"github.com/knights-analytics/hugot/pipelines"
)

func main() {
	log.SetFlags(0)
	threads, err := strconv.Atoi(os.Args[5])
	check(err)
	content, err := os.ReadFile(os.Args[4])
	check(err)
	texts := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	var session *hugot.Session
	if os.Args[1] == "ort" {
		session, err = hugot.NewORTSession(options.WithOnnxLibraryPath(os.Args[2]), options.WithIntraOpNumThreads(threads))
	} else {
		session, err = hugot.NewGoSession()
	}
	check(err)
	defer session.Destroy()
	pipeline, err := hugot.NewPipeline(session, hugot.TextClassificationConfig{
		ModelPath: os.Args[3], Name: "peer",
		Options: []hugot.TextClassificationOption{pipelines.WithSoftmax(), pipelines.WithSingleLabel()},
	})
	check(err)
	const size = 32
	var labels []string
	classify := func(batch []string) {
		out, err := pipeline.RunPipeline(batch)
		check(err)
		for _, classes := range out.ClassificationOutputs {
			labels = append(labels, classes[0].Label)
		}
	}
	classify(texts[:size])
	labels = nil
	start := time.Now()
	for i := 0; i < len(texts); i += size {
		classify(texts[i:min(i+size, len(texts))])
	}
	seconds := time.Since(start).Seconds()
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"texts": len(texts), "seconds": seconds, "texts_per_second": float64(len(texts)) / seconds, "labels": labels,
	}))
}

func check(err error) {
	if err != nil {
		log.Fatal("hugot: ", err)
	}
}
