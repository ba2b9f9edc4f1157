package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// barograph.example.yaml shows every key, and the values it shows are the defaults but for
// the few that have none.
func TestExampleShowsTheDefaults(t *testing.T) {
	root := testenv.Root(t)
	path := filepath.Join(root, "barograph.example.yaml")
	got, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Stages = []string{}
	want.Kafka.Brokers, want.Kafka.ClientID, want.Kafka.Timeout = []string{"127.0.0.1:9092"}, "barograph", got.Kafka.Timeout
	want.Kafka.Topics = []topicConfig{{Name: "news", Kind: news.KindNews, Mapping: map[string]string{}}, {Name: "comments", Kind: news.KindComment}}
	want.WatchList = "cmd/barograph/demo/watchlist.yaml"
	want.Alert.Webhooks, want.Alert.Feishu, want.Alert.DingTalk, want.Alert.Routes = []webhookConfig{}, []robotConfig{}, []robotConfig{}, got.Alert.Routes
	want.resolvePaths(root)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the example says\n%+v\nand the defaults are\n%+v", got, want)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if head, _, _ := strings.Cut(string(text), "\nwatch_list:"); !strings.Contains(head[strings.LastIndex(head, "\n\n"):], "no default") {
		t.Error("the example's watch list is not the default, and is not marked as an example")
	}
	for _, key := range yamlKeys(reflect.TypeFor[config]()) {
		if !strings.Contains(string(text), key+":") {
			t.Errorf("the example does not show the key %s", key)
		}
	}
}

func yamlKeys(t reflect.Type) (keys []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		tag, options, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if tag == "-" || tag == "" && !strings.Contains(options, "inline") {
			continue
		}
		if tag != "" {
			keys = append(keys, tag)
		}
		keys = append(keys, yamlKeys(t.Field(i).Type)...)
	}
	return keys
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a kind", "kafka: {topics: [{name: n, kind: tweet}]}", "tweet"},
		{"a stage", "stages: [ingest, classfy]", "classfy"},
		{"half of a pair", "stages: [classify]", "go together"},
		{"a hole", "stages: [ingest, classify, alert]", "trend"},
		{"a log format", "log: {format: xml}", "xml"},
		{"a start", "kafka: {start: yesterday}", "yesterday"},
		{"a Slack without token", "alert: {slack: {channel: '#x'}}", "token"},
		{"no room", "kafka: {max_items: -1}", "max_items"},
		{"no readings topic", "kafka: {readings: ''}", "readings"},
		{"a topic twice", "kafka: {topics: [{name: n, kind: news}, {name: n, kind: comment}]}", "twice"},
		{"a loop", "kafka: {topics: [{name: barograph.readings, kind: news}]}", "twice"},
		{"a far future", "kafka: {max_future: 48h}", "max_future"},
		{"a short history", "trend: {history: 1h}", "history"},
		{"a market that there is not", "trend: {market: NASDAQ}", "XNYS"},
		{"a console's address that is none", "console: {public_url: 'javascript:alert(1)'}", "public_url"},
		{"a console's address with a query", "console: {public_url: 'https://b.example/?x'}", "public_url"},
		{"a mapping that is no pointer", "kafka: {topics: [{name: n, kind: news, mapping: {text: content}}]}", "kafka.topics: n: mapping: text"},
		{"a mapping of no field", "kafka: {topics: [{name: n, kind: news, mapping: {txt: /content}}]}", "txt"},
		{"a device", "classify: {device: gpu}", "classify.device"},
		{"a precision", "classify: {precision: int4}", "classify.precision"},
		{"fewer than no cores", "classify: {threads: -4}", "classify.threads"},
		{"fewer than no false alerts", "trend: {false_alerts_per_day: -1}", "trend.false_alerts_per_day is -1"},
		{"a quiet of less than nothing", "alert: {quiet: -1h}", "alert.quiet is -1h"},
		{"a drain of less than nothing", "drain_timeout: -5s", "drain_timeout -5s"},
		{"a port too high", "console: {listen: '127.0.0.1:70000'}", "console.listen is \"127.0.0.1:70000\""},
		{"a console without a port", "console: {listen: 127.0.0.1}", "such as 127.0.0.1:8095"},
		{"a prefix with braces", "redis: {prefix: 'a{b}'}", "redis.prefix"},
		{"a database of a cluster", "redis: {addresses: ['a:1', 'b:1'], db: 3}", "Cluster"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "barograph.yaml")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := readConfig(path); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v; want one that shows %q", err, tt.want)
			}
		})
	}
}

// A time of 0s is none, and not the default of the stage that it is for.
func TestNoTimeIsNoDefault(t *testing.T) {
	path := filepath.Join(t.TempDir(), "barograph.yaml")
	if err := os.WriteFile(path, []byte("kafka: {max_future: 0s}\nclassify: {max_wait: 0s}\ndrain_timeout: 0s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	decoder, err := newDecoder(cfg, topicConfig{Name: "news"}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{"2026-03-10T12:00:00Z": "", "2026-03-10T12:00:01Z": "future"} {
		_, err := decoder.Decode([]byte(`{"text":"x","published_at":"` + at + `"}`))
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("published at %s, read at noon: %v, want %q", at, err, want)
		}
	}
	if stage, err := classifyStage(cfg.Classify, nil, nil, nil); err != nil || stage.MaxWait == 0 || stage.MaxWait > time.Microsecond {
		t.Errorf("texts wait %s for company, %v", stage.MaxWait, err)
	}

	server := testenv.StartKafka(t)
	server.CreateTopic("news", 1)
	client := openBroker(t, server.Addr)
	produce(t, client, "news", []byte("x"))
	m := &monitor{cfg: cfg, broker: client, registry: prometheus.NewRegistry(), log: slog.New(slog.DiscardHandler)}
	consumer, err := newConsumer(m, "g", []string{"news"}, ingest.Earliest(), func(kafka.Message) (string, error) { return "", nil })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var stopped time.Time
	err = consumer.Run(ctx, func(context.Context, *ingest.Delivery[string]) error {
		stopped = time.Now()
		cancel()
		return nil // under way for ever
	})
	if took := time.Since(stopped); !errors.Is(err, ingest.ErrDrain) || took > 15*time.Second {
		t.Errorf("the drain took %s: %v", took, err)
	}
}

// A command wants the secrets that it uses and no others; run and doctor name all that are missing
// before they begin.
func TestCommandsWantTheirOwnSecrets(t *testing.T) {
	config := writeConfig(t, `
kafka: {brokers: ['127.0.0.1:1'], topics: [{name: news, kind: news}], sasl: {mechanism: plain, username: u, password: 'env:AWAY_KAFKA'}}
redis: {addresses: ['127.0.0.1:1'], password: 'env:AWAY_REDIS'}
console: {token: 'env:AWAY_CONSOLE'}
alert:
  slack: {token: 'env:AWAY_SLACK', channel: '#x'}
  webhooks: [{name: pager, url: 'http://127.0.0.1:1', secret: 'env:AWAY_PAGER'}]
  feishu: [{name: desk, url: 'file:/nowhere/AWAY_FEISHU'}]
`)
	all := []string{"kafka.sasl.password: secret env:AWAY_KAFKA", "redis.password: secret env:AWAY_REDIS", "console.token: secret env:AWAY_CONSOLE",
		"alert.slack.token: secret env:AWAY_SLACK", "alert.webhooks.secret: secret env:AWAY_PAGER", "alert.feishu.url: secret file: open /nowhere/AWAY_FEISHU"}
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"run"}, all},
		{[]string{"run", "--stages", "ingest,classify"}, all[:3]},
		{[]string{"doctor"}, all},
		{[]string{"silence", "list"}, all[1:2]},
		{[]string{"feed", "jsonl", os.DevNull}, all[:1]},
		{[]string{"feed", "deadletters", "--dry-run"}, all[:1]},
		{[]string{"replay", "--from", "2026-11-01T00:00:00Z"}, all[:1]},
		{[]string{"replay", os.DevNull}, nil},
	} {
		out, log, err := run(t, append(tt.args, "-c", config)...)
		said := fmt.Sprint(out, log, err)
		if (err != nil) != (tt.want != nil) {
			t.Errorf("%s: %s", tt.args, said)
		}
		for _, fault := range all {
			if named := strings.Count(said, fault); named != map[bool]int{true: 1}[slices.Contains(tt.want, fault)] {
				t.Errorf("%s names %q %d times: %s", tt.args, fault, named, said)
			}
		}
	}
}

// The variable that the documentation gives the token is the setting's own, too.
func TestConsoleByEnvironment(t *testing.T) {
	t.Setenv("BAROGRAPH_CONSOLE_TOKEN", "0123456789abcdef")
	t.Setenv("BAROGRAPH_CONSOLE_PUBLIC_URL", "https://barograph.example")
	cfg, err := readConfig("")
	if err != nil || cfg.Console.Token.Reveal() != "0123456789abcdef" || cfg.Console.PublicURL != "https://barograph.example" {
		t.Errorf("%+v, %v", cfg.Console, err)
	}
}
