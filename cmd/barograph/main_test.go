package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// asMain makes the test binary run as the command: tests start real processes, which can be
// killed, without a build of their own.
const asMain = "TEST_RUNS_BAROGRAPH"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a barograph process under test.
type process struct {
	*exec.Cmd
	name    string
	address string // of /metrics
	ended   chan struct{}
	err     error // of Wait, once ended
	log     *logBuffer
}

// logBuffer keeps what a process wrote and tells when it is up.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
	up   chan string // its address, once
	sent bool
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Write(p)
	if _, rest, found := strings.Cut(b.text.String(), "address=http://"); found && !b.sent && strings.ContainsAny(rest, " \n") {
		b.up <- rest[:strings.IndexAny(rest, " \n")]
		b.sent = true
	}
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// command prepares a barograph process; run starts it.
func command(t *testing.T, name string, args ...string) *process {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{name: name, ended: make(chan struct{}), log: &logBuffer{up: make(chan string, 1)}}
	p.Cmd = exec.Command(executable, args...)
	p.Dir = testenv.Root(t)
	p.Env = append(os.Environ(), asMain+"=1")
	p.Stderr, p.Stdout = p.log, p.log
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return p
}

func (p *process) run(t *testing.T) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", p.name, p.log)
		}
	})
}

// start runs `barograph run` on the configuration and returns when it serves.
func start(t *testing.T, name, config string, args ...string) *process {
	t.Helper()
	p := command(t, name, append([]string{"run", "-c", config, "--listen", "127.0.0.1:0"}, args...)...)
	p.run(t)
	select {
	case p.address = <-p.log.up:
	case <-p.ended:
		t.Fatalf("%s ended at start: %v", name, p.err)
	case <-time.After(2 * time.Minute):
		t.Fatalf("%s is not up after two minutes", name)
	}
	return p
}

// kill is SIGKILL: no drain, no commit.
func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.ended
}

// stop is SIGTERM: the process drains and ends well.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
		if p.err != nil {
			t.Errorf("%s ended with %v", p.name, p.err)
		}
	case <-time.After(time.Minute):
		t.Errorf("%s has not drained a minute after SIGTERM", p.name)
	}
}

func (p *process) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	response, err := http.Get("http://" + p.address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

// writeConfig writes a configuration beside what the repository holds of bundles and bases.
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	root := testenv.Root(t)
	text += fmt.Sprintf("\nclassify: {bundles: [%s/models/en, %s/models/zh], bases: [%s/bases], threads: 1}\n", root, root, testenv.Deps(t))
	path := filepath.Join(t.TempDir(), "barograph.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func openBroker(t *testing.T, address string) *broker.Client {
	t.Helper()
	client, err := broker.New(broker.Config{Brokers: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// produce writes the values to a topic, keyed by position.
func produce(t *testing.T, client *broker.Client, topic string, values ...[]byte) {
	t.Helper()
	writer := client.Writer(topic)
	defer writer.Close()
	messages := make([]kafka.Message, len(values))
	for i, value := range values {
		messages[i] = kafka.Message{Key: fmt.Append(nil, i), Value: value}
	}
	if err := broker.Write(t.Context(), writer, retry.Policy{Attempts: 10}, messages...); err != nil {
		t.Fatal(err)
	}
}

func encodeItems(t *testing.T, items ...news.Item) [][]byte {
	t.Helper()
	values := make([][]byte, len(items))
	for i, item := range items {
		value, err := json.Marshal(item)
		if err != nil {
			t.Fatal(err)
		}
		values[i] = value
	}
	return values
}

// messages collects what comes to a topic until the test ends.
type messages struct {
	mu      sync.Mutex
	all     []kafka.Message
	changed chan struct{} // capacity 1
}

// consume reads all partitions of a topic from the start.
func consume(t *testing.T, client *broker.Client, topic string) *messages {
	t.Helper()
	cluster, err := client.Ping(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if cluster.Topics[topic] == 0 {
		t.Fatalf("there is no topic %s", topic)
	}
	m := &messages{changed: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	t.Cleanup(func() { cancel(); readers.Wait() })
	for partition := range cluster.Topics[topic] {
		reader := kafka.NewReader(kafka.ReaderConfig{Brokers: client.Brokers(), Topic: topic, Partition: partition, MaxBytes: 10 << 20})
		readers.Go(func() {
			defer reader.Close()
			for ctx.Err() == nil {
				message, err := reader.ReadMessage(ctx)
				if err != nil {
					continue
				}
				m.mu.Lock()
				m.all = append(m.all, message)
				m.mu.Unlock()
				select {
				case m.changed <- struct{}{}:
				default:
				}
			}
		})
	}
	return m
}

func (m *messages) list() []kafka.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all[:len(m.all):len(m.all)]
}

// until waits for a condition on what has come, and fails the test when it does not hold
// in time; also when a process that should run has ended.
func (m *messages) until(t *testing.T, limit time.Duration, what string, holds func([]kafka.Message) bool) {
	t.Helper()
	deadline := time.After(limit)
	for !holds(m.list()) {
		select {
		case <-m.changed:
		case <-deadline:
			t.Fatalf("after %s not yet: %s; %d messages have come", limit, what, len(m.list()))
		}
	}
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(limit)
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("after %s not yet: %s", limit, what)
		}
	}
}

// A flag's value of the wrong type is refused in the user's words.
func TestAFlagSaysWhatItTakes(t *testing.T) {
	for args, want := range map[string]string{
		"finetune --seed x":       `--seed "x": want a whole number from 0; see barograph finetune -h`,
		"finetune --lr fast":      `--lr "fast": want a number; see`,
		"finetune --epochs 1.5":   `--epochs "1.5": want a whole number; see`,
		"replay --budget 1,x":     `--budget "1,x": want numbers with commas between them; see`,
		"demo --for 9":            `--for "9": want a time such as 90s or 24h; see`,
		"run --calibrate=perhaps": `--calibrate "perhaps": want true or false; see`,
	} {
		root := newRoot()
		root.SetArgs(strings.Fields(args))
		var usage usageError
		if err := root.ExecuteContext(t.Context()); !errors.As(err, &usage) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}
