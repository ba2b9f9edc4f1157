package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// browser is a tab of a headless Chromium. What its console complains of fails the test.
type browser struct {
	t    *testing.T
	ctx  context.Context
	base string
}

func openBrowser(t *testing.T, base string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("there is no chromium: make deps installs it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("window-size", "1200,900"), chromedp.Flag("lang", "en-GB"))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	messages := chromedp.Console(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.IsException() || m.Type == "error" || m.Type == "warning" {
				t.Errorf("the browser complains: %s (%s)", m, m.URL)
			}
		}
	})
	t.Cleanup(func() { cancel(); watching.Wait() })
	return &browser{t: t, ctx: ctx, base: base}
}

// patience is how long a page may take over anything.
const patience = 30 * time.Second

// do runs actions.
func (b *browser) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v\nThe page:\n%s", what, err, b.text())
	}
}

func (b *browser) open(path string) {
	b.t.Helper()
	b.do("opening "+path, chromedp.Navigate(b.base+path))
}

// wait waits until a JavaScript expression holds, also over the opening of another page.
func (b *browser) wait(what, expression string) {
	b.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		ctx, cancel := context.WithDeadline(b.ctx, deadline)
		held, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		cancel()
		if held {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("waiting for %s: it does not hold (%v)\nThe page:\n%s", what, err, b.text())
		}
	}
}

// text is what a person sees of the page.
func (b *browser) text() string { return eval[string](b, "document.body?.innerText ?? ''") }

// eval gives the value of a JavaScript expression.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// click presses the first element that a selector and a text fit.
func (b *browser) click(selector, text string) {
	b.t.Helper()
	found := fmt.Sprintf("[...document.querySelectorAll(%q)].find((e) => e.textContent.includes(%q))", selector, text)
	b.wait(fmt.Sprintf("%s %q", selector, text), "!!("+found+")")
	b.do("pressing "+text, chromedp.Evaluate[chromedp.Void](found+".click()"))
}

// boeingNews is the demo's bad news about Boeing, over the last half hour.
func boeingNews(t *testing.T) []news.Item {
	t.Helper()
	items, err := parseItems(demoBurst)
	if err != nil {
		t.Fatal(err)
	}
	for i := range items {
		items[i].ID = fmt.Sprint("boeing-", i)
		items[i].Entities = []string{"BA"}
		items[i].PublishedAt = time.Now().Add(-25*time.Minute + time.Duration(i)*time.Minute)
	}
	return items
}

// TestConsoleInABrowser is an analyst's quarter of an hour: see the alert, look at the
// series, read the texts behind a stretch, mute, correct, and see it all without a reload.
func TestConsoleInABrowser(t *testing.T) {
	server, store := testenv.StartKafka(t), testenv.StartRedis(t)
	monitor := start(t, "monitor", writeConfig(t, fmt.Sprintf(`
kafka: {brokers: ['%s'], start: earliest, topics: [{name: news, kind: news}]}
redis: {addresses: ['%s']}
trend: {surprise: 3, warm_up: -1s}
`, server.Addr, store.Addr)))
	client := openBroker(t, server.Addr)
	eventually(t, time.Minute, "the topics are there", func() bool {
		cluster, err := client.Ping(t.Context())
		return err == nil && cluster.Topics["news"] > 0 && cluster.Topics["barograph.labels"] > 0
	})
	b := openBrowser(t, "http://"+monitor.address)

	b.open("/")
	b.wait("a calm page", "document.querySelector('h1')?.textContent === 'Nothing is firing'")
	eval[bool](b, "window.sameMoment = true")
	produce(t, client, "news", encodeItems(t, boeingNews(t)...)...)
	b.wait("the alert, without a reload", "[...document.querySelectorAll('article.alert h3')].some((e) => e.textContent === 'BA') && window.sameMoment")
	b.wait("the series under pressure", "[...document.querySelectorAll('td.name a')].some((e) => e.textContent === 'BA')")
	b.wait("a connection", "document.querySelector('.state')?.textContent === 'live'")

	t.Run("series", func(t *testing.T) { b.t = t; seriesInABrowser(b) })
	t.Run("alert", func(t *testing.T) { b.t = t; alertInABrowser(b, monitor) })
	t.Run("correction", func(t *testing.T) { b.t = t; correctionInABrowser(b, consume(t, client, "barograph.labels")) })
	t.Run("hostile texts", func(t *testing.T) {
		b.t = t
		produce(t, client, "news", encodeItems(t, hostileItems()...)...)
		hostileInABrowser(b)
	})
	t.Run("languages, themes and widths", func(t *testing.T) { b.t = t; looksInABrowser(b) })
}

func seriesInABrowser(b *browser) {
	b.open("/s/BA?range=1h")
	b.wait("two charts", "document.querySelectorAll('.chart canvas').length === 2")
	b.wait("bars over what is expected", `(() => {
		const c = document.querySelector('.chart canvas');
		const copy = Object.assign(document.createElement('canvas'), {width: c.width, height: c.height}).getContext('2d', {willReadFrequently: true});
		copy.drawImage(c, 0, 0);
		const pixels = copy.getImageData(0, 0, c.width, c.height).data;
		let low = 0;
		for (let i = 0; i < pixels.length; i += 4) if (pixels[i] === 179 && pixels[i + 1] === 65 && pixels[i + 2] === 14) low++;
		return low > 500;
	})()`)
	b.wait("texts", "document.querySelectorAll('#texts .item').length > 5")

	over := eval[struct{ Left, Top, Width, Height float64 }](b, "(() => { const r = document.querySelector('.u-over').getBoundingClientRect(); return {Left: r.left, Top: r.top, Width: r.width, Height: r.height}; })()")
	drag := func(from, to float64) chromedp.Action[chromedp.Void] {
		y := over.Top + over.Height/2
		return chromedp.DragAndDropXY(over.Left+from*over.Width, y, over.Left+to*over.Width, y)
	}
	b.do("dragging over the first third", drag(.02, .3))
	b.wait("no texts in the first third", "!!document.querySelector('#texts .empty')")
	b.do("dragging over the last part", drag(.55, .98))
	b.wait("the texts of the burst", "document.querySelectorAll('#texts .item').length > 5 && [...document.querySelectorAll('#texts button')].some((e) => e.textContent === 'the whole stretch')")

	b.do("the keyboard", chromedp.Focus(chromedp.CSS(".chart[tabindex]")), chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.Enter))
	b.wait("the texts of the first step", "!!document.querySelector('#texts .empty')")
	b.click("summary", "The numbers as a table")
	b.wait("the table", "[...document.querySelectorAll('details[open] td .high')].length > 0")
	b.click("button[data-key='24h']", "24 h")
	b.wait("another stretch", "location.search === '?range=24h' && document.querySelector('[data-key=\"24h\"]').getAttribute('aria-pressed') === 'true'")
}

func alertInABrowser(b *browser, monitor *process) {
	b.open("/")
	b.click("article.alert h3 a", "BA")
	b.wait("the alert's page", "location.pathname.startsWith('/a/') && /negative items? of .* expected; by chance/.test(document.body.innerText)")
	b.wait("its evidence", "document.querySelectorAll('main .item').length >= 3")
	b.wait("what was said", "document.querySelectorAll('table tbody tr').length >= 1")
	b.click("button", "Mute for 1 h")
	b.wait("the mute", "document.body.innerText.includes('Muted until')")
	var silences struct {
		Silences []struct{ Entity, Author string }
	}
	_, body := monitor.get(b.t, "/api/v1/silences")
	if err := json.Unmarshal([]byte(body), &silences); err != nil || len(silences.Silences) != 1 || silences.Silences[0].Entity != "BA" {
		b.t.Errorf("silences %s, %v", body, err)
	}
	b.click("button", "End the mute")
	b.wait("the end of the mute", "!document.body.innerText.includes('Muted until')")

	b.click("button", "Acknowledge")
	b.wait("who acknowledged, and no more button for it", "document.body.innerText.includes('Acknowledged by') && ![...document.querySelectorAll('button')].some((e) => e.textContent === 'Acknowledge')")
	b.click("button", "Mute until resolved")
	b.wait("the mute that ends with the alert", "document.body.innerText.includes('Muted until resolved by')")
}

func correctionInABrowser(b *browser, labels *messages) {
	b.open("/items?q=lawsuit")
	b.click(".item button", "Correct")
	b.wait("the form with its topics", "document.querySelectorAll('.correct select option').length > 10")
	eval[chromedp.Void](b, "document.querySelector('.correct input[value=neutral]').click()")
	eval[string](b, "document.querySelector('.correct select').value = 'Earnings'")
	b.click(".correct button[type=submit]", "Save")
	b.wait("thanks", "document.querySelector('.correct [role=status]')?.textContent.startsWith('Noted')")
	got := map[string]news.Label{}
	labels.until(b.t, 30*time.Second, "both labels on their topic", func(all []kafka.Message) bool {
		for _, m := range all {
			var l news.Label
			if json.Unmarshal(m.Value, &l) == nil {
				got[l.Task] = l
			}
		}
		return len(got) == 2
	})
	if l := got[news.TaskSentiment]; l.Label != "neutral" || l.Was != "negative" || !strings.Contains(strings.ToLower(l.Text), "lawsuit") || !strings.HasPrefix(l.Author, "console") {
		b.t.Errorf("label %+v", l)
	}
	if l := got[news.TaskTopic]; l.Label != "Earnings" || l.Was == "" {
		b.t.Errorf("label %+v", l)
	}
	b.open("/labels")
	b.wait("the list of corrections", "document.querySelectorAll('tbody tr').length === 2 && document.body.innerText.toLowerCase().includes('lawsuit')")
	b.open("/models")
	b.wait("the bundles with their figures", "document.querySelectorAll('main section.card').length === 2 && document.body.innerText.includes('0.876') && document.body.innerText.includes('live here')")
}

// hostileItems are texts that a stranger may put into the stream.
func hostileItems() []news.Item {
	now := time.Now()
	item := func(id, title, url string) news.Item {
		return news.Item{ID: id, Kind: news.KindNews, Source: "<b>evil</b>.example", Entities: []string{"<i>EV|L</i>"}, Title: title, URL: url, PublishedAt: now, Lang: "en"}
	}
	return []news.Item{
		item("hostile-script", `hostile <script>window.pwned = 1</script><img src=x onerror="window.pwned = 1"><svg onload="window.pwned = 1"> falls`, "javascript:window.pwned=1"),
		item("hostile-direction", "hostile \u202egnp.exe\u202c \u2066over\u2069 \u200fand\u200b hidden \u0007bell", "data:text/html,<script>window.pwned=1</script>"),
		item("hostile-long", "hostile "+strings.Repeat("Überlänge", 1100), "https://evil.example/"+strings.Repeat("a", 3000)+`"><script>window.pwned=1</script>`),
		item("hostile-template", `hostile {{constructor.constructor('window.pwned=1')()}} ${window.pwned=1} </title></textarea><script>window.pwned=1</script>`, "https://user:password@evil.example/"),
	}
}

func hostileInABrowser(b *browser) {
	eventually(b.t, time.Minute, "the four texts in the index", func() bool {
		var found struct{ Items []json.RawMessage }
		response, err := http.Get(b.base + "/api/v1/items?q=hostile")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return json.NewDecoder(response.Body).Decode(&found) == nil && len(found.Items) == 4
	})
	b.open("/items?q=hostile")
	b.wait("the four texts", "(document.querySelectorAll('.item').length === 4) || (document.querySelector('main p button:not([hidden])')?.click(), false)")
	harmless(b)
	page := eval[struct {
		Text      string
		Direction bool
		Addresses []string
	}](b, `({
		Text: document.querySelector('main').textContent,
		Direction: /[\u202a-\u202e\u2066-\u2069\u200f\u200b\u0007]/.test(document.querySelector('main').textContent),
		Addresses: [...document.querySelectorAll('main a[target]')].map((a) => a.protocol + ' ' + a.rel),
	})`)
	if !strings.Contains(page.Text, "<script>window.pwned = 1</script><img src=x") {
		b.t.Error("the script is not shown as the text that it is")
	}
	if page.Direction {
		b.t.Error("marks that turn the direction of text came through")
	}
	for _, address := range page.Addresses {
		if address != "https: noopener noreferrer" {
			b.t.Errorf("a link out is %q", address)
		}
	}
	if len(page.Addresses) != 2 {
		b.t.Errorf("%d links out, want those of the two web addresses", len(page.Addresses))
	}
	b.click(".item a.chip", "EV|L")
	b.wait("the page of a company with a hostile name", "document.querySelector('h1')?.textContent.includes('<i>EV|L</i>') && document.querySelectorAll('#texts .item').length === 4")
	harmless(b)
	b.open("/")
	b.wait("the overview", "document.querySelectorAll('td.name').length > 0")
	harmless(b)
}

// harmless holds a page against what hostile text would do to it.
func harmless(b *browser) {
	b.t.Helper()
	seen := eval[struct {
		Pwned, Elements bool
		Wide            float64
	}](b, `({
		Pwned: 'pwned' in window,
		Elements: !!document.querySelector('main script, main img, main iframe, main b, main i, main svg[onload]'),
		Wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
	})`)
	if seen.Pwned || seen.Elements || seen.Wide > 0 {
		b.t.Errorf("hostile text did something: %+v", seen)
	}
}

func looksInABrowser(b *browser) {
	b.open("/")
	b.click("#tools button", "中文")
	b.wait("Chinese", "document.documentElement.lang === 'zh-CN' && document.querySelector('nav').innerText.includes('总览')")
	b.click("#tools button", "English")
	b.wait("English", "document.documentElement.lang === 'en' && document.querySelector('nav').innerText.includes('Overview')")
	background := "getComputedStyle(document.body).backgroundColor"
	light := eval[string](b, background)
	b.click("#tools button", "◐")
	if dark := eval[string](b, background); light == dark {
		b.t.Errorf("the other theme has the same background, %s", light)
	}
	for _, path := range []string{"/", "/s/BA", "/items", "/labels", "/models"} {
		b.do("a phone", chromedp.EmulateViewport(375, 700))
		b.open(path)
		b.wait("content on "+path, "!document.querySelector('main .empty')?.textContent.startsWith('Loading') && document.querySelector('main h1, main h2')")
		if wide := eval[float64](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
			b.t.Errorf("%s is %g pixels wider than a phone", path, wide)
		}
		unnamed := eval[[]string](b, `[...document.querySelectorAll('button, a, input, select')].filter((e) => !e.hidden && !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).map((e) => e.outerHTML)`)
		if len(unnamed) > 0 {
			b.t.Errorf("%s: without a name for a screen reader: %v", path, unnamed)
		}
	}
}
