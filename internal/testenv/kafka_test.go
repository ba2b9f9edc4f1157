package testenv_test

import (
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/testenv"
)

func TestKafkaKeepsItsMessagesOverAKill(t *testing.T) {
	server := testenv.StartKafka(t)
	server.CreateTopic("news", 1)
	writer := &kafka.Writer{Addr: kafka.TCP(server.Addr), Topic: "news", RequiredAcks: kafka.RequireAll,
		BatchTimeout: time.Millisecond, Transport: &kafka.Transport{}}
	if err := writer.WriteMessages(t.Context(), kafka.Message{Value: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	server.Restart()
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{server.Addr}, Topic: "news", MaxWait: 200 * time.Millisecond})
	defer reader.Close()
	message, err := reader.ReadMessage(t.Context())
	if err != nil || string(message.Value) != "hello" {
		t.Errorf("read %q, %v; want hello", message.Value, err)
	}
}
