package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/slackfake"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// From news on Kafka to a message in Slack with its texts and a chart, and from a press on
// "wrong" to a label on its topic, with the text that the model read.
func TestWorkInSlack(t *testing.T) {
	server, store, chat := testenv.StartKafka(t), testenv.StartRedis(t), slackfake.Start(t)
	t.Setenv("SLACK_TOKEN", slackfake.Token)
	t.Setenv("SLACK_APP_TOKEN", slackfake.AppToken)
	const channel = "C0001ALERTS"
	config := writeConfig(t, fmt.Sprintf(`
kafka: {brokers: ['%s'], start: earliest, topics: [{name: news, kind: news}]}
redis: {addresses: ['%s']}
trend: {warm_up: -1s}
alert: {slack: {token: env:SLACK_TOKEN, app_token: env:SLACK_APP_TOKEN, api_url: '%s', channel: '#alerts'}}
`, server.Addr, store.Addr, chat.URL))
	server.CreateTopic("news", 1)
	client := openBroker(t, server.Addr)
	items := burst(t)
	produce(t, client, "news", encodeItems(t, items...)...)
	monitor := start(t, "monitor", config)

	about := func() (m slackfake.Message, found bool) {
		for _, m := range chat.Messages(channel) {
			if strings.Contains(m.Text, "ACME") {
				return m, true
			}
		}
		return m, false
	}
	var thread []slackfake.Message
	chat.Wait(t, 2*time.Minute, "an alert about ACME with texts and a chart", func() bool {
		m, found := about()
		thread = chat.Thread(channel, m.TS)
		return found && len(thread) >= 2
	})
	message, _ := about()
	files := thread[1].Files
	if len(files) != 1 {
		t.Fatalf("files %+v", files)
	}
	if size, err := png.DecodeConfig(bytes.NewReader(files[0].Content)); err != nil || size.Width < chartWidth*9/10 || size.Height < chartHeight*9/10 {
		t.Errorf("the chart is %d × %d, %v", size.Width, size.Height, err)
	}

	chat.Press(t, message, "barograph-alert", "barograph-acknowledge", slackfake.Who{})
	chat.Press(t, thread[0], "barograph-text-1", "barograph-wrong-neutral", slackfake.Who{User: "U0LEE"})
	chat.Wait(t, time.Minute, "who acknowledged, and thanks", func() bool {
		m, _ := about()
		thread = chat.Thread(channel, message.TS)
		return strings.Contains(string(m.BlocksJSON), "Acknowledged by") && strings.Contains(string(thread[0].BlocksJSON), "Thanks, ")
	})
	eventually(t, time.Minute, "the labels topic is known", func() bool {
		cluster, err := client.Ping(t.Context())
		return err == nil && cluster.Topics["barograph.labels"] > 0
	})
	var label news.Label
	consume(t, client, "barograph.labels").until(t, time.Minute, "a label", func(all []kafka.Message) bool {
		return len(all) == 1 && json.Unmarshal(all[0].Value, &label) == nil
	})
	text := ""
	for _, item := range items {
		if item.ID == label.ID {
			text = item.Content()
		}
	}
	if label.Author != "slack:U0LEE" || label.Label != "neutral" || label.Was != "negative" || label.Text == "" || label.Text != text {
		t.Errorf("label %+v, of the text %q", label, text)
	}

	chat.Command(t, "/barograph", "acme", slackfake.Who{})
	chat.Wait(t, time.Minute, "an answer", func() bool { return len(chat.Said()) > 0 })
	if said := string(chat.Said()[0].Raw); !strings.Contains(said, `"ACME"`) || !strings.Contains(said, "ACME: ") || !strings.Contains(said, "█") {
		t.Errorf("said %s", said)
	}
	monitor.stop(t)
	expectOneAlertOnTopic(t, client)
}
