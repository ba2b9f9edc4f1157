package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
)

func idsOf(page Page) string {
	var ids []string
	for _, r := range page.Readings {
		ids = append(ids, r.ID)
	}
	return strings.Join(ids, " ")
}

func search(t *testing.T, x *Index, q Query) Page {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 10
	}
	page, err := x.Search(q)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestSearch(t *testing.T) {
	x := newWorld().index
	good := reading("good", 30, .1, "AIR")
	good.Sentiment = news.Sentiment{Positive: .8, Neutral: .2}
	good.Topic.Label, good.Text, good.Source = "Legal", "Airbus wins ÜBER big", "desk"
	// In no order, as partitions bring them.
	x.AddReadings([]news.Reading{reading("new", 5, .9, "BA"), reading("old", 600, .1, "BA"), good, reading("middle", 60, .5, "BA", "AIR")}, false)
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{}, "new good middle old"},
		{Query{Entity: "air"}, "good middle"},
		{Query{Topic: "earnings", Sentiment: "negative"}, "new middle"},
		{Query{Sentiment: "positive"}, "good"},
		{Query{Sentiment: "neutral"}, "old"},
		{Query{Text: "über"}, "good"},
		{Query{Source: "desk"}, "good"},
		{Query{ID: "old"}, "old"},
		{Query{From: noon.Add(-time.Hour)}, "new good middle"},
		{Query{From: noon.Add(-time.Hour), To: noon.Add(-5 * time.Minute)}, "good middle"},
		{Query{Lang: "zh"}, ""},
	} {
		if got := idsOf(search(t, x, c.q)); got != c.want {
			t.Errorf("%+v: %q, want %q", c.q, got, c.want)
		}
	}
}

// Pages follow each other without a gap or a repeat, also when items of one moment are split
// and others come in between.
func TestPagesOfASearch(t *testing.T) {
	x := newWorld().index
	var want []string
	for i := range 25 {
		x.AddReadings([]news.Reading{reading(fmt.Sprintf("r%02d", i), i/10, .1, "BA")}, false)
		want = append(want, fmt.Sprintf("r%02d", i))
	}
	var got []string
	for after := ""; ; {
		page := search(t, x, Query{After: after, Limit: 4})
		for _, r := range page.Readings {
			got = append(got, r.ID)
		}
		x.AddReadings([]news.Reading{reading(fmt.Sprint("newer", after), -1, .1)}, false)
		if after = page.Next; after == "" {
			break
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%v, want each of %v once", got, want)
	}
}

func TestIndexIsBounded(t *testing.T) {
	x := NewIndex(IndexConfig{Items: 5, Bytes: 1 << 20, History: time.Hour, Clock: func() time.Time { return noon }})
	for i := range 9 {
		x.AddReadings([]news.Reading{reading(fmt.Sprint("r", i), 59-i, .1, "BA")}, false)
	}
	x.AddReadings([]news.Reading{reading("too old", 61, .1), reading("r8", 51, .9, "BA")}, false)
	if got := idsOf(search(t, x, Query{})); got != "r8 r7 r6 r5 r4" {
		t.Errorf("kept %q, want the five published last", got)
	}
	if page := search(t, x, Query{Sentiment: "negative"}); len(page.Readings) != 1 {
		t.Error("a reading did not replace the former one of its item")
	}
	small := NewIndex(IndexConfig{Bytes: 3 * (fixedBytes + 1000), Clock: func() time.Time { return noon }})
	for i := range 9 {
		r := reading(fmt.Sprint("r", i), 9-i, .1)
		r.Text = strings.Repeat("x", 900)
		small.AddReadings([]news.Reading{r}, false)
	}
	if got := idsOf(search(t, small, Query{})); got != "r8 r7 r6" {
		t.Errorf("kept %q, want what fits", got)
	}
	for i := range maxSeries + 50 {
		small.AddReadings([]news.Reading{reading("one", 1, .1, fmt.Sprint("E", i))}, false)
	}
	if n := len(small.series); n > maxSeries {
		t.Errorf("%d series are remembered", n)
	}
	if uses := small.uses(); uses[model].readings != len(small.readings) {
		t.Errorf("%d readings of the model, want the %d kept", uses[model].readings, len(small.readings))
	}
}

// A model that judges a text for each of its companies gives several readings of an item.
func TestReadingsTowardCompanies(t *testing.T) {
	w := newWorld()
	w.index.AddReadings([]news.Reading{reading("x", 1, .9, "NOK"), reading("x", 1, .1, "ERIC")}, false)
	if got := len(search(t, w.index, Query{ID: "x"}).Readings); got != 2 {
		t.Fatalf("%d readings, want one for each company", got)
	}
	r := httptest.NewRequest("POST", api+"/labels", strings.NewReader(`{"id":"x","task":"sentiment","label":"neutral","entity":"NOK"}`))
	r.Header.Set("Content-Type", "application/json")
	if answer := call(serve(t, w, Access{}), r); answer.Code != 201 {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	if l := w.labels[0]; l.Entity != "NOK" || l.Was != "negative" {
		t.Errorf("label %+v, want it of the reading toward NOK", l)
	}

	// Where the text has a reading of its own, that has said the topic.
	whole := reading("y", 1, .9)
	whole.Model.Name = "of texts"
	w.index.AddReadings([]news.Reading{reading("y", 1, .1, "NOK"), whole, reading("y", 1, .1, "ERIC")}, false)
	if got := len(search(t, w.index, Query{ID: "y"}).Readings); got != 3 {
		t.Fatalf("%d readings, want the text's and one for each company", got)
	}
	r = httptest.NewRequest("POST", api+"/labels", strings.NewReader(`{"id":"y","task":"topic","label":"Legal","entity":"NOK"}`))
	r.Header.Set("Content-Type", "application/json")
	if answer := call(serve(t, w, Access{}), r); answer.Code != 201 {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	r = httptest.NewRequest("POST", api+"/labels", strings.NewReader(`{"id":"y","task":"sentiment","label":"neutral"}`))
	r.Header.Set("Content-Type", "application/json")
	if answer := call(serve(t, w, Access{}), r); answer.Code != 201 {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	for _, l := range w.labels[1:] {
		if l.Entity != "" || l.Model.Name != "of texts" || l.Task == news.TaskSentiment && l.Was != "negative" {
			t.Errorf("label %+v, want it of the text's reading", l)
		}
	}
}

func TestAlertsOnRecord(t *testing.T) {
	x := newWorld().index
	first := alertOf("a", "BA", time.Hour)
	grown := first
	grown.Negative, grown.Items, grown.Severity = 12, 13, news.Critical
	x.AddAlert(first, noon.Add(-time.Hour), "a firing 1", false)
	x.AddAlert(grown, noon.Add(-50*time.Minute), "a firing 2", false)
	x.AddAlert(first, noon.Add(-49*time.Minute), "a firing 1", false) // written again: its acknowledgement was lost
	x.AddAlert(alertOf("b", "AIR", time.Minute), noon, "b firing 1", false)
	got, said, found := x.Alert("a")
	if !found || got.Negative != 12 || len(said) != 2 || said[1].Count != 12 || said[1].Severity != news.Critical {
		t.Errorf("alert %+v, said %+v", got, said)
	}
	if all := x.Alerts(); len(all) != 2 || all[0].ID != "b" {
		t.Errorf("alerts %v, want the latest first", all)
	}
}

func TestEvents(t *testing.T) {
	w := newWorld()
	server, err := New(Config{Listen: "127.0.0.1:0", Sources: w.sources()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	response, err := http.Get("http://" + server.Addr() + api + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	next := func(prefix string) string {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), prefix) {
				return lines.Text()
			}
		}
		t.Fatalf("the stream ended before %q", prefix)
		return ""
	}
	next(": barograph")
	w.index.AddReadings([]news.Reading{reading("before the start", 1, .9, "IBM")}, false) // tells nobody
	w.index.AddReadings([]news.Reading{reading("1", 1, .9, "BA"), reading("2", 1, .1, "BA", "AIR")}, true)
	next("event: readings")
	if got, want := next("data: "), `data: {"items":2,"negative":1,"entities":["BA","AIR"],"topics":["Earnings"]}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// What comes in a burst is told together.
	for i := range 40 {
		w.index.AddReadings([]news.Reading{reading(fmt.Sprint("burst", i), 1, .1)}, true)
	}
	w.index.AddAlert(alertOf("a1", "BA", 0), noon, "k", true)
	items, told, alert := 0, 0, false
	for items < 40 || !alert {
		var heard struct {
			Items int
			ID    string
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(next("data: "), "data: ")), &heard); err != nil {
			t.Fatal(err)
		}
		alert = alert || heard.ID == "a1"
		if heard.ID == "" {
			items, told = items+heard.Items, told+1
		}
	}
	if items != 40 || told > 10 {
		t.Errorf("%d readings in %d events, want 40 in few", items, told)
	}
	cancel() // the server does not wait for those who watch
	if lines.Scan() && lines.Text() != "" {
		t.Errorf("after the end: %q", lines.Text())
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWatchersAreBounded(t *testing.T) {
	h := newHub()
	for range maxWatchers {
		if h.watch() == nil {
			t.Fatal("turned away too early")
		}
	}
	if h.watch() != nil {
		t.Error("one too many was let in")
	}
}
