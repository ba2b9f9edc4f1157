package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/internal/testenv"
)

// commandLine runs a command in this process, with standard output and error together.
func commandLine(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRoot()
	var said bytes.Buffer
	root.SetOut(&said)
	root.SetErr(&said)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return said.String(), err
}

// What an operator does by hand: look whether all is well, put items in, look at what was
// refused and put it back, and mute.
func TestAnOperatorsDay(t *testing.T) {
	server, store := testenv.StartKafka(t), testenv.StartRedis(t)
	config := writeConfig(t, fmt.Sprintf(`
kafka: {brokers: ['%s'], start: earliest, topics: [{name: news, kind: news}]}
redis: {addresses: ['%s']}
`, server.Addr, store.Addr))
	ok := func(args ...string) string {
		t.Helper()
		said, err := commandLine(t, append(args, "-c", config)...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, said)
		}
		return said
	}
	expect := func(said string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(said, want) {
				t.Errorf("%q is not in\n%s", want, said)
			}
		}
	}
	expect(ok("doctor"), "kafka          ok", "will create news", "redis          ok", "series         ok", "none judged yet", "onnx runtime   ok", "models/en", "models/zh")

	file := filepath.Join(t.TempDir(), "items.jsonl")
	now := time.Now().UTC().Format(time.RFC3339)
	lines := fmt.Sprintf("{\"text\":\"Shares plunge\",\"published_at\":%q}\n{\"text\":\"no time\"}\n{\"text\":\"https://example.com/only-a-link\",\"published_at\":%[1]q}\n", now)
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := commandLine(t, "feed", "jsonl", "-c", config, file)
	if err == nil {
		t.Error("feed jsonl is content with lines that it refused")
	}
	expect(said, "1 item put into news", "items.jsonl:2: no-time", "items.jsonl:3: no-text: no text to classify (links")

	// A producer of one's own lets the bad one through: it becomes a dead letter.
	client := openBroker(t, server.Addr)
	produce(t, client, "news", []byte("not JSON"))
	monitor := start(t, "monitor", config)
	eventually(t, time.Minute, "the monitor's topics are there", func() bool {
		cluster, err := client.Ping(t.Context())
		return err == nil && cluster.Topics["barograph.readings"] > 0 && cluster.Topics["barograph.dead-letters"] > 0
	})
	consume(t, client, "barograph.readings").until(t, time.Minute, "the good item's reading", atLeast(1))
	consume(t, client, "barograph.dead-letters").until(t, time.Minute, "the bad one", atLeast(1))
	expect(ok("feed", "deadletters", "--dry-run"), "not-json", "1 to put back")
	expect(ok("feed", "deadletters"), "1 put back")
	expect(ok("feed", "deadletters", "--reason", "failed"), "0 put back")
	monitor.stop(t)

	id, _, _ := strings.Cut(ok("silence", "add", "--entity", "BA", "--for", "4h", "--comment", "earnings \x1b[31mday"), " ")
	listed := ok("silence", "list")
	expect(listed, id, "BA", "earnings")
	if strings.Contains(listed, "\x1b") {
		t.Errorf("the list lets a control sequence through: %q", listed)
	}
	ok("silence", "remove", id)
	if listed := ok("silence", "list"); strings.Contains(listed, id) {
		t.Errorf("a removed silence is still there:\n%s", listed)
	}

	store.Kill()
	said, err = commandLine(t, "doctor", "-c", config)
	if err == nil {
		t.Error("doctor is content without Redis")
	}
	expect(said, "redis          FAIL", "→ see that redis.addresses")
}

func TestModelCommands(t *testing.T) {
	root, bases := testenv.Root(t), testenv.Deps(t)+"/bases"
	said, err := commandLine(t, "model", "list", root+"/models", "--bases", bases)
	if err != nil || !strings.Contains(said, "sentiment (3), topic (20)") || !strings.Contains(said, "sentiment (3), topic (13)") {
		t.Errorf("error %v\n%s", err, said)
	}
	if said, err = commandLine(t, "model", "show", root+"/models/en", "--bases", bases); err != nil || !strings.Contains(said, "## Training") {
		t.Errorf("error %v\n%s", err, said)
	}
	base := filepath.Join(t.TempDir(), "base")
	if said, err = commandLine(t, "model", "import", testenv.BaseArchive(t, "bge-small-zh-v1.5"), "--out", base); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	var config struct {
		Layers int `json:"num_hidden_layers"`
	}
	raw, err := os.ReadFile(filepath.Join(base, "config.json"))
	if err != nil || json.Unmarshal(raw, &config) != nil || config.Layers != 4 {
		t.Errorf("imported %s, %v", raw, err)
	}
}
