package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// The readings topic gives the alerts that the same readings give from a file, whatever
// partitions they lie in; and only those of the time asked for.
func TestReplayOfATopicIsThatOfAFile(t *testing.T) {
	server := testenv.StartKafka(t, testenv.WithProperties(map[string]string{ // the readings are of another year
		"log.retention.ms": "-1", "log.message.timestamp.after.max.ms": strconv.Itoa(math.MaxInt64)}))
	server.CreateTopic("barograph.readings", 4)
	config := writeConfig(t, fmt.Sprintf("kafka: {brokers: ['%s']}", server.Addr))

	lines := quietThenBurst(t)
	var messages []kafka.Message
	var times []time.Time
	for i, line := range lines {
		m, err := readingMoment([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, m.at)
		messages = append(messages, kafka.Message{Topic: "barograph.readings", Key: fmt.Append(nil, i), Value: []byte(line), Time: m.at})
	}
	bad := kafka.Message{Topic: "barograph.readings", Value: []byte("not JSON"), Time: times[len(times)-1].Add(time.Minute)}
	writer := openBroker(t, server.Addr).Writer("")
	defer writer.Close()
	if err := broker.Write(t.Context(), writer, retry.Policy{Attempts: 10}, append(messages, bad)...); err != nil {
		t.Fatal(err)
	}

	end := len(times)
	for _, span := range [][2]int{{0, end}, {0, 55}, {30, end}, {60, 61}} {
		from, to := times[span[0]], bad.Time
		if span[1] < end {
			to = times[span[1]]
		}
		want, _, err := replayed(t, lines[span[0]:span[1]], "-c", config)
		if err != nil {
			t.Fatal(err)
		}
		got, log, err := run(t, "replay", "-c", config, "--from", from.Format(time.RFC3339), "--to", to.Format(time.RFC3339))
		if err != nil || got != want || !strings.Contains(log, fmt.Sprintf("%d readings", span[1]-span[0])) {
			t.Errorf("readings %d to %d: error %v, log %s\ntopic %s\nfile  %s", span[0], span[1], err, log, got, want)
		}
		if whole := span[0] == 0 && span[1] == end; whole && !strings.Contains(want, `"resolved"`) {
			t.Errorf("the burst gave %q", want)
		}
	}
	_, log, err := run(t, "replay", "-c", config, "--from", times[0].Format(time.RFC3339), "--to", bad.Time.Add(time.Minute).Format(time.RFC3339))
	if err == nil || !strings.Contains(log, "barograph.readings/") || !strings.Contains(log, " at ") {
		t.Errorf("a message that is no reading: error %v, log %s", err, log)
	}
}

// Where the topic has deleted what was asked for, it is said from when history is whole. Without --to
// it goes to now.
func TestReplaySaysWhatTheTopicNoLongerKeeps(t *testing.T) {
	server := testenv.StartKafka(t, testenv.WithProperties(map[string]string{
		"log.retention.ms": "3600000", "log.retention.check.interval.ms": "100", "log.initial.task.delay.ms": "100"}))
	server.CreateTopic("barograph.readings", 1)
	client := openBroker(t, server.Addr)
	writer := client.Writer("")
	defer writer.Close()
	write := func(id string, at time.Time) {
		line := fmt.Sprintf(`{"id":%q,"published_at":%q,"sentiment":{"negative":0.1}}`, id, at.Format(time.RFC3339))
		if err := broker.Write(t.Context(), writer, retry.Policy{Attempts: 10}, kafka.Message{Topic: "barograph.readings", Value: []byte(line), Time: at}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	write("old", now.Add(-48*time.Hour))
	for first := int64(0); first == 0; {
		var err error
		if first, _, err = client.Bounds(t.Context(), "barograph.readings", 0); err != nil {
			t.Fatal(err)
		}
	}
	replayFrom := func(from time.Time) string {
		_, log, err := run(t, "replay", "-c", writeConfig(t, fmt.Sprintf("kafka: {brokers: ['%s']}", server.Addr)),
			"--from", from.Format(time.RFC3339)) // to now
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	if log := replayFrom(now.Add(-72 * time.Hour)); !strings.Contains(log, "barograph.readings: what 1 of 1 partitions had of the time asked for is deleted") {
		t.Errorf("nothing is left, and it says %s", log)
	}
	write("kept", now.Add(-2*time.Minute))
	write("last", now.Add(-time.Minute))
	if log := replayFrom(now.Add(-72 * time.Hour)); !strings.Contains(log, "had before "+stampOf(now.Add(-2*time.Minute))+" UTC is deleted") || !strings.Contains(log, "2 readings") {
		t.Errorf("the first is deleted, and it says %s", log)
	}
	if log := replayFrom(now.Add(-time.Minute)); strings.Contains(log, "deleted") || !strings.Contains(log, "1 reading") {
		t.Errorf("all is kept that was asked for, and it says %s", log)
	}
}

// Items are read by the models first. Lines that are no items are named by their number, also
// the first, and change nothing.
func TestReplayOfItems(t *testing.T) {
	// In int8 a text that the model is in two minds about may turn with the batch that it lies in.
	t.Setenv("BAROGRAPH_CLASSIFY_PRECISION", "fp32")
	config := writeConfig(t, "trend: {warm_up: -1s}")
	items := burst(t)
	slices.Reverse(items) // the oldest first
	var lines []string
	for _, item := range encodeItems(t, items...) {
		lines = append(lines, string(item))
	}
	want, _, err := replayed(t, lines, "-c", config)
	if err != nil {
		t.Fatal(err)
	}
	var fired news.Alert
	if err := json.NewDecoder(strings.NewReader(want)).Decode(&fired); err != nil || fired.Status != news.Firing || fired.Model.Name == "" || len(fired.Evidence) == 0 {
		t.Errorf("%v: alert %+v", err, fired)
	}
	if !strings.Contains(want, "ACME") {
		t.Errorf("nothing about the burst's company: %s", want)
	}
	link := `{"text":"https://example.com/only-a-link","published_at":"` + items[0].PublishedAt.Format(time.RFC3339) + `"}`
	got, log, err := replayed(t, slices.Concat([]string{`{"text":`}, lines[:2], []string{`{"text":"no time"}`, "", link}, lines[2:]), "-c", config)
	if err == nil || !reflect.DeepEqual(countsOf(t, got), countsOf(t, want)) {
		t.Errorf("error %v\n%s\nwithout the bad lines\n%s", err, got, want)
	}
	for _, place := range []string{"in.jsonl:1: ", "in.jsonl:4: ", "in.jsonl:6: "} {
		if !strings.Contains(log, place) {
			t.Errorf("log lacks %s: %s", place, log)
		}
	}
}

// What classify writes of a past can be replayed: it came when it was published, or when its row
// says; rows without an id have those of the stream, so that two files of them are no repeats of
// each other, and one of them twice is; a row that could not be read is told, and is no fault of
// the history.
func TestReplayOfWhatClassifyWrites(t *testing.T) {
	row := func(day int, text string) string { return fmt.Sprintf("2026-03-%02dT10:00:00Z,%s,wire\n", day, text) }
	var written []string
	for name, rows := range map[string]string{
		"a.csv": row(2, "") + row(2, "Shares of the airline plunge") + row(3, "Profit jumps") + row(6, "Bank expects losses"),
		"b.csv": row(2, "Shares of the maker plunge") + row(8, "Nothing new") + row(8, "Nothing new"),
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte("published_at,text,source\n"+rows), 0o600); err != nil {
			t.Fatal(err)
		}
		out, _, err := run(t, append([]string{"classify", path}, modelArguments(t)...)...)
		if (err != nil) != (name == "a.csv") {
			t.Fatal(err)
		}
		written = append(written, slices.Collect(strings.Lines(out))...)
	}
	mark := "\ufeff" // as an editor may add
	slices.SortStableFunc(written, func(a, b string) int { return cmp.Compare(arrivalIn(t, a), arrivalIn(t, b)) })
	if !strings.Contains(written[0], `"error"`) || strings.Contains(written[0], `"id"`) {
		t.Errorf("the row without text and id: %s", written[0])
	}
	_, log, err := replayed(t, append([]string{mark + written[0]}, written[1:]...))
	if err != nil || !strings.Contains(log, "6 readings over 6.0 days") || !strings.Contains(log, " 0 copies, 1 repeats,") ||
		strings.Contains(log, "not counted") || !strings.Contains(log, "1 line skipped: classify wrote") {
		t.Errorf("error %v, log %s", err, log)
	}
	want := ingest.Digest(news.Item{Source: "wire", Text: "Profit jumps"})
	if !slices.ContainsFunc(written, func(line string) bool { return strings.Contains(line, `"id":"`+want+`"`) }) {
		t.Errorf("no reading has the id %s: %s", want, written)
	}
}

// arrivalIn is a line's arrived_at as it is written; "" where there is none.
func arrivalIn(t *testing.T, line string) string {
	t.Helper()
	var r struct {
		At string `json:"arrived_at"`
	}
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatal(err)
	}
	return r.At
}

// A history of which most is not counted, here for it was classified long after it came, is a
// failure that says the way out.
func TestReplayOfALateHistoryFails(t *testing.T) {
	lines := quietThenBurst(t)
	for i, line := range lines {
		before, after, _ := strings.Cut(line, `"classified_at":"`)
		lines[i] = before + `"classified_at":"2026-05` + after[len("2026-03"):]
	}
	_, log, err := replayed(t, lines)
	if err == nil || !strings.Contains(err.Error(), "82 of 82 readings were not counted") || !strings.Contains(err.Error(), "arrived_at") {
		t.Errorf("error %v, log %s", err, log)
	}
}

// countsOf are alerts without their evidence: a model's words differ a little with the batch
// that a text lies in.
func countsOf(t *testing.T, lines string) (alerts []news.Alert) {
	t.Helper()
	for line := range strings.Lines(lines) {
		var a news.Alert
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		a.Evidence = nil
		alerts = append(alerts, a)
	}
	return alerts
}

// --format bench writes a line for each spike that opens, as the benchmark's scorer reads it:
// here two were planted.
func TestReplayOfBenchmarkEvents(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 1))
	const start = 1772409600 // Unix seconds
	var events strings.Builder
	encoder := json.NewEncoder(&events)
	at := 0.0
	for i := 0; at < 6*86400; i++ {
		at += random.ExpFloat64() * 400
		e := benchEvent{ID: fmt.Sprint(i - random.IntN(10)/9), TS: start + at, Arrival: start + at + random.ExpFloat64()*.01, Pos: .3,
			Entity: fmt.Sprint("E", random.IntN(3)), Topic: []string{"legal", "M&A"}[random.IntN(2)], Neg: random.Float64() * .4, Text: fmt.Sprint(i - random.IntN(8)/7)}
		if day := at / 86400; day > 3 && day < 3.1 || day > 5 && day < 5.1 {
			e.Entity, e.Topic, e.Neg, e.Pos = "E1", "M&A", .9, .1
		}
		if err := encoder.Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	in := filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.WriteFile(in, []byte(events.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	got, _, err := run(t, "replay", in, "--format", "bench")
	if err != nil {
		t.Fatal(err)
	}
	var found []float64 // days
	for line := range strings.Lines(got) {
		var a benchAlert
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		if a.Key != "E1/M&A" || a.Surprise <= 0 || a.Window <= 0 || a.Reason == "" {
			t.Errorf("line %s", line)
		}
		found = append(found, (a.T-start)/86400)
	}
	if len(found) != 2 || found[0] < 3 || found[0] > 3.1 || found[1] < 5 || found[1] > 5.1 {
		t.Errorf("spikes at days %.2f, want one after day 3 and one after day 5", found)
	}
}
