package feed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/ingest/feed"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// One Kafka for the tests that need it; each has topics of its own.
func TestFeedsIntoKafka(t *testing.T) {
	server := testenv.StartKafka(t)
	client, err := broker.New(broker.Config{Brokers: []string{server.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for name, test := range map[string]func(*testing.T, *broker.Client, string){
		"poll": testPoll, "undated": testPollOfUndated, "lines": testLines, "redeliver": testRedeliver,
		"narrow": testNarrowTopic,
	} {
		t.Run(name, func(t *testing.T) {
			if err := client.EnsureTopics(t.Context(), broker.Topic{Name: name, Partitions: 1}); err != nil {
				t.Fatal(err)
			}
			test(t, client, name)
		})
	}
}

// messages are all that the topic holds.
func messages(t *testing.T, client *broker.Client, topic string) []kafka.Message {
	t.Helper()
	first, last, err := client.Bounds(t.Context(), topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []kafka.Message
	for first < last {
		chunk, err := client.Fetch(t.Context(), topic, 0, first, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, chunk.Messages...)
		first = chunk.Next
	}
	return all
}

func rssOf(ids ...string) string {
	var b strings.Builder
	b.WriteString(`<rss version="2.0"><channel><title>T</title>`)
	for _, id := range ids {
		fmt.Fprintf(&b, `<item><title>Item %s</title><guid>https://a.example/%s</guid><pubDate>Tue, 10 Mar 2026 11:30:00 GMT</pubDate></item>`, id, id)
	}
	return b.String() + `</channel></rss>`
}

func testPoll(t *testing.T, client *broker.Client, topic string) {
	var body atomic.Value
	body.Store(rssOf("2", "1"))
	var answers []int
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		etag := fmt.Sprintf(`"%d"`, len(body.Load().(string)))
		status := http.StatusOK
		switch {
		case len(answers) == 0:
			status = http.StatusBadGateway // the first attempt fails
		case r.Header.Get("If-None-Match") == etag:
			status = http.StatusNotModified
		}
		answers = append(answers, status)
		w.Header().Set("ETag", etag)
		w.WriteHeader(status)
		if status == http.StatusOK {
			fmt.Fprint(w, body.Load())
		}
	}))
	defer web.Close()
	cfg := feed.Config{Broker: client, Topic: topic, URLs: []string{web.URL}, StateFile: filepath.Join(t.TempDir(), "state.json")}
	poll := func(want int) {
		t.Helper()
		// Each poll is by a new process: what was seen is in the file.
		p, err := feed.NewPoller(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := feed.NewPoller(cfg); err == nil || !strings.Contains(err.Error(), cfg.StateFile+": give this one its own with --state") {
			t.Errorf("another process with the same state file: %v", err)
		}
		if n, err := p.Poll(t.Context(), web.URL); err != nil || n != want {
			t.Errorf("%d new items, %v; want %d", n, err, want)
		}
	}
	poll(2)
	poll(0)
	body.Store(rssOf("3", "2", "1"))
	poll(1)
	if want := []int{502, 200, 304, 200}; !slices.Equal(answers, want) {
		t.Errorf("the server answered %v, want %v", answers, want)
	}
	var titles []string
	for _, m := range messages(t, client, topic) {
		var item news.Item
		if err := json.Unmarshal(m.Value, &item); err != nil || string(m.Key) != item.ID || item.Kind != news.KindNews {
			t.Errorf("message %s: %v", m.Value, err)
		}
		titles = append(titles, item.Title)
	}
	if want := []string{"Item 1", "Item 2", "Item 3"}; !slices.Equal(titles, want) {
		t.Errorf("items %q, want %q", titles, want)
	}
}

// What comes without a date is no news of this minute when the feed is read for the first time, and is spread over
// the time it was away when it comes back: also by a new process, and after answers that nothing has changed.
func testPollOfUndated(t *testing.T, client *broker.Client, topic string) {
	var last, entries int // the newest entry, and how many the feed lists
	status := http.StatusOK
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, `<rss version="2.0"><channel><title>T</title>`)
		for i := range entries {
			fmt.Fprintf(w, `<item><title>Item %d</title><guid>https://a.example/%d</guid></item>`, last-i, last-i)
		}
		fmt.Fprint(w, `</channel></rss>`)
	}))
	defer web.Close()
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	cfg := feed.Config{Broker: client, Topic: topic, URLs: []string{web.URL}, StateFile: filepath.Join(t.TempDir(), "state.json"),
		Attempts: 1, Clock: func() time.Time { return now }}
	poll := func(want int) {
		t.Helper()
		p, err := feed.NewPoller(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if n, err := p.Poll(t.Context(), web.URL); n != want || (err != nil) != (status >= 400) {
			t.Fatalf("%d new items, %v; want %d", n, err, want)
		}
	}
	last, entries = 100, 60
	poll(60)
	now, status = now.Add(time.Hour), http.StatusNotModified
	poll(0)
	for range 9 {
		now, status = now.Add(time.Hour), http.StatusBadGateway
		poll(0)
	}
	now, status, last = now.Add(time.Hour), http.StatusOK, 120
	poll(20)
	now, last = now.Add(5*time.Minute), 121
	poll(1)

	var at []time.Time
	for _, m := range messages(t, client, topic) {
		var item news.Item
		if err := json.Unmarshal(m.Value, &item); err != nil || item.Title != fmt.Sprint("Item ", 41+len(at)) {
			t.Fatalf("message %d is %s, %v", len(at), m.Value, err)
		}
		at = append(at, item.PublishedAt)
	}
	if !slices.IsSortedFunc(at, time.Time.Compare) {
		t.Errorf("published %v: not in the feed's order", at)
	}
	first := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	if oldest, newest := first.Sub(at[0]), first.Sub(at[59]); oldest > 20*time.Hour || newest < 12*time.Hour {
		t.Errorf("at the first poll items are dated from %s to %s before it", oldest, newest)
	}
	read := first.Add(time.Hour) // the last time before the feed failed
	for i := range 20 {
		if want := read.Add(time.Duration(i+1) * 30 * time.Minute); !at[60+i].Equal(want) {
			t.Errorf("item %d of those held back for ten hours is of %s, want %s", i, at[60+i], want)
		}
	}
	if !at[80].Equal(now) {
		t.Errorf("the one that came within five minutes is of %s, want %s", at[80], now)
	}
}

func TestPollOfABadServer(t *testing.T) {
	client, err := broker.New(broker.Config{Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	defer close(release)
	mux := http.NewServeMux()
	mux.HandleFunc("/missing", http.NotFound)
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			fmt.Fprint(w, strings.Repeat("x", 1<<10))
		}
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html></html>") })
	mux.HandleFunc("/later", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	web := httptest.NewServer(mux)
	defer web.Close()
	for path, want := range map[string]error{
		"/missing": feed.ErrStatus, "/large": feed.ErrTooLarge, "/silent": context.DeadlineExceeded, "/page": feed.ErrFeed, "/later": feed.ErrStatus,
	} {
		p, err := feed.NewPoller(feed.Config{Broker: client, Topic: "news", URLs: []string{web.URL + path},
			MaxBytes: 10 << 10, Timeout: 300 * time.Millisecond, Attempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Poll(t.Context(), web.URL+path); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", path, err, want)
		}
	}
}

// A topic that takes less than a request of ours, and an entry that it does not take at all: the rest gets through.
func testNarrowTopic(t *testing.T, client *broker.Client, topic string) {
	dead := topic + "-dead"
	topic += "-topic"
	if err := client.EnsureTopics(t.Context(), broker.Topic{Name: topic, Partitions: 1, Config: map[string]string{"max.message.bytes": "50000"}},
		broker.Topic{Name: dead, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	wide := strings.Repeat("x", 60_000)

	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Replace(rssOf("1", "wide", "2"), "Item wide</title>", "Item wide</title><description>"+wide+"</description>", 1))
	}))
	defer web.Close()
	p, err := feed.NewPoller(feed.Config{Broker: client, Topic: topic, URLs: []string{web.URL}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{2, 0} {
		if n, err := p.Poll(t.Context(), web.URL); err != nil || n != want {
			t.Errorf("%d new items, %v; want %d", n, err, want)
		}
	}

	decoder, err := ingest.NewDecoder(ingest.DecoderConfig{History: -1})
	if err != nil {
		t.Fatal(err)
	}
	line := `{"text":"` + strings.Repeat("y", 1000) + `","published_at":1773142200}` + "\n"
	file := strings.Repeat(line, 100) + `{"text":"` + wide + `","published_at":1773142200}` + "\n" + strings.Repeat(line, 100)
	var refused []string
	result, err := feed.Lines(t.Context(), feed.LinesConfig{Broker: client, Topic: topic, Decoder: decoder,
		Refused: func(e *feed.LineError) { refused = append(refused, e.Error()) }}, "f", strings.NewReader(file))
	if want := (feed.LinesResult{Written: 200, Refused: 1, Bytes: int64(len(file))}); err != nil || result != want {
		t.Errorf("result %+v, %v; want %+v", result, err, want)
	}
	if want := []string{"f:101: too-large: larger than its topic takes (max.message.bytes)"}; !slices.Equal(refused, want) {
		t.Errorf("refused %q, want %q", refused, want)
	}

	writer := client.Writer(dead)
	defer writer.Close()
	letters := make([]kafka.Message, 100)
	for i := range letters {
		letters[i] = kafka.Message{Value: []byte(line), Headers: []kafka.Header{{Key: ingest.HeaderTopic, Value: []byte(topic)}}}
	}
	letters[40].Value = []byte(wide)
	if err := writer.WriteMessages(t.Context(), letters...); err != nil {
		t.Fatal(err)
	}
	skipped := map[int64]string{}
	back, err := feed.Redeliver(t.Context(), feed.RedeliverConfig{Broker: client, DeadLetters: dead, Report: func(l feed.Letter) {
		if l.Skipped != "" {
			skipped[l.Offset] = l.Skipped
		}
	}})
	if want := (feed.RedeliverResult{PutBack: 99, Skipped: 1, Refused: 1}); err != nil || back != want || !strings.HasPrefix(skipped[40], "larger than") {
		t.Errorf("result %+v, %v; skipped %v; want %+v", back, err, skipped, want)
	}
	if n := len(messages(t, client, topic)); n != 2+200+99 {
		t.Errorf("%d messages on the topic", n)
	}
}

func TestNewPollerRefuses(t *testing.T) {
	client, err := broker.New(broker.Config{Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"file:///etc/passwd", "ftp://a.example", "a.example/rss", ""} {
		if _, err := feed.NewPoller(feed.Config{Broker: client, Topic: "news", URLs: []string{url}}); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
	if _, err := feed.NewPoller(feed.Config{Broker: client, Topic: "news", URLs: []string{"https://a.example"}, Kind: "comments"}); err == nil || !strings.Contains(err.Error(), `"comments"`) {
		t.Errorf("a kind that is none: %v", err)
	}
	broken := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var syntax *json.SyntaxError
	if _, err := feed.NewPoller(feed.Config{Broker: client, Topic: "news", URLs: []string{"https://a.example"}, StateFile: broken}); !errors.As(err, &syntax) {
		t.Errorf("a broken state file: %v", err)
	}
}

func testLines(t *testing.T, client *broker.Client, topic string) {
	clock := func() time.Time { return time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC) }
	decoder, err := ingest.NewDecoder(ingest.DecoderConfig{Clock: clock, Mapping: map[string]string{"text": "/body"}})
	if err != nil {
		t.Fatal(err)
	}
	const good = `{"id":"1","body":"x","published_at":1773142200,"unread":[1]}`
	file := "\ufeff" + good + "\r\n\n" + `{"id":"2"}` + "\n" + strings.Repeat("x", 17<<20) + "\n" + `{"id":"3","body":"last","published_at":1773142200}`
	var refused []string
	progress := 0
	result, err := feed.Lines(t.Context(), feed.LinesConfig{Broker: client, Topic: topic, Decoder: decoder,
		Refused: func(e *feed.LineError) {
			var r *ingest.Rejection
			errors.As(e, &r)
			refused = append(refused, fmt.Sprintf("%s:%d %s", e.File, e.Line, r.Class))
		},
		Progress: func(feed.LinesResult) { progress++ }}, "items.jsonl", strings.NewReader(file))
	if want := (feed.LinesResult{Written: 2, Refused: 2, Bytes: int64(len(file))}); err != nil || result != want || progress == 0 {
		t.Errorf("result %+v after %d reports, %v; want %+v", result, progress, err, want)
	}
	if want := []string{"items.jsonl:3 no-text", "items.jsonl:4 too-large"}; !slices.Equal(refused, want) {
		t.Errorf("refused %q, want %q", refused, want)
	}
	written := messages(t, client, topic)
	if len(written) != 2 || string(written[0].Value) != good || string(written[1].Key) != "3" {
		t.Errorf("written %v", written)
	}
}

func testRedeliver(t *testing.T, client *broker.Client, topic string) {
	dead := topic + "-dead"
	if err := client.EnsureTopics(t.Context(), broker.Topic{Name: dead, Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	letter := func(value, reason, from string, more ...kafka.Header) kafka.Message {
		headers := append([]kafka.Header{{Key: "trace", Value: []byte{0xff}}}, more...)
		for key, v := range map[string]string{"reason": reason, "topic": from, "partition": "0", "offset": "7", "time": "2026-03-10T12:00:00Z"} {
			headers = append(headers, kafka.Header{Key: "barograph-" + key, Value: []byte(v)})
		}
		return kafka.Message{Key: []byte("k"), Value: []byte(value), Headers: headers}
	}
	writer := client.Writer(dead)
	defer writer.Close()
	err := writer.WriteMessages(t.Context(),
		letter("first", "failed: store", topic),
		letter("second", "not-json: x", topic, kafka.Header{Key: "barograph-redelivered", Value: []byte("2")}),
		letter("cut", "failed: x", topic, kafka.Header{Key: "barograph-truncated", Value: []byte("99")}),
		letter("lost", "failed: x", "a-topic-that-is-gone"),
		kafka.Message{Value: []byte("stray")})
	if err != nil {
		t.Fatal(err)
	}
	skipped := map[string]string{}
	cfg := feed.RedeliverConfig{Broker: client, DeadLetters: dead, DryRun: true, Report: func(l feed.Letter) {
		if l.Skipped != "" {
			skipped[fmt.Sprint(l.Offset)] = l.Skipped
		}
	}}
	redeliver := func(putBack, skip int) {
		t.Helper()
		result, err := feed.Redeliver(t.Context(), cfg)
		if want := (feed.RedeliverResult{PutBack: putBack, Skipped: skip}); err != nil || result != want {
			t.Errorf("result %+v, %v; want %+v", result, err, want)
		}
	}
	redeliver(2, 3)
	if want := map[string]string{"2": "cut for its size", "3": "no topic to go to", "4": "no topic to go to"}; !reflect.DeepEqual(skipped, want) {
		t.Errorf("skipped %v, want %v", skipped, want)
	}
	if back := messages(t, client, topic); len(back) != 0 {
		t.Errorf("a dry run wrote %v", back)
	}
	cfg.DryRun = false
	cfg.Reason = ingest.NotJSON
	redeliver(1, 4)
	redeliver(0, 0) // from where it stopped
	cfg.Reason = ""
	redeliver(2, 3) // the other position

	back := messages(t, client, topic)
	if len(back) != 3 {
		t.Fatalf("put back %v", back)
	}
	for i, want := range []struct{ value, count string }{{"second", "3"}, {"first", "1"}, {"second", "3"}} {
		headers := []kafka.Header{{Key: "trace", Value: []byte{0xff}}, {Key: "barograph-redelivered", Value: []byte(want.count)}}
		if string(back[i].Value) != want.value || string(back[i].Key) != "k" || !reflect.DeepEqual(back[i].Headers, headers) {
			t.Errorf("put back %s with %v; want %s with %v", back[i].Value, back[i].Headers, want.value, headers)
		}
	}
}
