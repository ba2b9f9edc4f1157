package ingest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/internal/testenv/kafkaserver"
)

// The tests of this package share one Kafka; each has topics and a group of its own.
var shared struct {
	once   sync.Once
	server *kafkaserver.Server
	err    error
}

func TestMain(m *testing.M) {
	if os.Getenv(childTopic) != "" {
		child()
		return
	}
	code := m.Run()
	if shared.server != nil {
		shared.server.Kill()
		os.RemoveAll(filepath.Dir(shared.server.Dir()))
	}
	os.Exit(code)
}

// startKafka is the shared broker.
func startKafka(t testing.TB) *kafkaserver.Server {
	t.Helper()
	libs := filepath.Join(testenv.Deps(t), "kafka", "libs")
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "barograph-kafka-")
		if err != nil {
			shared.err = err
			return
		}
		shared.server, shared.err = kafkaserver.Start(kafkaserver.Config{Libs: libs, Dir: filepath.Join(dir, "kafka"),
			Users: map[string]string{"alice": "wonderland"}, Properties: map[string]string{
				"group.min.session.timeout.ms": "1000",
				// Old messages go when a topic asks for it, and then soon.
				"log.retention.ms": "-1", "log.retention.check.interval.ms": "200", "log.initial.task.delay.ms": "200", "file.delete.delay.ms": "0",
			}})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

func connect(t testing.TB, addr string) *broker.Client {
	t.Helper()
	client, err := broker.New(broker.Config{Brokers: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

var topicNumber atomic.Int64

// stage is the broker with a topic and a dead-letter topic made for one test.
type stage struct {
	t      testing.TB
	client *broker.Client
	topic  string
	dead   string
	group  string

	sessionTimeout time.Duration
	compression    kafka.Compression
}

func newStage(t testing.TB, client *broker.Client, partitions int) *stage {
	t.Helper()
	n := topicNumber.Add(1)
	s := &stage{t: t, client: client, topic: fmt.Sprintf("news-%d", n), dead: fmt.Sprintf("dead-%d", n), group: fmt.Sprintf("group-%d", n),
		sessionTimeout: 2 * time.Second}
	err := client.EnsureTopics(t.Context(), broker.Topic{Name: s.topic, Partitions: partitions, Replication: 1},
		broker.Topic{Name: s.dead, Partitions: 1, Replication: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// produce writes n messages "0".."n-1", message i to partition i modulo their number.
func (s *stage) produce(from, to int) {
	s.t.Helper()
	writer := s.client.Writer(s.topic)
	writer.Balancer = kafka.BalancerFunc(func(m kafka.Message, partitions ...int) int {
		var i int
		fmt.Sscan(string(m.Value), &i)
		return i % len(partitions)
	})
	writer.Compression = s.compression
	defer writer.Close()
	var messages []kafka.Message
	for i := from; i < to; i++ {
		messages = append(messages, kafka.Message{Key: []byte("key"), Value: fmt.Append(nil, i)})
	}
	if err := broker.Write(s.t.Context(), writer, retry.Policy{}, messages...); err != nil {
		s.t.Fatal(err)
	}
}

// config reads the topic's values as strings.
func (s *stage) config() ingest.ConsumerConfig[string] {
	return ingest.ConsumerConfig[string]{
		Broker: s.client, Group: s.group, Topics: []string{s.topic}, DeadLetters: s.dead,
		Decode:         func(m kafka.Message) (string, error) { return string(m.Value), nil },
		CommitInterval: 50 * time.Millisecond,
		SessionTimeout: s.sessionTimeout,
	}
}

// run starts a consumer; stop ends it and waits for it.
func run[T any](t testing.TB, cfg ingest.ConsumerConfig[T], handle func(context.Context, *ingest.Delivery[T]) error) (stop func() error) {
	t.Helper()
	consumer, err := ingest.NewConsumer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- consumer.Run(ctx, handle) }()
	var once sync.Once
	var result error
	stop = func() error {
		once.Do(func() {
			cancel()
			result = <-ended
		})
		return result
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// committed is the group's position in each partition; -1 where there is none.
func (s *stage) committed(partitions int) []int64 {
	s.t.Helper()
	request := &kafka.OffsetFetchRequest{GroupID: s.group, Topics: map[string][]int{s.topic: nil}}
	for p := range partitions {
		request.Topics[s.topic] = append(request.Topics[s.topic], p)
	}
	positions := make([]int64, partitions)
	err := retry.Do(s.t.Context(), retry.Policy{Attempts: 50}, func(ctx context.Context) error {
		response, err := s.client.API().OffsetFetch(ctx, request)
		if err != nil {
			return err
		}
		for _, p := range response.Topics[s.topic] {
			if p.Error != nil {
				return p.Error
			}
			positions[p.Partition] = p.CommittedOffset
		}
		return response.Error
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return positions
}

// eventually waits for a condition, at most a minute.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// tally counts what was delivered, by value.
type tally struct {
	mu    sync.Mutex
	times map[string]int
}

func (c *tally) add(value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil {
		c.times = map[string]int{}
	}
	c.times[value]++
}

func (c *tally) distinct() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.times)
}

func (c *tally) duplicates() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, times := range c.times {
		n += times - 1
	}
	return n
}

func (c *tally) has(value string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.times[value] > 0
}
