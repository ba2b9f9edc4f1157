package alert

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// On a real broker: the alert's messages are on the topic, in order, under one key.
func TestKafka(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Kafka")
	}
	server := testenv.StartKafka(t)
	server.CreateTopic("alerts", 1)
	client, err := broker.New(broker.Config{Brokers: []string{server.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	to := client.Writer("alerts")
	defer to.Close()

	o := newOffice(t)
	d := o.desk(t, func(c *Config) {
		c.Sinks = map[string]Sink{"kafka": NewKafka(to)}
		c.Routes = []Route{{Sink: "kafka"}}
	})
	consider(t, d, burst(apple, noon, 10, 3))
	consider(t, d, burst(apple, noon.Add(time.Minute), 40, 7))
	o.arrival.add(3 * time.Hour)
	housekeep(t, d)
	drainAll(t, d)

	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{server.Addr}, Topic: "alerts"})
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	id := idOf(apple, "", noon.Add(-20*time.Minute))
	for _, want := range []struct {
		status   news.Status
		severity news.Severity
		key      string
	}{
		{news.Firing, news.Warning, id + "-firing-1"},
		{news.Firing, news.Critical, id + "-firing-2"},
		{news.Resolved, news.Critical, id + "-resolved-3"},
	} {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var got news.Alert
		if err := json.Unmarshal(m.Value, &got); err != nil {
			t.Fatal(err)
		}
		if string(m.Key) != id || got.ID != id || got.Status != want.status || got.Severity != want.severity || string(m.Headers[0].Value) != want.key {
			t.Errorf("key %s, alert %+v, headers %v; want %+v", m.Key, got, m.Headers, want)
		}
	}
}
