package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/rivo/uniseg"

	"github.com/barograph/barograph/alert"
	"github.com/barograph/barograph/internal/slackfake"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// deceits are what a stranger may write to do more than be read.
var deceits = []string{
	"<script>alert(1)</script>", "<!channel> <!here|all>", "<http://evil.example|bank.com>", "<@U0LEE> *bold* `code`", "&lt;!everyone&gt;",
	"\u202egnp.exe\u202c\u2066x\u2069", "in\u200bvis\ufeffi\u00adble", "\x1b[31mred\x1b[0m\x1b]0;title\a\x1b]8;;http://evil.example\x1b\\", "\u009b2J\r\b\b\x00",
	strings.Repeat("Überlänge ", 1100),
}

var deceitfulLinks = []string{"javascript:alert(1)", "https://wire.example/?a=<!channel>|x&b=\"><script>", "https://bank.com@evil.example/", "https://\u202eevil.example/", "data:text/html,<script>"}

// hostileNews is the demo's bad news about a company, each text with some of the deceits.
func hostileNews(t *testing.T, company string) []news.Item {
	t.Helper()
	items, err := parseItems(demoBurst)
	if err != nil {
		t.Fatal(err)
	}
	for i := range items {
		items[i].ID, items[i].Entities = fmt.Sprintf("%s %d %s", company, i, deceits[i%5]), []string{company}
		items[i].Source = deceits[i%7] // ingest refuses control characters and much text in it
		items[i].Title += " " + deceits[i%len(deceits)] + " " + deceits[(i+3)%len(deceits)] + " " + deceits[(i+7)%len(deceits)]
		items[i].URL = deceitfulLinks[i%len(deceitfulLinks)]
		items[i].PublishedAt = time.Now().Add(-time.Duration(i) * 20 * time.Second)
	}
	return items
}

// From Kafka to what people see: texts that mean to do more than be read are shown as what they
// say in Slack's messages, threads and digest, and on the terminal. (The pages are held against
// such texts by TestConsoleInABrowser, a report by TestReportPage.)
func TestHostileTextsInSlackAndOnTheTerminal(t *testing.T) {
	server, store, chat := testenv.StartKafka(t), testenv.StartRedis(t), slackfake.Start(t)
	t.Setenv("SLACK_TOKEN", slackfake.Token)
	t.Setenv("SLACK_APP_TOKEN", slackfake.AppToken)
	const channel = "C0001ALERTS"
	cfg, err := readConfig(writeConfig(t, fmt.Sprintf(`
kafka: {brokers: ['%s'], start: earliest, topics: [{name: news, kind: news}]}
redis: {addresses: ['%s']}
trend: {surprise: 3, warm_up: -1s}
console: {listen: '127.0.0.1:0', public_url: 'http://barograph.example'}
alert: {digest_from: 1, slack: {token: env:SLACK_TOKEN, app_token: env:SLACK_APP_TOKEN, api_url: '%s', channel: '#alerts'}}
`, server.Addr, store.Addr, chat.URL)))
	if err != nil {
		t.Fatal(err)
	}
	screen, log := &logBuffer{up: make(chan string, 1)}, &logBuffer{up: make(chan string, 1)}
	m, err := newMonitor(cfg, parts{sinks: map[string]alert.Sink{"terminal": alert.NewTerminal(screen)}}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.run(ctx) }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the terminal shows\n%q\nthe log\n%s", screen, log)
		}
	})

	companies := []string{"<!channel> ACME\u202e\u200b", "<http://evil.example|BANK>"}
	client := openBroker(t, server.Addr)
	for i, company := range companies {
		produce(t, client, "news", encodeItems(t, hostileNews(t, company)...)...)
		chat.Wait(t, 2*time.Minute, "a message for each company, the second in a digest", func() bool {
			return len(chat.Messages(channel)) > i
		})
	}
	told := chat.Messages(channel)[0]
	chat.Wait(t, time.Minute, "the thread with a chart", func() bool { return len(chat.Thread(channel, told.TS)) >= 2 })
	eventually(t, time.Minute, "both on the terminal", func() bool {
		return strings.Contains(screen.String(), "ACME") && strings.Contains(screen.String(), "BANK")
	})
	consume(t, client, "barograph.readings").until(t, 2*time.Minute, "a reading of each text", atLeast(2*len(hostileNews(t, ""))))
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "dead letter") {
		t.Error("some texts were refused")
	}

	messages := append(chat.Messages(channel), chat.Thread(channel, told.TS)...)
	said := ""
	for _, message := range messages {
		said += harmlessInSlack(t, message)
	}
	for _, want := range []string{"<!channel> ", "ACME", "<http://evil.example|BANK>", "further alert"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not shown in Slack:\n%s", want, said)
		}
	}
	if !slices.ContainsFunc(deceits, func(d string) bool { return strings.HasPrefix(d, "<") && strings.Contains(said, " "+d) }) {
		t.Errorf("no text is shown as it is:\n%s", said)
	}
	harmlessOnTerminal(t, screen.String(), 80)
	if !strings.Contains(screen.String(), "<!channel> ") {
		t.Error("the terminal does not show the company's name as it is")
	}
	harmlessOnTerminal(t, log.String(), 1<<20)
}

// mayDeceive are what makes a text read as what it is not, and what steers a terminal.
func mayDeceive(r rune) bool {
	return unicode.IsControl(r) && r != '\n' || unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d'
}

// slackMarkup is what Slack's mrkdwn acts on.
var slackMarkup = regexp.MustCompile(`<[^>]*>`)

// ourMarkup is what Barograph itself writes.
var ourMarkup = regexp.MustCompile(`^<!date\^\d+\^[^|<>]*\|[0-9-]+ [0-9:]+ UTC>$`)

// harmlessInSlack holds a message against what Slack would do with it, and gives all its words.
func harmlessInSlack(t *testing.T, m slackfake.Message) (said string) {
	t.Helper()
	see := func(where, s string) {
		if strings.ContainsFunc(s, mayDeceive) || len([]rune(s)) > 1100 {
			t.Errorf("%s: %.300q", where, s)
		}
		said += s + "\n"
	}
	parsed := func(where, s string) {
		see(where, s)
		for _, tag := range slackMarkup.FindAllString(s, -1) {
			if !ourMarkup.MatchString(tag) {
				t.Errorf("%s: Slack takes %q for markup in %.300q", where, tag, s)
			}
		}
	}
	parsed("the notification", m.Text)
	for _, f := range m.Files {
		see("a file's name", f.Name)
		see("a file's title", f.Title)
		see("a file's description", f.AltText)
	}
	var walk func(node any)
	walk = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, child := range node {
				walk(child)
			}
		case map[string]any:
			kind, _ := node["type"].(string)
			text, _ := node["text"].(string)
			switch kind {
			case "mrkdwn":
				parsed("mrkdwn", text)
			case "plain_text", "text", "link":
				see(kind, text)
			case "user", "usergroup", "broadcast", "channel":
				t.Errorf("the message calls people: %v", node)
			}
			if address, is := node["url"].(string); is {
				u, err := url.Parse(address)
				if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.ContainsFunc(address, mayDeceive) ||
					u.Host != "wire.example" && u.Host != "barograph.example" {
					t.Errorf("a link to %q", address)
				}
			}
			for _, child := range node {
				walk(child)
			}
		}
	}
	var blocks any
	if len(m.BlocksJSON) > 0 {
		if err := json.Unmarshal(m.BlocksJSON, &blocks); err != nil {
			t.Fatal(err)
		}
	}
	walk(blocks)
	return said
}

func harmlessOnTerminal(t *testing.T, text string, columns int) {
	t.Helper()
	if at := strings.IndexFunc(text, mayDeceive); at >= 0 {
		t.Errorf("it lets through %.100q", text[max(0, at-30):])
	}
	for line := range strings.Lines(text) {
		if width := uniseg.StringWidth(strings.TrimRight(line, "\n")); width > columns {
			t.Errorf("a line of %d columns: %.200s", width, line)
		}
	}
}
