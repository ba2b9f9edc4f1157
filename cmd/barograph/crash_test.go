package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/slackfake"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// crashTexts is how many real texts go through in TestCrash, besides the burst's.
const crashTexts = 20000

// Two replicas share 20,000 real texts; one is killed in the middle and started again.
// Every item is counted once, every reading is on the topic, the few texts that are nothing
// but a link are dead letters, and the alert of the burst at the end, whose parts are read seconds
// apart, is posted once.
func TestCrash(t *testing.T) {
	items := append(realItems(t, crashTexts), burst(t)...)
	readable := len(items)
	for _, item := range items {
		if strings.TrimSpace(classify.StripURLs(item.Content())) == "" {
			readable--
		}
	}
	server := testenv.StartKafka(t)
	store := testenv.StartRedis(t)
	chat := slackfake.Start(t)
	const channel = "C0ALERTS"
	chat.AddChannel(channel, "alerts")
	server.CreateTopic("news", 4)
	server.CreateTopic("barograph.readings", 4)
	config := writeConfig(t, fmt.Sprintf(`
kafka: {brokers: ['%s'], start: earliest, topics: [{name: news, kind: news}]}
redis: {addresses: ['%s']}
trend: {warm_up: -1s}
alert: {digest_from: 0, slack: {token: env:SLACK_TOKEN, api_url: '%s', channel: %s}}
`, server.Addr, store.Addr, chat.URL, channel))
	t.Setenv("SLACK_TOKEN", slackfake.Token)

	client := openBroker(t, server.Addr)
	produce(t, client, "news", encodeItems(t, items...)...)
	readings := consume(t, client, "barograph.readings")
	first, second := start(t, "first replica", config), start(t, "second replica", config)
	readings.until(t, 10*time.Minute, "a quarter of the readings", atLeast(len(items)/4))
	first.kill()
	readings.until(t, 10*time.Minute, "half of the readings", atLeast(len(items)/2))
	first = start(t, "first replica, again", config)
	readings.until(t, 20*time.Minute, "a reading of every item", atLeast(readable))

	// A reading is on its topic before its item is settled: wait for the counts, too.
	counts, err := trend.New(trend.Config{Redis: redis.NewClient(&redis.Options{Addr: store.Addr})})
	if err != nil {
		t.Fatal(err)
	}
	var all news.Window
	eventually(t, time.Minute, "every item counted in Redis", func() bool {
		if all, err = counts.Window(t.Context(), news.Series{}, time.Now(), 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		return all.Items+all.Copies >= readable
	})
	letters := consume(t, client, "barograph.dead-letters")
	letters.until(t, time.Minute, "the texts without words as dead letters", atLeast(len(items)-readable))
	eventually(t, 2*time.Minute, "the burst told", func() bool { return len(messagesAbout(chat, channel, "ACME")) > 0 })
	first.stop(t)
	second.stop(t)
	if all, err = counts.Window(t.Context(), news.Series{}, time.Now(), 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if all.Items+all.Copies != readable {
		t.Errorf("%d items and %d copies are counted; %d were sent", all.Items, all.Copies, readable)
	}
	expectOneAlert(t, chat, channel)
	expectOneAlertOnTopic(t, client)
	t.Logf("%d items, %d readings on the topic, %d dead letters, %d negative", len(items), len(readings.list()), len(letters.list()), all.Negative)
}

// A process whose drain runs out ends after the batch under way. What it gives up is no dead
// letter: the next process reads it.
func TestADrainThatRunsOutLosesNothing(t *testing.T) {
	server, store := testenv.StartKafka(t), testenv.StartRedis(t)
	server.CreateTopic("news", 2)
	server.CreateTopic("barograph.readings", 2)
	config := writeConfig(t, fmt.Sprintf(`
kafka: {brokers: ['%s'], start: earliest, topics: [{name: news, kind: news}]}
redis: {addresses: ['%s']}
drain_timeout: 1ms
`, server.Addr, store.Addr))
	var items []news.Item
	for i := range 300 {
		items = append(items, news.Item{ID: fmt.Sprint(i), PublishedAt: time.Now(),
			Text: fmt.Sprintf("Number %d. ", i) + strings.Repeat("The company held its annual meeting on Tuesday. ", 12)})
	}
	client := openBroker(t, server.Addr)
	produce(t, client, "news", encodeItems(t, items...)...)
	readings := consume(t, client, "barograph.readings")
	first := start(t, "first", config)
	readings.until(t, 2*time.Minute, "some readings", atLeast(20))
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-first.ended: // with exit code 1: the drain ran out
	case <-time.After(time.Minute):
		t.Fatal("the first process has not ended a minute after SIGTERM")
	}
	if code := first.ProcessState.ExitCode(); code != exitFailed {
		t.Errorf("the first process ended with %d", code)
	}
	if said := first.log.String(); strings.Contains(said, "drained and stopped") || !strings.Contains(said, "before all was drained") {
		t.Error("the first process does not say that its drain ran out, or says that it was drained")
	}
	if n := len(readings.list()); n >= len(items) {
		t.Fatalf("all %d items were read before the end", n)
	}
	second := start(t, "second", config)
	readings.until(t, 5*time.Minute, "a reading of every item", atLeast(len(items)))
	second.stop(t)
	cluster, err := client.Ping(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for partition := range cluster.Topics["barograph.dead-letters"] {
		if first, next, err := client.Bounds(t.Context(), "barograph.dead-letters", partition); err != nil || next > first {
			t.Errorf("dead letters %d to %d, %v", first, next, err)
		}
	}
}

// atLeast holds when so many different items, by the messages' keys, have come.
func atLeast(n int) func([]kafka.Message) bool {
	seen, next := map[string]bool{}, 0
	return func(all []kafka.Message) bool {
		for ; next < len(all); next++ {
			seen[string(all[next].Key)] = true
		}
		return len(seen) >= n
	}
}

func expectOneAlert(t *testing.T, chat *slackfake.Server, channel string) {
	t.Helper()
	if about := messagesAbout(chat, channel, "ACME"); len(about) != 1 {
		t.Errorf("%d messages about the burst, want one: %q", len(about), about)
	}
}

func messagesAbout(chat *slackfake.Server, channel, company string) (about []string) {
	for _, message := range chat.Messages(channel) {
		if strings.Contains(message.Text, company) {
			about = append(about, message.Text)
		}
	}
	return about
}

// expectOneAlertOnTopic counts the alerts about the burst on their topic. A message may be
// there twice, under one idempotency key.
func expectOneAlertOnTopic(t *testing.T, client *broker.Client) {
	t.Helper()
	const topic = "barograph.alerts"
	cluster, err := client.Ping(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fired, ids := map[string]bool{}, map[string]bool{}
	for number := range cluster.Topics[topic] {
		next, end, err := client.Bounds(t.Context(), topic, number)
		for ; err == nil && next < end; next++ {
			var chunk broker.Chunk
			if chunk, err = client.Fetch(t.Context(), topic, number, next, 1); err != nil || len(chunk.Messages) == 0 {
				break
			}
			m, a := chunk.Messages[0], news.Alert{}
			if err = json.Unmarshal(m.Value, &a); err == nil && a.Series.Entity == "ACME" {
				ids[string(m.Key)] = true
				for _, h := range m.Headers {
					if h.Key == "idempotency-key" && strings.HasSuffix(string(h.Value), "-firing-1") {
						fired[string(h.Value)] = true
					}
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(ids) != 1 || len(fired) != 1 {
		t.Errorf("the alerts topic holds %d alerts about the burst, fired %d times, want one: %v", len(ids), len(fired), fired)
	}
}

// realItems are real tweets, published over the ten hours before now, in random order.
func realItems(t *testing.T, n int) []news.Item {
	t.Helper()
	data := testenv.Data(t)
	random := rand.New(rand.NewPCG(1, 2))
	var items []news.Item
	for _, set := range []string{"tfns-sentiment", "tfn-topic"} {
		file, err := os.Open(filepath.Join(data, set, "train.csv"))
		if err != nil {
			t.Fatal(err)
		}
		for r := range rowsOf(file, "train.csv") {
			if r.err != nil {
				t.Fatal(r.err)
			}
			items = append(items, news.Item{ID: fmt.Sprintf("%s-%d", set, r.line), Source: set, Text: r.fields["text"],
				PublishedAt: time.Now().Add(-time.Duration(random.Int64N(int64(10 * time.Hour))))})
		}
		file.Close()
	}
	random.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	if len(items) < n {
		t.Fatalf("the data sets hold %d texts, want %d", len(items), n)
	}
	return items[:n]
}

// burst is the demo's bad news, about a company that no other text names.
func burst(t *testing.T) []news.Item {
	t.Helper()
	items, err := parseItems(demoBurst)
	if err != nil {
		t.Fatal(err)
	}
	for i := range items {
		items[i].ID, items[i].Entities = fmt.Sprintf("burst-%d", i), []string{"ACME"}
		items[i].PublishedAt = time.Now().Add(-time.Duration(i) * 20 * time.Second)
	}
	return items
}

// A process for ingest and classify and one for trend and alert do what one does.
func TestStagesApart(t *testing.T) {
	server := testenv.StartKafka(t)
	store := testenv.StartRedis(t)
	config := writeConfig(t, fmt.Sprintf(`
kafka: {brokers: ['%s'], start: earliest, topics: [{name: news, kind: news, mapping: {text: /body, published_at: /at}}, {name: comments, kind: comment}]}
redis: {addresses: ['%s']}
trend: {warm_up: -1s}
`, server.Addr, store.Addr))
	front := start(t, "ingest and classify", config, "--stages", "ingest,classify")
	back := start(t, "trend and alert", config, "--stages", "trend,alert")

	client := openBroker(t, server.Addr)
	eventually(t, time.Minute, "the topics are there", func() bool {
		cluster, err := client.Ping(t.Context())
		return err == nil && cluster.Topics["news"] > 0 && cluster.Topics["barograph.alerts"] > 0
	})
	for i, item := range burst(t) {
		mapped, err := json.Marshal(map[string]any{"id": item.ID, "body": item.Title, "at": item.PublishedAt.Unix(), "entities": "ACME"})
		if err != nil {
			t.Fatal(err)
		}
		produce(t, client, "news", mapped)
		if i == 0 {
			produce(t, client, "comments", []byte(`{"text":"no time"}`), []byte("not JSON"))
		}
	}
	alerts := consume(t, client, "barograph.alerts")
	var fired news.Alert
	alerts.until(t, 2*time.Minute, "an alert about ACME", func(all []kafka.Message) bool {
		for _, message := range all {
			if err := json.Unmarshal(message.Value, &fired); err != nil {
				t.Fatalf("alert %s: %v", message.Value, err)
			}
			if fired.Series.Entity == "ACME" {
				return true
			}
		}
		return false
	})
	if fired.Status != news.Firing || fired.Negative < 3 || len(fired.Evidence) == 0 || fired.Reason == "" {
		t.Errorf("the alert lacks its numbers or evidence: %+v", fired)
	}

	letters := consume(t, client, "barograph.dead-letters")
	letters.until(t, time.Minute, "two dead letters", func(all []kafka.Message) bool { return len(all) == 2 })
	for _, p := range []*process{front, back} {
		if status, body := p.get(t, "/readyz"); status != 200 {
			t.Errorf("%s: /readyz answers %d %s", p.name, status, body)
		}
		if _, body := p.get(t, "/metrics"); !strings.Contains(body, "barograph_ingest_") {
			t.Errorf("%s: /metrics shows nothing of ingest", p.name)
		}
		p.stop(t)
	}
}
