package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// tinyBundle writes a real bundle of a few kilobytes, whose vocabulary is turned by shift: it
// reads the words w0 to w35, each version in its own way.
func tinyBundle(t *testing.T, dir, version string, shift int) string {
	t.Helper()
	source := filepath.Join(testenv.Root(t), "classify", "bert", "testdata", "tiny", "brain-cls")
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	words := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]"}
	for i := range 36 {
		words = append(words, fmt.Sprintf("w%d", (i+shift)%36))
	}
	config, err := os.ReadFile(filepath.Join(source, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"vocab.txt":   strings.Join(words, "\n"),
		"config.json": strings.Replace(string(config), `"version": "1"`, fmt.Sprintf(`"version": "%s"`, version), 1),
	} {
		path := filepath.Join(dir, name)
		_ = os.Remove(path)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func tinyText(i int) string {
	return fmt.Sprintf("w%d w%d w%d", i%36, i/36%36, (i+i/7)%36)
}

// slotConfig is a configuration whose one bundle is the slot.
func slotConfig(t *testing.T, slot, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "barograph.yaml")
	text := fmt.Sprintf("classify: {bundles: ['%s'], precision: fp32, threads: 1, reload: 50ms}\n%s", slot, more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	said, err := commandLine(t, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return said
}

// labelledBy writes rows whose labels are what the bundle says of them.
func labelledBy(t *testing.T, dir string) string {
	t.Helper()
	m, err := classify.OpenModel(dir, classify.ModelConfig{Precision: "fp32", Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var texts []string
	for i := range 400 {
		texts = append(texts, tinyText(i*11))
	}
	said, _ := m.Predict(texts)
	var rows strings.Builder
	rows.WriteString("text,sentiment,topic\n")
	for i, p := range said {
		fmt.Fprint(&rows, texts[i])
		for h, head := range m.Bundle.Heads {
			best := 0
			for l := range p[h] {
				if p[h][l] > p[h][best] {
					best = l
				}
			}
			fmt.Fprint(&rows, ",", head.Labels[best])
		}
		fmt.Fprintln(&rows)
	}
	path := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(path, []byte(rows.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOnlyABetterBundleIsPromoted(t *testing.T) {
	slot := tinyBundle(t, filepath.Join(t.TempDir(), "slot"), "1", 0)
	next := tinyBundle(t, t.TempDir(), "2", 17)
	config := slotConfig(t, slot, "")
	live := func() string {
		t.Helper()
		b, err := classify.OpenBundle(slot, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b.Version
	}
	said, err := commandLine(t, "model", "promote", next, "-c", config, "--data", labelledBy(t, slot))
	if !errors.Is(err, errNotBetter) || live() != "1" || !strings.Contains(said, "macro-F1 live") {
		t.Errorf("rows that the live one reads right: %v, version %s is live\n%s", err, live(), said)
	}
	said = mustRun(t, "model", "promote", next, "-c", config, "--data", labelledBy(t, next))
	if live() != "2" || strings.Count(said, "1.0000") < 4 {
		t.Errorf("rows that the new one reads right: version %s is live\n%s", live(), said)
	}
	if _, err := commandLine(t, "model", "promote", next, "-c", config, "--force"); !errors.Is(err, classify.ErrAlreadyLive) {
		t.Errorf("once more: %v", err)
	}
	if said = mustRun(t, "model", "list", filepath.Dir(slot), "-c", config); strings.Count(said, "live") != 1 || strings.Count(said, "kept") != 1 {
		t.Errorf("the list:\n%s", said)
	}
	mustRun(t, "model", "rollback", "-c", config)
	if live() != "1" {
		t.Errorf("after the rollback version %s is live", live())
	}
	if _, err := commandLine(t, "model", "rollback", slot, "-c", config); !errors.Is(err, classify.ErrNoPrevious) {
		t.Errorf("another rollback: %v", err)
	}
	if said = mustRun(t, "model", "promote", next, "-c", config, "--data", labelledBy(t, slot), "--force"); live() != "2" || !strings.Contains(said, "forced, though") {
		t.Errorf("forced: version %s is live\n%s", live(), said)
	}
	for name, args := range map[string][]string{
		"neither data nor force": {next},
		"no such slot":           {next, "--force", "--to", slot + "x"},
		"no such bundle":         {next + "x", "--force"},
		"no labels":              {next, "--data", labelledBy(t, slot), "--label-column", "mood"},
	} {
		if _, err := commandLine(t, append([]string{"model", "promote", "-c", config}, args...)...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestVerdict(t *testing.T) {
	row := func(task string, low, high float64) compared {
		return compared{task: task, Comparison: classify.Comparison{Rows: 9, Low: low, High: high}}
	}
	for name, c := range map[string]struct {
		rows   []compared
		tasks  []string
		better bool
	}{
		"better":                         {[]compared{row("sentiment", .01, .05)}, []string{"sentiment"}, true},
		"by chance":                      {[]compared{row("sentiment", -.01, .05)}, []string{"sentiment"}, false},
		"better on one, chance on one":   {[]compared{row("sentiment", .01, .05), row("topic", -.02, .01)}, []string{"topic", "sentiment"}, true},
		"better on one, worse on one":    {[]compared{row("sentiment", .01, .05), row("topic", -.02, -.01)}, []string{"topic", "sentiment"}, false},
		"better, the other not measured": {[]compared{row("sentiment", .01, .05), {task: "topic"}}, []string{"topic", "sentiment"}, false},
		"better, but a head is missing":  {[]compared{row("sentiment", .01, .05), {task: "topic"}}, []string{"sentiment"}, false},
		"nothing measured":               {[]compared{{task: "sentiment"}}, []string{"sentiment"}, false},
	} {
		if why := verdict(c.rows, c.tasks); (why == "") != c.better {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// TestPromotionUnderFire: while items flow through Kafka a bundle is promoted, a damaged one
// is put in its place, and both are rolled back. Every item has one reading, by one of the
// good ones.
func TestPromotionUnderFire(t *testing.T) {
	server, store := testenv.StartKafka(t), testenv.StartRedis(t)
	server.CreateTopic("news", 4)
	server.CreateTopic("barograph.readings", 4)
	slot := tinyBundle(t, filepath.Join(t.TempDir(), "slot"), "1", 0)
	next := tinyBundle(t, t.TempDir(), "2", 17)
	config := slotConfig(t, slot, fmt.Sprintf(`
kafka: {brokers: ['%s'], start: earliest, topics: [{name: news, kind: news}]}
redis: {addresses: ['%s']}
`, server.Addr, store.Addr))
	p := start(t, "monitor", config)
	client := openBroker(t, server.Addr)
	readings := consume(t, client, "barograph.readings")

	var sent int
	end, ended := make(chan struct{}), sync.WaitGroup{}
	ended.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			var items []news.Item
			for range 50 {
				items = append(items, news.Item{ID: fmt.Sprint(sent), Text: tinyText(sent), PublishedAt: time.Now()})
				sent++
			}
			produce(t, client, "news", encodeItems(t, items...)...)
		}
	})
	// Versions by item, as they come.
	byVersion := map[string]int{}
	byItem := map[string]string{}
	seen := 0
	serves := func(version string) func([]kafka.Message) bool {
		before := byVersion[version]
		return func(all []kafka.Message) bool {
			for ; seen < len(all); seen++ {
				var r news.Reading
				if err := json.Unmarshal(all[seen].Value, &r); err != nil {
					t.Fatal(err)
				}
				if had, again := byItem[r.ID]; again {
					t.Errorf("item %s has readings by version %s and %s", r.ID, had, r.Model.Version)
				}
				byItem[r.ID] = r.Model.Version
				byVersion[r.Model.Version]++
			}
			return byVersion[version] > before+100
		}
	}
	readings.until(t, time.Minute, "readings by version 1", serves("1"))
	mustRun(t, "model", "promote", next, "-c", config, "--force")
	readings.until(t, time.Minute, "readings by version 2", serves("2"))

	bad, err := classify.OpenBundle(tinyBundle(t, t.TempDir(), "3", 5), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := classify.Promote(slot, bad, time.Now(), func(copied string) error {
		return os.Truncate(filepath.Join(copied, "model.safetensors"), 5000)
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the failure in the metrics", func() bool {
		_, body := p.get(t, "/metrics")
		return strings.Contains(body, fmt.Sprintf("barograph_classify_model_load_failures_total{bundle=%q} 1", slot))
	})
	readings.until(t, time.Minute, "more readings by version 2", serves("2"))
	mustRun(t, "model", "rollback", slot, "-c", config)
	mustRun(t, "model", "rollback", slot, "-c", config)
	readings.until(t, time.Minute, "readings by version 1 again", serves("1"))
	own, err := classify.Digest(slot)
	if err != nil {
		t.Fatal(err)
	}
	if _, body := p.get(t, "/metrics"); !strings.Contains(body, fmt.Sprintf("digest=%q,model=\"tiny\",version=\"1\"} 1", own)) {
		t.Errorf("the metrics do not show that %s is live", own)
	}
	close(end)
	ended.Wait()
	readings.until(t, time.Minute, "a reading of every item", func(all []kafka.Message) bool {
		serves("1")(all)
		return len(byItem) == sent
	})
	p.stop(t)
	serves("1")(readings.list())
	if len(byItem) != sent || byVersion["3"] != 0 {
		t.Errorf("%d items were sent, %d have a reading: by version %v", sent, len(byItem), byVersion)
	}
	if n := strings.Count(p.log.String(), "does not load"); n != 1 {
		t.Errorf("the failure was logged %d times", n)
	}
}

// TestClassifyTowardEntities: a line for each of a row's entities.
func TestClassifyTowardEntities(t *testing.T) {
	dir := tinyBundle(t, t.TempDir(), `1", "entity_segment": true, "x": "`, 0)
	rows := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(rows, []byte("id,text,entities\na,w1 w2,\"w3, w4\"\nb,w1 w2,\nc,w1 w2,\"[\"\"w4\"\"]\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "readings.jsonl")
	mustRun(t, "classify", rows, "-o", out, "--model", dir, "--precision", "fp32")
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	said := map[string]float64{}
	for line := range strings.Lines(string(raw)) {
		var r news.Reading
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		who := fmt.Sprint(r.ID, r.Entities)
		got, said[who] = append(got, who), r.Sentiment.Negative
	}
	if want := "a[w3] a[w4] b[] c[w4]"; strings.Join(got, " ") != want {
		t.Errorf("readings %v, want %s", got, want)
	}
	if said["a[w3]"] == said["a[w4]"] || said["a[w3]"] == said["b[]"] {
		t.Errorf("the entity makes no difference: %v", said)
	}
}

// Files beside the bundles, such as the recipe they were made by, are no bundles.
func TestBundlesAmongFiles(t *testing.T) {
	dir := t.TempDir()
	err := errors.Join(os.WriteFile(filepath.Join(dir, "make"), []byte("#!/bin/sh"), 0o755), os.Mkdir(filepath.Join(dir, "notes"), 0o755),
		os.Mkdir(filepath.Join(dir, "en"), 0o755), os.WriteFile(filepath.Join(dir, "en", "config.json"), []byte("{}"), 0o644),
		os.Symlink("en", filepath.Join(dir, "linked")))
	if err != nil {
		t.Fatal(err)
	}
	got, err := bundlesIn(dir)
	if want := []string{filepath.Join(dir, "en"), filepath.Join(dir, "linked")}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// A bundle without a model card, as many on the hub and most made by hand are, is shown all the same.
func TestModelShowWithoutACard(t *testing.T) {
	dir := tinyBundle(t, t.TempDir(), "7", 0)
	if said := mustRun(t, "model", "show", dir); !strings.Contains(said, "tiny") || !strings.Contains(said, "no model card") {
		t.Errorf("without a card:\n%s", said)
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("# Of words\n\n    \x1b[2Jcode\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if said := mustRun(t, "model", "show", dir); !strings.Contains(said, "# Of words\n\n    [2Jcode\n") {
		t.Errorf("with a card:\n%s", said)
	}
}
