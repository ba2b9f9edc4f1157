package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"

	"github.com/barograph/barograph/alert"
	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/news"
)

func newDoctor() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the configuration and all that it names, and say what to do",
		Long: "Checks the configuration, Kafka, Redis, the console's address, ONNX Runtime, the device, the models and Slack,\n" +
			"and says what to do where something is wrong. It posts nothing, and writes nothing but what a bundle is compiled to, as\n" +
			"the first start would. Exit code 1 when a check fails.",
		Example: "  barograph doctor -c barograph.yaml",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return diagnose(cmd.Context(), cmd.OutOrStdout(), path)
		},
	}
	configFlags(cmd, &path)
	return cmd
}

// examination is one thing that the doctor looks at. finding says what is there; advice
// says what to do about an error.
type examination struct {
	name   string
	look   func(context.Context) (finding string, err error)
	advice string
}

// faultWithAdvice is an error for which another advice belongs than the examination's.
type faultWithAdvice struct {
	error
	advice string
}

// Unwrap gives what is wrong.
func (f faultWithAdvice) Unwrap() error { return f.error }

// needs names the examination without which another is not looked at: it would fail for the same reason.
var needs = map[string]string{"series": "redis", "model": "onnx runtime"}

func diagnose(ctx context.Context, out io.Writer, path string) error {
	cfg, err := readConfig(path)
	if err == nil {
		err = cfg.checkSecrets()
	}
	if err != nil {
		fmt.Fprintf(out, "%-14s FAIL  %s\n", "configuration", indent(err.Error()))
		return errors.New("1 check failed")
	}
	fmt.Fprintf(out, "%-14s ok    %s\n", "configuration", or(path, "environment and defaults"))
	failed, ill := 0, map[string]bool{}
	for _, e := range examinations(cfg) {
		if ill[needs[e.name]] {
			fmt.Fprintf(out, "%-14s -     not looked at: it needs %s\n", e.name, needs[e.name])
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, time.Minute)
		finding, err := e.look(bounded)
		cancel()
		if err != nil {
			failed, ill[e.name] = failed+1, true
			var own faultWithAdvice
			if errors.As(err, &own) {
				e.advice = own.advice
			}
			fmt.Fprintf(out, "%-14s FAIL  %s\n%-20s → %s\n", e.name, indent(err.Error()), "", e.advice)
			continue
		}
		fmt.Fprintf(out, "%-14s ok    %s\n", e.name, indent(finding))
	}
	if failed > 0 {
		return fmt.Errorf("%s failed", news.Counted(failed, "check"))
	}
	return nil
}

func indent(s string) string { return strings.ReplaceAll(s, "\n", "\n"+strings.Repeat(" ", 21)) }

func examinations(cfg config) []examination {
	parts, _ := parseStages(cfg.Stages) // readConfig has checked them
	list := []examination{
		{"kafka", func(ctx context.Context) (string, error) { return lookAtKafka(ctx, cfg.Kafka, parts.classify) },
			"see that kafka.brokers names them, that they are reachable from here, and that kafka.tls and kafka.sasl are what they expect"},
		{"redis", func(ctx context.Context) (string, error) { return lookAtRedis(ctx, cfg.Redis) },
			"see that redis.addresses are reachable from here, and its username, password and tls are right"},
	}
	if parts.trend {
		list = append(list, examination{"series", func(ctx context.Context) (string, error) { return lookAtSeries(ctx, cfg) },
			"the Redis user needs SCAN, MEMORY USAGE and PFCOUNT beside what the monitor needs; see docs/operation.md"})
	}
	if parts.trend && cfg.Trend.Market != "" {
		list = append(list, examination{"market", func(context.Context) (string, error) { return lookAtMarket(cfg.Trend.Market, time.Now()) },
			"take a newer version of Barograph, whose table of holidays goes on; trend.market: \"\" goes by UTC instead"})
	}
	list = append(list, examination{"console", func(ctx context.Context) (string, error) { return lookAtConsole(ctx, cfg.Console) },
		"`openssl rand -hex 24` makes a token, env:NAME or file:PATH hands it over; docs/console.md, “Who may see it”"})
	if !parts.classify {
		return append(list, alertExaminations(cfg)...)
	}
	there, missing := foldersOf(cfg.Classify.Bundles)
	list = append(list, []examination{
		{"watch list", func(context.Context) (string, error) {
			_, err := readWatchList(cfg.WatchList)
			return or(cfg.WatchList, "none: companies come from items and cashtags only"), err
		}, "mend the file, or leave watch_list out"},
		{"onnx runtime", func(context.Context) (string, error) { return lookAtRuntime(cfg.Classify) },
			"run `make build`, or point BAROGRAPH_ONNXRUNTIME at libonnxruntime.so, version 1.24 or later; for CUDA see docs/operation.md"},
		{"bundles", func(context.Context) (string, error) {
			if len(cfg.Classify.Bundles) == 0 {
				return "", errors.New("none: classify.bundles is empty")
			}
			if len(missing) > 0 {
				return "", fmt.Errorf("no folder %s", strings.Join(missing, ", "))
			}
			return strings.Join(there, ", "), nil
		}, "name the folders of bundles in classify.bundles; relative paths, also those of the defaults, are relative to the configuration file"},
	}...)
	for _, dir := range there {
		list = append(list, examination{"model", func(context.Context) (string, error) { return lookAtModel(cfg.Classify, dir) },
			"see that classify.bundles names the bundle's folder and classify.bases the folder of base models (`make build` makes .deps/bases)"})
	}
	return append(list, alertExaminations(cfg)...)
}

// foldersOf parts the folders that are there from those that are not.
func foldersOf(dirs []string) (there, missing []string) {
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			there = append(there, dir)
		} else {
			missing = append(missing, dir)
		}
	}
	return there, missing
}

func alertExaminations(cfg config) (list []examination) {
	if parts, _ := parseStages(cfg.Stages); !parts.decides() {
		return nil
	}
	if cfg.Alert.Slack != nil {
		list = append(list, examination{"slack", func(ctx context.Context) (string, error) { return lookAtSlack(ctx, cfg.Alert.Slack) },
			"the token begins with xoxb- and its app has the scope chat:write, the app token with xapp-; see docs/alerts.md"})
	}
	if cfg.Alert.Email != nil {
		list = append(list, examination{"email", func(ctx context.Context) (string, error) { return lookAtEmail(ctx, *cfg.Alert.Email) },
			"see that alert.email's host, port, tls, username and password are what the mail server expects"})
	}
	if cfg.Alert.Alertmanager != nil {
		list = append(list, examination{"alertmanager", func(ctx context.Context) (string, error) { return lookAtAlertmanager(ctx, *cfg.Alert.Alertmanager) },
			"see that alert.alertmanager.urls are reachable from here, and its username, password or token are right"})
	}
	return append(list, examination{"routes", func(context.Context) (string, error) { return lookAtRoutes(cfg) },
		"mend alert.routes: each names slack with a channel, or another sink by its name; see docs/alerts.md"})
}

// lookAtKafka looks at all topics that the monitor reads or writes. Only one that classifies
// needs topics with items.
func lookAtKafka(ctx context.Context, c kafkaConfig, classifies bool) (string, error) {
	client, err := broker.New(c.Config)
	if err != nil {
		return "", err
	}
	defer client.Close()
	cluster, err := client.Ping(ctx)
	if err != nil {
		return "", err
	}
	if classifies && len(c.Topics) == 0 {
		return "", faultWithAdvice{errors.New("kafka.topics is empty"), "name at least one topic with news or comments"}
	}
	var found, missing []string
	for _, topic := range append(topicNames(c.Topics), c.Readings, c.Alerts, c.Labels, c.DeadLetters) {
		if topic == "" { // alerts that go to no topic
			continue
		}
		if n := cluster.Topics[topic]; n > 0 {
			found = append(found, fmt.Sprintf("%s (%s)", topic, news.Counted(n, "partition")))
		} else {
			missing = append(missing, topic)
		}
	}
	finding := fmt.Sprintf("%s; topics %s; group %s", news.Counted(len(cluster.Brokers), "broker"), or(strings.Join(found, ", "), "none yet"), c.Group)
	if len(missing) > 0 && !c.CreateTopics {
		return "", faultWithAdvice{fmt.Errorf("topics %s do not exist, and create_topics is false", strings.Join(missing, ", ")),
			"make them, or set kafka.create_topics: true"}
	}
	if len(missing) > 0 {
		finding += "\nwill create " + strings.Join(missing, ", ")
	}
	most := 0
	for _, topic := range topicNames(c.Topics) {
		most = max(most, cluster.Topics[topic])
	}
	if classifies && most > 0 {
		finding += fmt.Sprintf("\n%s of the group can read at once, as many as a topic has partitions", news.Counted(most, "replica"))
	}
	return finding, nil
}

func lookAtRedis(ctx context.Context, c redisConfig) (string, error) {
	client, err := openRedis(c)
	if err != nil {
		return "", err
	}
	defer client.Close()
	info, err := client.Info(ctx, "server", "memory").Result()
	if err != nil {
		return "", err
	}
	value := func(key string) string {
		_, rest, _ := strings.Cut(info, key+":")
		line, _, _ := strings.Cut(rest, "\r\n")
		return line
	}
	used, err := usedMemory(ctx, client)
	if err != nil {
		return "", err
	}
	finding := fmt.Sprintf("version %s, %s in use", value("redis_version"), sized(used))
	if policy := value("maxmemory_policy"); policy != "noeviction" && policy != "" {
		finding += fmt.Sprintf("\nmaxmemory-policy is %s: under pressure it drops counts and alerts; use noeviction", policy)
	}
	if mode := value("redis_mode"); mode == "cluster" && !c.Cluster && len(c.Addresses) == 1 {
		return "", faultWithAdvice{errors.New("it is a Redis Cluster"), "set redis.cluster: true"}
	}
	if _, ok := client.(*redis.ClusterClient); ok {
		finding += "; all masters of the cluster answer"
	}
	return finding, nil
}

func lookAtRuntime(c classifyConfig) (string, error) {
	library, err := onnx.Find()
	if err != nil {
		return "", err
	}
	runtime, err := onnx.Open(library)
	if err != nil {
		return "", err
	}
	defer runtime.Close()
	var device onnx.Device
	if err := device.UnmarshalText([]byte(c.Device)); err != nil {
		return "", err
	}
	resolved, err := runtime.Resolve(device, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("version %s on %s, from %s", runtime.Version(), resolved, library), nil
}

// lookAtModel opens the bundle as the monitor would, which also tries it out on a text, but for
// calibrating it: that would take a while and keep its result.
func lookAtModel(c classifyConfig, dir string) (string, error) {
	config, err := modelConfig(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return "", err
	}
	asConfigured := config
	config.Calibrate = false
	model, err := classify.OpenModel(dir, config)
	if err != nil {
		return "", err
	}
	defer model.Close()
	b := model.Bundle
	setting, measured, err := model.Calibration(asConfigured)
	how := "calibrated here"
	switch {
	case err != nil:
		how = fmt.Sprintf("the next start calibrates again: %v", err)
	case !c.Calibrate:
		how = "not calibrated: classify.calibrate is off"
	case !measured:
		how = "until the first start here has calibrated, which takes some seconds"
	}
	return fmt.Sprintf("%s: %s %s, digest %.12s, %s on %s\n%s (%s)", dir, b.Name, b.Version, b.Digest, model.Precision, model.Device, setting, how), nil
}

func lookAtSlack(ctx context.Context, c *slackConfig) (string, error) {
	sink, err := alert.NewSlack(c.SlackConfig)
	if err != nil {
		return "", err
	}
	team, user, err := sink.Verify(ctx)
	if err != nil {
		return "", err
	}
	finding := plain.Line(fmt.Sprintf("%s in the workspace %s", user, team), 200)
	if c.AppToken == "" {
		return finding + "\nno app_token: messages have no buttons, and /barograph does not answer", nil
	}
	if err := sink.VerifyButtons(ctx); err != nil {
		return "", err
	}
	return finding + "; buttons work", nil
}

func lookAtEmail(ctx context.Context, c alert.EmailConfig) (string, error) {
	sink, err := alert.NewEmail(c)
	if err != nil {
		return "", err
	}
	return plain.Line(c.Host+" takes mail from "+c.From, 200), sink.Verify(ctx)
}

func lookAtAlertmanager(ctx context.Context, c alert.AlertmanagerConfig) (string, error) {
	sink, err := alert.NewAlertmanager(c)
	if err != nil {
		return "", err
	}
	return sink.Verify(ctx)
}

// lookAtRoutes checks sinks and routes as the monitor would.
func lookAtRoutes(cfg config) (string, error) {
	var topic *kafka.Writer
	if cfg.Kafka.Alerts != "" {
		topic = &kafka.Writer{}
	}
	sinks, routes, err := sinksOf(cfg.Alert, cfg.Console.PublicURL, topic, nil)
	if err != nil {
		return "", err
	}
	if _, err := alert.New(alert.Config{Redis: redis.NewClient(&redis.Options{}), Sinks: sinks, Routes: routes}); err != nil {
		return "", err
	}
	own := len(cfg.Alert.ownRoutes())
	if own == 0 {
		return "none: alerts go to the alerts topic only", nil
	}
	delete(sinks, "kafka")
	return news.Counted(own, "route") + " to " + news.Counted(len(sinks), "sink"), nil
}
