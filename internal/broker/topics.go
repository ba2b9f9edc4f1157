package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/retry"
)

// Topic is a topic that has to be there.
type Topic struct {
	Name        string
	Partitions  int               // 0 or -1 = the broker's default
	Replication int               // 0 or -1 = the broker's default
	Config      map[string]string // such as retention.ms; nil = the broker's defaults
}

// EnsureTopics creates the topics that are missing and returns when the cluster knows
// them all. Topics that exist stay as they are, also with other settings, and need no
// right to create; another process creating them at the same time does no harm. Failures
// that may pass are retried for about half a minute.
func (c *Client) EnsureTopics(ctx context.Context, topics ...Topic) error {
	policy := retry.Policy{Attempts: 12, First: 200 * time.Millisecond, Max: 5 * time.Second}
	err := retry.Do(ctx, policy, func(ctx context.Context) error {
		missing, err := c.missing(ctx, topics)
		if err != nil || len(missing) == 0 {
			return err
		}
		return c.create(ctx, missing)
	})
	if err != nil {
		return fmt.Errorf("making sure that Kafka's topics are there: %w", err)
	}
	return nil
}

func (c *Client) missing(ctx context.Context, topics []Topic) ([]Topic, error) {
	cluster, err := c.Ping(ctx)
	if err != nil {
		return nil, err
	}
	var missing []Topic
	for _, topic := range topics {
		if cluster.Topics[topic.Name] == 0 {
			missing = append(missing, topic)
		}
	}
	return missing, nil
}

// create asks for the topics; kafka-go then renews its view of the cluster until it has them.
func (c *Client) create(ctx context.Context, topics []Topic) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	request := &kafka.CreateTopicsRequest{}
	for _, topic := range topics {
		entry := kafka.TopicConfig{Topic: topic.Name, NumPartitions: orDefault(topic.Partitions), ReplicationFactor: orDefault(topic.Replication)}
		for _, name := range slices.Sorted(maps.Keys(topic.Config)) {
			entry.ConfigEntries = append(entry.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: topic.Config[name]})
		}
		request.Topics = append(request.Topics, entry)
	}
	response, err := c.client.CreateTopics(ctx, request)
	if err != nil {
		return fmt.Errorf("making topics at %s: %w", c.addr, Cause(err))
	}
	for _, topic := range topics {
		err := response.Errors[topic.Name]
		if err == nil || errors.Is(err, kafka.TopicAlreadyExists) {
			continue
		}
		err = fmt.Errorf("creating topic %s: %w", topic.Name, err)
		var code kafka.Error
		if errors.As(err, &code) && !code.Temporary() {
			return retry.Permanent(err)
		}
		return err
	}
	return nil
}

func orDefault(n int) int {
	if n <= 0 {
		return -1
	}
	return n
}
