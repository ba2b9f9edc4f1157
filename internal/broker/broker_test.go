package broker_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/internal/testenv"
)

func TestConnections(t *testing.T) {
	server := testenv.StartKafka(t, testenv.WithUsers(map[string]string{"alice": "wonderland"}))
	tls := &broker.TLSConfig{CAFile: server.CAFile}
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		t.Run(mechanism, func(t *testing.T) {
			client := open(t, broker.Config{Brokers: []string{server.SecureAddr}, TLS: tls, SASL: sasl(mechanism, "wonderland")})
			writesAndReads(t, client, mechanism)
		})
		t.Run(mechanism+" with a wrong password", func(t *testing.T) {
			client := open(t, broker.Config{Brokers: []string{server.SecureAddr}, TLS: tls, SASL: sasl(mechanism, "looking-glass")})
			_, err := client.Ping(t.Context())
			if !errors.Is(err, kafka.SASLAuthenticationFailed) || strings.Contains(err.Error(), "looking-glass") {
				t.Errorf("error %v, want %v", err, kafka.SASLAuthenticationFailed)
			}
		})
	}
	t.Run("a certificate of an unknown authority", func(t *testing.T) {
		client := open(t, broker.Config{Brokers: []string{server.SecureAddr}, TLS: &broker.TLSConfig{}, SASL: sasl("plain", "wonderland")})
		if _, err := client.Ping(t.Context()); err == nil {
			t.Error("it was trusted")
		}
	})
	t.Run("plain text", func(t *testing.T) {
		// The first broker of the list is down.
		client := open(t, broker.Config{Brokers: []string{"127.0.0.1:1", server.Addr}})
		writesAndReads(t, client, "plain-text")
	})
	t.Run("topics that exist stay as they are", func(t *testing.T) {
		client := open(t, broker.Config{Brokers: []string{server.Addr}})
		for _, partitions := range []int{3, 5} {
			if err := client.EnsureTopics(t.Context(), broker.Topic{Name: "three", Partitions: partitions}); err != nil {
				t.Fatal(err)
			}
		}
		cluster, err := client.Ping(t.Context())
		if err != nil || cluster.Topics["three"] != 3 || !slices.Equal(cluster.Brokers, []string{server.Addr}) {
			t.Errorf("cluster %+v, %v", cluster, err)
		}
		err = client.EnsureTopics(t.Context(), broker.Topic{Name: "no good/name"})
		if !errors.Is(err, kafka.InvalidTopic) {
			t.Errorf("error %v, want %v", err, kafka.InvalidTopic)
		}
	})
	t.Run("a message too large is not tried again", func(t *testing.T) {
		client := open(t, broker.Config{Brokers: []string{server.Addr}})
		if err := client.EnsureTopics(t.Context(), broker.Topic{Name: "small"}); err != nil {
			t.Fatal(err)
		}
		writer := client.Writer("small")
		writer.BatchBytes = 10 << 20
		defer writer.Close()
		retries := 0
		err := broker.Write(t.Context(), writer, retry.Policy{OnRetry: func(error) { retries++ }}, kafka.Message{Value: make([]byte, 2<<20)})
		if !broker.TooLarge(err) || retries > 0 {
			t.Errorf("error %v after %d retries", err, retries)
		}
	})
	t.Run("what is too large together is written in parts", func(t *testing.T) {
		client := open(t, broker.Config{Brokers: []string{server.Addr}})
		narrow := broker.Topic{Name: "narrow", Partitions: 1, Config: map[string]string{"max.message.bytes": "100000"}}
		if err := client.EnsureTopics(t.Context(), narrow); err != nil {
			t.Fatal(err)
		}
		writer := client.Writer(narrow.Name)
		defer writer.Close()
		messages := make([]kafka.Message, 300)
		for i := range messages {
			messages[i].Value = bytes.Repeat([]byte{byte(i), byte(i / 256)}, 500)
		}
		messages[7].Value, messages[200].Value = make([]byte, 200_000), make([]byte, 2<<20)
		err := broker.Write(t.Context(), writer, retry.Policy{Attempts: 5}, messages...)
		var refused *broker.RefusedError
		if !errors.As(err, &refused) || !slices.Equal(refused.At, []int{7, 200}) || !broker.TooLarge(err) {
			t.Fatalf("error %v, want message 7 and 200 to be refused", err)
		}
		var got, want [][]byte
		for i, m := range messages {
			if i != 7 && i != 200 {
				want = append(want, m.Value)
			}
		}
		for at := int64(0); len(got) < len(want); {
			chunk, err := client.Fetch(t.Context(), narrow.Name, 0, at, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range chunk.Messages {
				got = append(got, m.Value)
			}
			at = chunk.Next
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%d messages on the topic, want the other %d in their order", len(got), len(want))
		}
	})
}

func open(t *testing.T, cfg broker.Config) *broker.Client {
	t.Helper()
	client, err := broker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func sasl(mechanism, password string) *broker.SASLConfig {
	return &broker.SASLConfig{Mechanism: mechanism, Username: "alice", Password: secret.Secret(password)}
}

// writesAndReads uses both of kafka-go's ways to connect.
func writesAndReads(t *testing.T, client *broker.Client, topic string) {
	t.Helper()
	if err := client.EnsureTopics(t.Context(), broker.Topic{Name: topic, Config: map[string]string{"retention.ms": "60000"}}); err != nil {
		t.Fatal(err)
	}
	writer := client.Writer(topic)
	defer writer.Close()
	if err := broker.Write(t.Context(), writer, retry.Policy{Attempts: 5}, kafka.Message{Value: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: client.Brokers(), Dialer: client.Dialer(), Topic: topic, MaxWait: 200 * time.Millisecond})
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if m, err := reader.ReadMessage(ctx); err != nil || string(m.Value) != "hello" {
		t.Errorf("read %q, %v", m.Value, err)
	}
}

func TestWriteWaitsForABrokerThatComesBack(t *testing.T) {
	server := testenv.StartKafka(t)
	client := open(t, broker.Config{Brokers: []string{server.Addr}})
	if err := client.EnsureTopics(t.Context(), broker.Topic{Name: "news"}); err != nil {
		t.Fatal(err)
	}
	writer := client.Writer("news")
	defer writer.Close()
	server.Kill()
	started, back := make(chan struct{}), make(chan error, 1)
	policy := retry.Policy{OnRetry: func(error) {
		select {
		case <-started:
		default:
			close(started)
			go func() { back <- server.Server.Restart() }()
		}
	}}
	if err := broker.Write(t.Context(), writer, policy, kafka.Message{Value: []byte("hello")}); err != nil {
		t.Error(err)
	}
	if err := <-back; err != nil {
		t.Error(err)
	}
}

// kafka-go remembers the cluster; Ping asks it.
func TestPingAsksTheBroker(t *testing.T) {
	server := testenv.StartKafka(t)
	client := open(t, broker.Config{Brokers: []string{server.Addr}})
	if err := client.EnsureTopics(t.Context(), broker.Topic{Name: "news"}); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if cluster, err := client.Ping(t.Context()); err == nil {
		t.Errorf("a killed broker answers: %+v", cluster)
	}
	server.Restart()
	err := retry.Do(t.Context(), retry.Policy{Attempts: 5}, func(ctx context.Context) error { // a connection from before may be tried first
		_, err := client.Ping(ctx)
		return err
	})
	if err != nil {
		t.Errorf("after its restart: %v", err)
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	for name, cfg := range map[string]broker.Config{
		"no brokers": {},
		"no CA":      {Brokers: []string{"a:1"}, TLS: &broker.TLSConfig{CAFile: "missing.pem"}},
		"no PEM":     {Brokers: []string{"a:1"}, TLS: &broker.TLSConfig{CAFile: "broker_test.go"}},
		"no key":     {Brokers: []string{"a:1"}, TLS: &broker.TLSConfig{CertFile: "missing.pem"}},
	} {
		if _, err := broker.New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := broker.New(broker.Config{Brokers: []string{"a:1"}, SASL: sasl("kerberos", "x")}); !errors.Is(err, broker.ErrMechanism) {
		t.Errorf("error %v, want %v", err, broker.ErrMechanism)
	}
}

// An error says what happened, and not in which of kafka-go's functions.
func TestErrorsAreWithoutFunctions(t *testing.T) {
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away.Close()
	client, err := broker.New(broker.Config{Brokers: []string{away.Addr().String()}, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, pinged := client.Ping(t.Context())
	_, _, bounded := client.Bounds(t.Context(), "news", 0)
	for _, err := range []error{pinged, bounded} {
		if !errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), "(*Client)") {
			t.Errorf("error %v", err)
		}
	}
}
