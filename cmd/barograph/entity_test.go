package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// TestReadingsTowardEntitiesThroughTheStream: each company's series counts its own readings of
// the items, and everything counts each item once, also when the stream is read again.
func TestReadingsTowardEntitiesThroughTheStream(t *testing.T) {
	server, store := testenv.StartKafka(t), testenv.StartRedis(t)
	server.CreateTopic("news", 2)
	server.CreateTopic("barograph.readings", 2)
	slot := tinyBundle(t, filepath.Join(t.TempDir(), "slot"), `1", "entity_segment": true, "x": "`, 0)
	list := filepath.Join(t.TempDir(), "list.yaml")
	if err := os.WriteFile(list, []byte("- {id: AA, names: [w3]}\n- {id: BB, names: [w30 w31]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := func(group string) string {
		return slotConfig(t, slot, fmt.Sprintf(`
kafka: {brokers: ['%s'], start: earliest, group: %s, topics: [{name: news, kind: news}]}
redis: {addresses: ['%s']}
watch_list: '%s'
`, server.Addr, group, store.Addr, list))
	}
	const n = 300
	var items []news.Item
	for i := range n {
		text := fmt.Sprintf("w%d w%d %s", i%36, i/36, strings.ToLower(rand.Text())) // no near copy of another
		items = append(items, news.Item{ID: fmt.Sprint(i), Text: text, Entities: []string{"AA", "BB"}, PublishedAt: time.Now()})
	}
	client := openBroker(t, server.Addr)
	produce(t, client, "news", encodeItems(t, items...)...)
	p := start(t, "monitor", config("first"))
	readings := consume(t, client, "barograph.readings")
	readings.until(t, time.Minute, "two readings of every item", func(all []kafka.Message) bool { return len(all) == 2*n })

	total, negative := map[string]int{}, map[string]int{}
	differ := 0
	byItem := map[string]float64{}
	for _, message := range readings.list() {
		var r news.Reading
		if err := json.Unmarshal(message.Value, &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Entities) != 1 || string(message.Key) != r.ID {
			t.Fatalf("key %s: %+v", message.Key, r)
		}
		total[r.Entities[0]]++
		if r.Negative() {
			negative[r.Entities[0]]++
		}
		if other, ok := byItem[r.ID]; ok && other != r.Sentiment.Negative {
			differ++
		}
		byItem[r.ID] = r.Sentiment.Negative
	}
	if total["AA"] != n || total["BB"] != n || differ < n/2 {
		t.Errorf("readings %v, %d items read differently for their companies", total, differ)
	}
	counts, err := trend.New(trend.Config{Redis: redis.NewClient(&redis.Options{Addr: store.Addr})})
	if err != nil {
		t.Fatal(err)
	}
	window := func(entity string) news.Window {
		w, err := counts.Window(t.Context(), news.Series{Entity: entity}, time.Now(), 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	counted := func() bool {
		return !slices.ContainsFunc([]string{"", "AA", "BB"}, func(entity string) bool { return window(entity).Items != n })
	}
	eventually(t, time.Minute, "every item counted", counted)
	p.stop(t)
	again := start(t, "monitor, from the start", config("second"))
	readings.until(t, time.Minute, "all of it again", func(all []kafka.Message) bool { return len(all) == 4*n })
	again.stop(t)
	for _, entity := range []string{"AA", "BB"} {
		if w := window(entity); w.Items != n || w.Negative != negative[entity] || w.Copies != 0 {
			t.Errorf("%s: %+v, want %d items, %d of them negative", entity, w, n, negative[entity])
		}
	}
	if w := window(""); w.Items != n || w.Copies != 0 {
		t.Errorf("everything: %+v, want %d items", w, n)
	}
}
