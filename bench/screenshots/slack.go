package main

import (
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/barograph/barograph/internal/slackfake"
)

// chat is the Slack that the demo talks to: a fake one, which keeps what it is sent.
type chat struct {
	*slackfake.Server
	web *httptest.Server
}

const channel = "C0001ALERTS"

func startChat() *chat {
	server := slackfake.New()
	c := &chat{Server: server, web: httptest.NewServer(server)}
	server.URL = c.web.URL
	return c
}

// environment makes the demo post to the chat.
func (c *chat) environment() []string {
	return append(os.Environ(), "SLACK_TOKEN="+slackfake.Token, "SLACK_APP_TOKEN="+slackfake.AppToken, "SLACK_CHANNEL="+channel, "SLACK_API_URL="+c.URL)
}

//go:embed slack.html
var slackPage []byte

// shown is a message as slack.html draws it.
type shown struct {
	Blocks json.RawMessage `json:"blocks"`
	Text   string          `json:"text"`
	Time   string          `json:"time"`
	Thread bool            `json:"thread"`
	Files  []string        `json:"files"` // data URLs
}

// picture draws the first alert with its thread, once that has its texts and its chart, and
// returns a PNG.
func (c *chat) picture(tab context.Context) ([]byte, error) {
	var posted []slackfake.Message
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		posted = c.Messages(channel)
		if len(posted) > 0 && len(c.Thread(channel, posted[0].TS)) >= 2 {
			break
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("of %d messages the first has no thread", len(posted))
		}
	}
	var messages []shown
	files := map[string]string{}
	for i, m := range append(posted[:1:1], c.Thread(channel, posted[0].TS)...) {
		s := shown{Blocks: m.BlocksJSON, Text: m.Text, Time: "now", Thread: i > 0}
		for _, f := range m.Files {
			url := "data:image/png;base64," + base64.StdEncoding.EncodeToString(f.Content)
			files[f.ID] = url
			if len(m.Blocks) == 0 {
				s.Files = append(s.Files, url)
			}
		}
		messages = append(messages, s)
	}
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(slackPage)
	}))
	defer page.Close()
	arguments, err := json.Marshal([]any{messages, files})
	if err != nil {
		return nil, err
	}
	err = chromedp.Do(tab, chromedp.EmulateViewport(780, 400), chromedp.Navigate(page.URL),
		chromedp.Evaluate[chromedp.Void]("show(..."+string(arguments)+")"),
		discard(chromedp.Poll[bool]("document.body.dataset.ready === 'yes' && [...document.images].every(i => i.complete)", patient)))
	if err != nil {
		return nil, err
	}
	height, err := chromedp.Run(tab, chromedp.Evaluate[int64]("document.body.offsetHeight + 40"))
	if err != nil {
		return nil, err
	}
	if err := chromedp.Do(tab, chromedp.EmulateViewport(780, height)); err != nil {
		return nil, err
	}
	return chromedp.Run(tab, chromedp.CaptureScreenshot())
}
