package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/ingest/feed"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/news"
)

func newFeed() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "feed",
		Short: "Put items into Kafka",
		Example: `  barograph feed rss -c barograph.yaml https://news.example/rss.xml
  barograph feed jsonl -c barograph.yaml --topic news items.jsonl
  barograph feed deadletters -c barograph.yaml --dry-run`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFeedRSS(), newFeedJSONL(), newFeedDeadLetters())
	return cmd
}

func newFeedRSS() *cobra.Command {
	var (
		path, topic string
		kind        string
		state       string
		interval    time.Duration
		once        bool
	)
	cmd := &cobra.Command{
		Use:   "rss URL…",
		Short: "Poll RSS and Atom feeds, and put new items into Kafka",
		Long: "Polls RSS and Atom feeds until it is told to stop, with conditional requests, and puts items that it has\n" +
			"not seen into a topic. What was seen is remembered in the state file, which one process uses at a time. Items\n" +
			"without a date are spread over the time since the feed was last read; at its first poll they are dated half a\n" +
			"day back, for they may be old.",
		Example: `  barograph feed rss -c barograph.yaml https://news.example/rss.xml
  barograph feed rss -c barograph.yaml --topic news --interval 1m --state seen.json https://a.example/feed https://b.example/feed`,
		Args: arguments(1, -1, "addresses of feeds"),
		RunE: func(cmd *cobra.Command, urls []string) error {
			cfg, target, err := feedTopic(path, topic)
			if err != nil {
				return err
			}
			for _, field := range feed.Fields {
				if from, mapped := target.Mapping[field]; mapped && from != "/"+field {
					return usageError{fmt.Errorf("kafka.topics: %s reads %s from %q by its mapping, and feed rss writes items by their own field names: name another topic with --topic", target.Name, field, from)}
				}
			}
			client, err := openFeed(cmd.Context(), cfg, target)
			if err != nil {
				return err
			}
			defer client.Close()
			poller, err := feed.NewPoller(feed.Config{
				Broker: client, Topic: target.Name, URLs: urls, Kind: news.Kind(or(kind, string(target.Kind))),
				Interval: interval, StateFile: state, Log: newLogger(cfg.Log),
			})
			if err != nil {
				return usageError{err}
			}
			defer poller.Close()
			if !once {
				poller.Run(cmd.Context())
				return nil
			}
			var faults []error
			for _, url := range urls {
				n, err := poller.Poll(cmd.Context(), url)
				if err != nil {
					faults = append(faults, err)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%5d new  %s\n", n, feed.Shown(url))
			}
			return errors.Join(faults...)
		},
	}
	configFlags(cmd, &path)
	cmd.Flags().StringVar(&topic, "topic", "", "topic to write to; without it, the configuration's first")
	cmd.Flags().StringVar(&kind, "kind", "", "kind of the items, news or comment; without it, the topic's")
	cmd.Flags().StringVar(&state, "state", "barograph-feeds.json", "file that remembers what was seen")
	cmd.Flags().DurationVar(&interval, "interval", 5*time.Minute, "between polls of a feed")
	cmd.Flags().BoolVar(&once, "once", false, "poll each feed once and stop")
	return cmd
}

func newFeedJSONL() *cobra.Command {
	var path, topic string
	cmd := &cobra.Command{
		Use:   "jsonl FILE|-",
		Short: "Put a file of JSON lines into Kafka",
		Long: "Puts each line of a file (- is standard input) into a topic as it is. Lines that the monitor would refuse,\n" +
			"or the topic for their size, are named with file and line, and left out, but for texts of more tokens than its\n" +
			"models take; exit code 1 then.",
		Example: `  barograph feed jsonl -c barograph.yaml --topic news items.jsonl
  zcat history.jsonl.gz | barograph feed jsonl -c barograph.yaml -`,
		Args: arguments(1, 1, "one file, or -"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, target, err := feedTopic(path, topic)
			if err != nil {
				return err
			}
			client, err := openFeed(cmd.Context(), cfg, target)
			if err != nil {
				return err
			}
			defer client.Close()
			decoder, err := newDecoder(cfg, target, time.Now)
			if err != nil {
				return err
			}
			input, size, err := openInput(args[0])
			if err != nil {
				return err
			}
			defer input.Close()
			bar := newProgress(cmd.ErrOrStderr(), size, "feed")
			defer bar.Close()
			result, err := feed.Lines(cmd.Context(), feed.LinesConfig{
				Broker: client, Topic: target.Name, Decoder: decoder,
				Check: func(item news.Item) error {
					if err := classify.CheckText(item.Content()); err != nil {
						return rejectionOf(err)
					}
					return nil
				},
				Refused:  func(err *feed.LineError) { fmt.Fprintln(cmd.ErrOrStderr(), err) },
				Progress: func(r feed.LinesResult) { _ = bar.Set64(r.Bytes) },
			}, args[0], input)
			if err != nil {
				return err
			}
			_ = bar.Close()
			fmt.Fprintf(cmd.OutOrStdout(), "%s put into %s\n", news.Counted(result.Written, "item"), target.Name)
			if result.Refused > 0 {
				return fmt.Errorf("%d of %d lines were refused, see above", result.Refused, result.Refused+result.Written)
			}
			return nil
		},
	}
	configFlags(cmd, &path)
	cmd.Flags().StringVar(&topic, "topic", "", "topic to write to; without it, the configuration's first")
	return cmd
}

func newFeedDeadLetters() *cobra.Command {
	var (
		path, reason string
		dryRun       bool
	)
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "Put dead letters back on the topics they came from",
		Long: "Reads the dead-letter topic from where it stopped the last time to its end, and puts the messages back on\n" +
			"the topics they came from. Letters that their topic refuses for their size are named, and not offered again;\n" +
			"exit code 1 then.",
		Example: `  barograph feed deadletters -c barograph.yaml --dry-run
  barograph feed deadletters -c barograph.yaml --reason failed`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if class := ingest.Class(reason); reason != "" && !slices.Contains(ingest.Classes(), class) {
				return usageError{fmt.Errorf("--reason %q is none; there are %s", reason, joined(ingest.Classes()))}
			}
			cfg, err := readConfig(path)
			if err != nil {
				return err
			}
			client, err := broker.New(cfg.Kafka.Config)
			if err != nil {
				return err
			}
			defer client.Close()
			others := 0
			result, err := feed.Redeliver(cmd.Context(), feed.RedeliverConfig{
				Broker: client, DeadLetters: cfg.Kafka.DeadLetters, Reason: ingest.Class(reason), DryRun: dryRun,
				Report: func(l feed.Letter) {
					if l.Other {
						others++
						return
					}
					fmt.Fprintln(cmd.OutOrStdout(), letterLine(l))
				},
			})
			if err != nil {
				return err
			}
			did := "put back"
			if dryRun {
				did = "to put back"
			}
			end := fmt.Sprintf("%d %s, %d skipped", result.PutBack, did, result.Skipped-others)
			if reason != "" {
				end += fmt.Sprintf(", %d of other reasons", others)
			}
			fmt.Fprintln(cmd.OutOrStdout(), end)
			if result.Refused > 0 {
				return fmt.Errorf("%d of %d dead letters are larger than their topic takes, see above; they stay on %s, and are not offered again",
					result.Refused, result.Refused+result.PutBack, cfg.Kafka.DeadLetters)
			}
			return nil
		},
	}
	configFlags(cmd, &path)
	cmd.Flags().StringVar(&reason, "reason", "", "only letters of this class, such as failed or too-old")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be put back, and do not")
	return cmd
}

func joined(classes []ingest.Class) string {
	words := make([]string, len(classes))
	for i, class := range classes {
		words[i] = string(class)
	}
	return strings.Join(words, ", ")
}

func letterLine(l feed.Letter) string {
	line := fmt.Sprintf("%d/%-8d %-20s %s", l.Partition, l.Offset, plain.Line(l.Topic, 249), plain.Line(l.Reason, 300))
	if before := l.Redelivered - 1; before > 0 {
		line += fmt.Sprintf("  (put back %s before)", news.Counted(before, "time"))
	}
	if l.Skipped != "" {
		line += "  skipped: " + plain.Line(l.Skipped, 300)
	}
	return line
}

// feedTopic is the configured topic to write to, the first where none is named.
func feedTopic(path, topic string) (config, topicConfig, error) {
	cfg, err := readConfig(path)
	if err != nil {
		return cfg, topicConfig{}, err
	}
	if len(cfg.Kafka.Topics) == 0 {
		return cfg, topicConfig{}, errors.New("configuration: kafka.topics is empty")
	}
	if topic == "" {
		return cfg, cfg.Kafka.Topics[0], nil
	}
	i := slices.IndexFunc(cfg.Kafka.Topics, func(t topicConfig) bool { return t.Name == topic })
	if i < 0 {
		return cfg, topicConfig{}, usageError{fmt.Errorf("--topic %s is none of kafka.topics: %s", topic, strings.Join(topicNames(cfg.Kafka.Topics), ", "))}
	}
	return cfg, cfg.Kafka.Topics[i], nil
}

// openFeed connects to the configured Kafka and makes sure of the topic.
func openFeed(ctx context.Context, cfg config, target topicConfig) (*broker.Client, error) {
	client, err := broker.New(cfg.Kafka.Config)
	if err != nil {
		return nil, err
	}
	if cfg.Kafka.CreateTopics {
		if err := client.EnsureTopics(ctx, broker.Topic{Name: target.Name}); err != nil {
			client.Close()
			return nil, err
		}
	}
	return client, nil
}
