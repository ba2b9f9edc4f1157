package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// A reading is found by its item's id: among others, from a time on, and also where the
// topic got more partitions after it was written.
func TestFindReading(t *testing.T) {
	server := testenv.StartKafka(t)
	server.CreateTopic("readings", 2)
	client := openBroker(t, server.Addr)
	writer := client.Writer("readings")
	defer writer.Close()
	old, recent := time.Now().Add(-48*time.Hour), time.Now().Add(-time.Minute)
	write := func(id string, at time.Time) {
		t.Helper()
		value, err := json.Marshal(news.Reading{ID: id, PublishedAt: at, Text: "text of " + id})
		if err != nil {
			t.Fatal(err)
		}
		if err := broker.Write(t.Context(), writer, retry.Policy{Attempts: 10}, kafka.Message{Key: []byte(id), Value: value, Time: at}); err != nil {
			t.Fatal(err)
		}
	}
	write("yesterday", old)
	for i := range 50 {
		write(fmt.Sprint("item-", i), recent)
	}
	finder := readingFinder{broker: client, topic: "readings"}
	found := func(id string, since time.Time) error {
		t.Helper()
		reading, _, err := finder.find(t.Context(), id, "AAPL", since)
		if err == nil && reading.Text != "text of "+id {
			t.Errorf("%s: found %+v", id, reading)
		}
		return err
	}
	for _, id := range []string{"item-0", "item-17", "item-49"} {
		if err := found(id, recent); err != nil {
			t.Error(err)
		}
	}
	if err := found("yesterday", old); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"yesterday", "never"} {
		if err := found(id, recent); !errors.Is(err, errNoReading) {
			t.Errorf("%s: error %v", id, err)
		}
	}

	response, err := client.API().CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: "readings", Count: 5}}})
	if err != nil || response.Errors["readings"] != nil {
		t.Fatal(err, response)
	}
	eventually(t, time.Minute, "five partitions", func() bool {
		cluster, err := client.Ping(t.Context())
		return err == nil && cluster.Topics["readings"] == 5
	})
	for i := range 10 {
		if err := found(fmt.Sprint("item-", i), recent); err != nil {
			t.Error(err)
		}
	}
}

// Of readings toward one company each, the one toward the alert's counts.
func TestReadingTowardACompany(t *testing.T) {
	both, a, b := news.Reading{ID: "both", Entities: []string{"AAPL", "BA"}}, news.Reading{ID: "a", Entities: []string{"AAPL"}}, news.Reading{ID: "b", Entities: []string{"BA"}}
	for _, tt := range []struct {
		name         string
		readings     []news.Reading
		entity       string
		want, toward string
	}{
		{"one of all", []news.Reading{both}, "BA", "both", ""},
		{"one of all that came again", []news.Reading{both, both}, "BA", "both", ""},
		{"one toward each", []news.Reading{a, b}, "BA", "b", "BA"},
		{"one toward each, which came again", []news.Reading{a, b, a, b}, "AAPL", "a", "AAPL"},
		{"of a topic's alert", []news.Reading{a, b}, "", "a", ""},
	} {
		if r, toward := towardEntity(tt.readings, tt.entity); r.ID != tt.want || toward != tt.toward {
			t.Errorf("%s: %s toward %q, want %s toward %q", tt.name, r.ID, toward, tt.want, tt.toward)
		}
	}
}
