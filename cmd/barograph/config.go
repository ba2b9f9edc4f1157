package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/barograph/barograph/alert"
	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/ingest/watch"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/internal/settings"
	"github.com/barograph/barograph/news"
)

// config is all that can be configured; barograph.example.yaml shows each key with its
// default and docs/configuration.md explains them.
type config struct {
	Stages       []string       `yaml:"stages"`
	Kafka        kafkaConfig    `yaml:"kafka"`
	Redis        redisConfig    `yaml:"redis"`
	WatchList    string         `yaml:"watch_list"`
	Classify     classifyConfig `yaml:"classify"`
	Trend        trendConfig    `yaml:"trend"`
	Alert        alertConfig    `yaml:"alert"`
	Console      consoleConfig  `yaml:"console"`
	Log          logConfig      `yaml:"log"`
	DrainTimeout time.Duration  `yaml:"drain_timeout"`
}

type kafkaConfig struct {
	broker.Config `yaml:",inline"`
	Group         string        `yaml:"group"`
	Topics        []topicConfig `yaml:"topics"`
	Start         ingest.Start  `yaml:"start"` // earliest, latest or RFC 3339
	Readings      string        `yaml:"readings"`
	Alerts        string        `yaml:"alerts"`
	DeadLetters   string        `yaml:"dead_letters"`
	Labels        string        `yaml:"labels"`
	CreateTopics  bool          `yaml:"create_topics"`
	MaxItems      int           `yaml:"max_items"`
	MaxBytes      int64         `yaml:"max_bytes"`
	MaxTextBytes  int           `yaml:"max_text_bytes"`
	MaxFuture     time.Duration `yaml:"max_future"`
}

type topicConfig struct {
	Name    string            `yaml:"name"`
	Kind    news.Kind         `yaml:"kind"`
	Source  string            `yaml:"source"`
	Mapping map[string]string `yaml:"mapping"`
}

type redisConfig struct {
	Addresses []string      `yaml:"addresses"`
	Cluster   bool          `yaml:"cluster"` // also when there are several addresses
	Username  string        `yaml:"username"`
	Password  secret.Secret `yaml:"password"`
	DB        int           `yaml:"db"`
	TLS       bool          `yaml:"tls"`
	CAFile    string        `yaml:"ca_file"`
	Prefix    string        `yaml:"prefix"`
}

type classifyConfig struct {
	Bundles     []string      `yaml:"bundles"`
	Bases       []string      `yaml:"bases"`
	Device      string        `yaml:"device"`    // auto, cpu or cuda
	Precision   string        `yaml:"precision"` // auto, fp32, fp16 or int8
	Threads     int           `yaml:"threads"`
	TokenBudget int           `yaml:"token_budget"`
	MaxWait     time.Duration `yaml:"max_wait"`
	Calibrate   bool          `yaml:"calibrate"`
	Reload      time.Duration `yaml:"reload"` // 0 = never
}

type trendConfig struct {
	FalseAlertsPerDay float64          `yaml:"false_alerts_per_day"`
	Surprise          float64          `yaml:"surprise"` // 0 = by FalseAlertsPerDay
	MinNegative       int              `yaml:"min_negative"`
	WarmUp            time.Duration    `yaml:"warm_up"`
	History           time.Duration    `yaml:"history"`
	Spikes            []news.SpikeKind `yaml:"spikes"`
	Market            string           `yaml:"market"` // "" = hours of UTC
}

type alertConfig struct {
	Slack    *slackConfig    `yaml:"slack"`
	Webhooks []webhookConfig `yaml:"webhooks"`

	Alertmanager *alert.AlertmanagerConfig `yaml:"alertmanager"`
	Email        *alert.EmailConfig        `yaml:"email"`
	Feishu       []robotConfig             `yaml:"feishu"`
	DingTalk     []robotConfig             `yaml:"dingtalk"`

	Routes   []alert.Route `yaml:"routes"`
	Quiet    time.Duration `yaml:"quiet"`
	Critical float64       `yaml:"critical"`

	DigestFrom   int           `yaml:"digest_from"` // 0 = never
	DigestWithin time.Duration `yaml:"digest_within"`
}

type slackConfig struct {
	alert.SlackConfig `yaml:",inline"`
	Channel           string `yaml:"channel"` // of alerts that no route takes; "" = none
}

type webhookConfig struct {
	alert.WebhookConfig `yaml:",inline"`
	Name                string `yaml:"name"` // as routes call it
}

type robotConfig struct {
	alert.RobotConfig `yaml:",inline"`
	Name              string `yaml:"name"` // as routes call it
}

type consoleConfig struct {
	Listen         string        `yaml:"listen"`
	PublicURL      string        `yaml:"public_url"` // as people reach it, for links in messages; "" = none
	Token          secret.Secret `yaml:"token"`
	TrustedHeader  string        `yaml:"trusted_header"`
	TrustedProxies []string      `yaml:"trusted_proxies"` // addresses and networks; none = loopback
	IndexItems     int           `yaml:"index_items"`
	IndexBytes     int64         `yaml:"index_bytes"`
}

type logConfig struct {
	Level  slog.Level `yaml:"level"`  // debug, info, warn or error
	Format string     `yaml:"format"` // text or json
}

// maxFuture is how far ahead of the clock the trend stage counts.
const maxFuture = time.Hour

const environmentPrefix = "BAROGRAPH"

// Variables that begin with the prefix and are no settings of the monitor.
var otherVariables = []string{"BAROGRAPH_ONNXRUNTIME", "BAROGRAPH_DEPS", "BAROGRAPH_DATA"}

func defaults() config {
	return config{
		Kafka: kafkaConfig{
			Group: "barograph", Start: ingest.Latest(), Readings: "barograph.readings", Alerts: "barograph.alerts",
			DeadLetters: "barograph.dead-letters", Labels: "barograph.labels", CreateTopics: true, MaxItems: 1024, MaxBytes: 64 << 20,
			MaxTextBytes: 1 << 20, MaxFuture: 10 * time.Minute,
		},
		Redis:        redisConfig{Addresses: []string{"127.0.0.1:6379"}, Prefix: "barograph"},
		Classify:     classifyConfig{Bundles: []string{"models/en", "models/zh", "models/en-company"}, Bases: []string{".deps/bases"}, Device: "auto", Precision: "auto", MaxWait: 20 * time.Millisecond, Reload: 5 * time.Second},
		Trend:        trendConfig{FalseAlertsPerDay: 1, MinNegative: 3, WarmUp: 24 * time.Hour, History: 48 * time.Hour, Spikes: []news.SpikeKind{news.SpikeNegative}},
		Alert:        alertConfig{Quiet: time.Hour, Critical: 6, DigestFrom: 6, DigestWithin: 10 * time.Minute},
		Console:      consoleConfig{Listen: "127.0.0.1:8095", IndexItems: 50_000, IndexBytes: 64 << 20},
		Log:          logConfig{Format: "text"},
		DrainTimeout: 20 * time.Second,
	}
}

// configFlags adds the flags that every command with a configuration has.
func configFlags(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", "", "configuration file (YAML); without it, BAROGRAPH_… variables and defaults")
}

// readConfig reads the file and the environment and checks what does not need the network.
// Relative paths in a file are relative to the file.
func readConfig(path string) (config, error) {
	cfg := defaults()
	if err := settings.Read(&cfg, path, environmentPrefix, os.Environ(), otherVariables...); err != nil {
		return cfg, err
	}
	if path != "" {
		cfg.resolvePaths(filepath.Dir(path))
	}
	if err := cfg.check(); err != nil {
		return cfg, fmt.Errorf("configuration %s: %w", path, err)
	}
	return cfg, nil
}

func (c *config) resolvePaths(dir string) {
	resolve := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	resolve(&c.WatchList)
	resolve(&c.Redis.CAFile)
	if c.Alert.Email != nil {
		resolve(&c.Alert.Email.CAFile)
	}
	for i := range c.Classify.Bundles {
		resolve(&c.Classify.Bundles[i])
	}
	for i := range c.Classify.Bases {
		resolve(&c.Classify.Bases[i])
	}
	if tls := c.Kafka.TLS; tls != nil {
		resolve(&tls.CAFile)
		resolve(&tls.CertFile)
		resolve(&tls.KeyFile)
	}
}

// stages are the parts of the stream that a process runs.
type stages struct{ classify, trend, alert bool }

// decides reports whether the process needs sinks and routes: one with trend does also where
// another delivers.
func (s stages) decides() bool { return s.trend || s.alert }

// parseStages reads a list such as ingest,classify; an empty one means all.
func parseStages(names []string) (stages, error) {
	if len(names) == 0 {
		return stages{true, true, true}, nil
	}
	var s stages
	var ingest bool
	for _, name := range names {
		switch strings.TrimSpace(name) {
		case "ingest":
			ingest = true
		case "classify":
			s.classify = true
		case "trend":
			s.trend = true
		case "alert":
			s.alert = true
		default:
			return s, fmt.Errorf("stages: %q is none; there are ingest, classify, trend and alert", name)
		}
	}
	switch {
	case ingest != s.classify:
		return s, errors.New("stages: ingest and classify go together: no topic lies between them")
	case s.classify && s.alert && !s.trend:
		return s, errors.New("stages: alert beside classify needs trend between them; or run alert alone")
	}
	return s, nil
}

// readWatchList reads the companies to find in texts; "" = none.
func readWatchList(path string) (*watch.List, error) {
	if path == "" {
		return watch.New(nil)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("watch list: %w", err)
	}
	defer file.Close()
	list, err := parseWatchList(file)
	if err != nil {
		return nil, fmt.Errorf("watch list %s: %w", path, err)
	}
	return list, nil
}

func parseWatchList(r io.Reader) (*watch.List, error) {
	var entries []watch.Entry
	if err := yaml.NewDecoder(r, yaml.Strict()).Decode(&entries); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New(yaml.FormatError(err, false, true))
	}
	return watch.New(entries)
}

// newLogger writes to standard error: standard output belongs to a command's result.
func newLogger(c logConfig) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
