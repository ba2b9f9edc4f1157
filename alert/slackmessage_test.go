package alert

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"github.com/barograph/barograph/internal/slackfake"
	"github.com/barograph/barograph/news"
)

var update = flag.Bool("update", false, "write the golden files anew: look at the difference before you commit it")

// golden compares with testdata/NAME.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test ./alert -update writes it anew). Got:\n%s", path, got)
	}
}

// moments are the messages of golden files, from a first warning to hostile texts.
func moments() map[string]Delivery {
	firing := opened(burst(appleLawsuit, noon, 31, 4.2), 6).Alert
	worse := extended(opened(burst(appleLawsuit, noon, 31, 4.2), 6), burst(appleLawsuit, noon.Add(10*time.Minute), 64, 9), 6).Alert
	over := worse
	end := noon.Add(100 * time.Minute)
	over.Status, over.ResolvedAt = news.Resolved, &end
	good, more := burst(appleLawsuit, noon, 31, 4.2), burst(appleLawsuit, noon, 31, 4.2)
	good.Kind, good.Window.Positive, good.Window.Negative = news.SpikePositive, 28, 0
	good.Evidence = []news.Evidence{{ID: "g", Title: "Apple wins its lawsuit", URL: "https://example.com/g", Negative: .01, Positive: .98}}
	more.Kind, more.Window.Negative, more.Window.Items = news.SpikeVolume, 0, 40
	return map[string]Delivery{
		"positive":  {Alert: opened(good, 6).Alert, Action: Fire, Revision: 1},
		"volume":    {Alert: opened(more, 6).Alert, Action: Fire, Revision: 1},
		"firing":    {Alert: firing, Action: Fire, Revision: 1, Console: "https://barograph.example"},
		"escalated": {Alert: worse, Action: Escalate, Revision: 2},
		"resolved":  {Alert: over, Action: Resolve, Revision: 3},
		"hostile":   {Alert: hostile(), Action: Fire, Revision: 1},
		"bare":      {Alert: opened(news.Spike{At: noon, StartedAt: noon}, 6).Alert, Action: Fire, Revision: 1},
	}
}

// hostile is an alert whose every word comes from someone who wants harm.
func hostile() news.Alert {
	s := burst(news.Series{Entity: "<!channel>*AAPL*", Topic: "`rm -rf`\u202e_x_ :warning: " + strings.Repeat("T", 5000)}, noon, 31, 7)
	s.Evidence = []news.Evidence{
		{ID: "1", Title: "<!here> <http://evil.example|Apple> & <@U0001> *bold* `code` \x1b[31mred\x1b]0;pwned\x07", URL: "javascript:alert(1)", Source: "<!channel> [x](http://evil.example) \u202e", Negative: .99},
		{ID: "2", Title: "\u202eelppA\u202c \u200b\u2066 evil\u2069\ufeff\nsecond line " + strings.Repeat("10kB ", 2000), URL: "https://apple.com@evil.example/", Negative: .98},
		{ID: "3", Title: "\xff\xfe\x00 cut \xe4\xb8 off", URL: "http://ok.example/a|b>c<d", Negative: .97},
	}
	s.Model = news.Model{Name: "<!channel>\x1b[2J", Version: strings.Repeat("9", 500)}
	a := opened(s, 6).Alert
	a.Reason = "<!everyone> " + a.Reason
	return a
}

func TestSlackMessages(t *testing.T) {
	for name, d := range moments() {
		t.Run(name, func(t *testing.T) {
			blocks, text := slackMessage(d, false)
			goldenBlocks(t, "slack-"+name+".json", blocks, text)
		})
	}
}

func goldenBlocks(t *testing.T, name string, blocks []slack.Block, text string) {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(map[string]any{"text": text, "blocks": blocks}); err != nil {
		t.Fatal(err)
	}
	golden(t, name, buf.Bytes())
}

// What the message and its thread show to people who can press buttons, and after they did.
func TestSlackMessagesWithButtons(t *testing.T) {
	fresh := moments()["firing"]
	worked := fresh
	worked.Alert.Notes = []news.Note{
		{At: noon, By: "slack:U0KIM", Did: news.Acknowledged},
		{At: noon, By: "console:<b>jane*", Did: news.Muted, Until: noon.Add(time.Hour)},
		{At: noon, By: "slack:U0LEE", Did: news.Muted},
		{At: noon, By: "slack:U0KIM", Did: news.Corrected, Item: "a", Task: news.TaskSentiment, Label: "neutral"},
		{At: noon, By: "slack:U0LEE", Did: news.Corrected, Item: "a", Task: news.TaskEntity, Label: news.NotAbout},
	}
	for name, d := range map[string]Delivery{"buttons": fresh, "worked": worked} {
		blocks, text := slackMessage(d, true)
		goldenBlocks(t, "slack-"+name+".json", blocks, text)
		blocks, text = slackEvidence(d.Alert, true)
		goldenBlocks(t, "slack-"+name+"-thread.json", blocks, text)
	}
	hostile := Delivery{Alert: hostile(), Revision: 1}
	blocks, text := slackEvidence(hostile.Alert, true)
	goldenBlocks(t, "slack-hostile-thread.json", blocks, text)
}

func TestSlackPicture(t *testing.T) {
	day := make([]int, 24)
	for i := range day {
		day[i] = i * i
	}
	p := Picture{Series: apple, Length: 30 * time.Minute, Items: 12, Count: 9, Expected: 1.2, ShareBefore: .13, Surprise: 4.3,
		DayItems: day, DayCounts: append(make([]int, 22), 3, 9)}
	open := []news.Alert{opened(burst(appleLawsuit, noon, 9, 4), 6).Alert, opened(burst(tesla, noon, 9, 4), 6).Alert}
	blocks, text := slackPicture(p, open)
	goldenBlocks(t, "slack-picture.json", blocks, text)
	blocks, text = slackPicture(Picture{Series: lawsuit, ShareBefore: .2, DayItems: make([]int, 24), DayCounts: make([]int, 24)}, nil)
	goldenBlocks(t, "slack-picture-calm.json", blocks, text)
	if _, text = slackPicture(Picture{Series: lawsuit, ShareBefore: .2, TooFew: true}, nil); !strings.Contains(text, "Too few to tell") {
		t.Errorf("of too few texts it says %q", text)
	}
}

// What Slack parses as mrkdwn holds nothing of the stream's unescaped, and all is within
// Slack's limits: the fake refuses it otherwise.
func TestHostileTextsInSlack(t *testing.T) {
	fake := slackfake.Start(t)
	sink := newSlack(t, fake, &watch{t: time.Now()})
	if _, err := sink.Deliver(t.Context(), Delivery{Alert: hostile(), Action: Fire, Revision: 1, Channel: alertsChannel}); err != nil {
		t.Fatal(err)
	}
	m := fake.Messages(alertsChannel)[0]
	if strings.ContainsAny(m.Text, "<>") {
		t.Errorf("the text has markup: %q", m.Text)
	}
	for _, b := range m.Blocks {
		section, is := b.(*slack.SectionBlock)
		if !is {
			continue
		}
		for _, f := range section.Fields {
			if rest := strings.ReplaceAll(f.Text, "<!date^", ""); strings.Contains(rest, "<") {
				t.Errorf("a parsed field has markup: %q", f.Text)
			}
		}
	}
	if n := strings.Count(string(m.BlocksJSON), `"type":"link"`); n != 1 || !strings.Contains(string(m.BlocksJSON), `"http://ok.example/a%7Cb%3Ec%3Cd"`) {
		t.Errorf("%d links, want only the one to ok.example: %s", n, m.BlocksJSON)
	}
	for _, r := range "\x00\x1b\x07\u202e\u2066\u200b\ufeff" {
		if strings.ContainsRune(string(m.BlocksJSON)+m.Text, r) {
			t.Errorf("%U got through", r)
		}
	}
}

// Stronger texts took the place of the one that was corrected: whoever pressed still sees that
// it was heard.
func TestThanksStayWhenTheTextIsNoLongerShown(t *testing.T) {
	a := news.Alert{ID: "x", Series: news.Series{Entity: "ACME"}, Evidence: []news.Evidence{{ID: "new", Title: "Acme sued", Negative: .99}},
		Notes: []news.Note{{By: "slack:U0LEE", Did: news.Corrected, Item: "old", Task: news.TaskSentiment, Label: "neutral"}}}
	blocks, _ := slackEvidence(a, true)
	raw, err := json.Marshal(blocks[len(blocks)-1])
	if err != nil || !strings.Contains(string(raw), `Thanks, \u003c@U0LEE\u003e: it is neutral. (A text that was shown before.)`) {
		t.Errorf("the last block is %s, %v", raw, err)
	}
	a.Notes[0].Item = "new"
	blocks, _ = slackEvidence(a, true)
	if raw, err = json.Marshal(blocks); err != nil || strings.Contains(string(raw), "shown before") {
		t.Errorf("%s, %v", raw, err)
	}
}
