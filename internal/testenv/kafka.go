package testenv

import (
	"path/filepath"
	"testing"

	"github.com/barograph/barograph/internal/testenv/kafkaserver"
)

// Kafka is a real broker for one test.
type Kafka struct {
	*kafkaserver.Server
	t testing.TB
}

// KafkaOption changes how StartKafka starts the broker.
type KafkaOption func(*kafkaserver.Config)

// WithUsers opens a second listener with TLS and SASL for these names and passwords.
func WithUsers(users map[string]string) KafkaOption {
	return func(cfg *kafkaserver.Config) { cfg.Users = users }
}

// WithProperties overrides server properties.
func WithProperties(properties map[string]string) KafkaOption {
	return func(cfg *kafkaserver.Config) { cfg.Properties = properties }
}

// StartKafka starts a broker that is stopped when the test ends. It takes some 4 s, so
// tests of one package should share one where they can (by topics of their own).
func StartKafka(t testing.TB, options ...KafkaOption) *Kafka {
	t.Helper()
	cfg := kafkaserver.Config{Libs: filepath.Join(Deps(t), "kafka", "libs"), Dir: t.TempDir()}
	for _, option := range options {
		option(&cfg)
	}
	server, err := kafkaserver.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	// The data goes with the test: no need for a clean stop.
	t.Cleanup(server.Kill)
	return &Kafka{server, t}
}

// Restart starts the broker again on its ports and data, stopping it first where it runs.
func (k *Kafka) Restart() {
	k.t.Helper()
	if err := k.Server.Restart(); err != nil {
		k.t.Fatal(err)
	}
}

// CreateTopic makes a topic with so many partitions.
func (k *Kafka) CreateTopic(topic string, partitions int) {
	k.t.Helper()
	if err := k.Server.CreateTopic(k.t.Context(), topic, partitions); err != nil {
		k.t.Fatal(err)
	}
}
