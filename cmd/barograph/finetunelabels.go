package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/finetune"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/news"
)

// labelsSource is the name that stands for the labels topic instead of a file.
const labelsSource = "labels"

// labelsTime is how long reading the labels topic may take.
const labelsTime = 2 * time.Minute

// corrections are what the labels topic has.
type corrections struct {
	topic  string
	labels []news.Label   // the newest first
	bad    []finetune.Row // messages that are no labels, each with what is wrong
}

// readLabels reads the labels topic to its present end: of those with one key, the last one stays.
func (t *training) readLabels(ctx context.Context) (c corrections, err error) {
	cfg, err := readConfig(t.path)
	if err != nil {
		return c, err
	}
	c.topic = cfg.Kafka.Labels
	if len(cfg.Kafka.Brokers) == 0 {
		return c, fmt.Errorf("%s is the topic of the corrections in Kafka: name the configuration that has kafka.brokers by -c", labelsSource)
	}
	client, err := broker.New(cfg.Kafka.Config)
	if err != nil {
		return c, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, labelsTime)
	defer cancel()
	cluster, err := client.Ping(ctx)
	if err != nil {
		return c, err
	}
	if cluster.Topics[c.topic] == 0 {
		return c, fmt.Errorf("there is no topic %s on %s: kafka.labels names the topic of the corrections, kafka.brokers where it is", c.topic, strings.Join(cfg.Kafka.Brokers, ", "))
	}
	byKey, bad := map[string]news.Label{}, map[string]finetune.Row{}
	for number := range cluster.Topics[c.topic] {
		err := eachMessage(ctx, client, c.topic, number, func(m kafka.Message) error {
			delete(bad, string(m.Key))
			if len(m.Value) == 0 { // taken back
				delete(byKey, string(m.Key))
				return nil
			}
			var l news.Label
			if err := json.Unmarshal(m.Value, &l); err != nil {
				at := fmt.Sprintf("partition %d, offset %d", number, m.Offset)
				bad[cmp.Or(string(m.Key), at)] = finetune.Row{At: at, Err: fmt.Errorf("the message is no label: %w", err)}
				return nil
			}
			byKey[l.Key()] = l
			return nil
		})
		if err != nil {
			return c, err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		c.labels = append(c.labels, byKey[key])
	}
	for _, key := range slices.Sorted(maps.Keys(bad)) {
		c.bad = append(c.bad, bad[key])
	}
	slices.SortStableFunc(c.labels, func(a, b news.Label) int { return b.At.Compare(a.At) })
	return c, nil
}

// eachMessage reads a partition from its beginning to its present end.
func eachMessage(ctx context.Context, client *broker.Client, topic string, number int, take func(kafka.Message) error) error {
	var next, end int64
	err := retry.Do(ctx, retry.Policy{Attempts: 5}, func(ctx context.Context) (err error) {
		next, end, err = client.Bounds(ctx, topic, number)
		return err
	})
	for err == nil && next < end {
		var chunk broker.Chunk
		err = retry.Do(ctx, retry.Policy{Attempts: 5}, func(ctx context.Context) (err error) {
			chunk, err = client.Fetch(ctx, topic, number, next, fetchBytes)
			return err
		})
		for _, m := range chunk.Messages {
			if err := take(m); err != nil {
				return err
			}
		}
		if err == nil {
			next = chunk.Next
		}
	}
	return err
}

// rows are the labels of a task as rows, without those that unusedLabels leaves out, after what is no
// label.
func (c corrections) rows(task string, byEntity bool) iter.Seq[finetune.Row] {
	unused := unusedLabels(c.labels, []string{task}, byEntity)
	return func(yield func(finetune.Row) bool) {
		for _, row := range c.bad {
			if !yield(row) {
				return
			}
		}
		for i, l := range c.labels {
			if unused[i] != "" {
				continue
			}
			row := finetune.Row{
				At:     "item " + cmp.Or(l.ID, "without an id"),
				Fields: map[string]string{"text": l.Text, task: l.Label, "entity": l.Entity},
			}
			if !yield(row) {
				return
			}
		}
	}
}

// unusedLabels says of each label why no head of these tasks learns from it, or "". Labels about
// one company are left out where the bundle is to read texts as a whole, and where somebody said
// later that the text is not about that company.
func unusedLabels(labels []news.Label, tasks []string, byEntity bool) []string {
	type about struct{ id, entity string }
	notAbout := map[about]time.Time{}
	for _, l := range labels {
		if l.Task == news.TaskEntity && l.Label == news.NotAbout {
			notAbout[about{l.ID, l.Entity}] = l.At
		}
	}
	why := make([]string, len(labels))
	for i, l := range labels {
		switch {
		case l.Task == news.TaskEntity:
			why[i] = "that a text is not about a company: no head learns that"
		case !slices.Contains(tasks, l.Task):
			why[i] = "of " + plain.Line(l.Task, 40) + ", which is not trained on them here"
		case l.Entity != "" && !byEntity:
			why[i] = "toward one company, which count with --entity-column"
		case l.Entity != "" && notAbout[about{l.ID, l.Entity}].After(l.At):
			why[i] = "toward a company that the text is not about, as was said later"
		}
	}
	return why
}

// unusedInWords counts the corrections that are not trained on, by reason.
func (s *sourceSet) unusedInWords(byEntity bool) (lines []string) {
	counts := map[string]int{}
	for _, why := range unusedLabels(s.labels, s.tasks, byEntity) {
		if why != "" {
			counts[why]++
		}
	}
	for _, why := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, news.Counted(counts[why], "correction")+" "+why)
	}
	return lines
}
