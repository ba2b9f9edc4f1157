package feed

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/barograph/barograph/news"
)

var now = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

const rss = `<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><title>Wire</title>
<item><title>Acme &amp;amp; Co falls</title><link>https://www.wire.example/1</link><guid>https://www.wire.example/1</guid>
<pubDate>Tue, 10 Mar 2026 06:30:00 EST</pubDate><description>short</description>
<content:encoded><![CDATA[<p>Shares  fell <b>8%</b>.</p><script>alert(1)</script><p>More&nbsp;below.</p>]]></content:encoded></item>
<item><title>Local id</title><link>javascript:alert(1)</link><guid isPermaLink="false">42</guid></item>
<item><description>No title, relative link</description><link>/3</link><pubDate>2026-03-10T11:00:00Z</pubDate></item>
<item><link>https://www.wire.example/4</link></item>
</channel></rss>`

const atomFeed = `<feed xmlns="http://www.w3.org/2005/Atom"><title>A</title><entry><id>urn:1</id><title type="html">&lt;b&gt;Bold&lt;/b&gt; claim</title>
<link href="https://a.example/1"/><updated>2026-03-10T11:30:00+01:00</updated><summary>S</summary></entry></feed>`

const jsonFeed = `{"version":"https://jsonfeed.org/version/1.1","title":"J","items":[{"id":"1","url":"https://j.example/1","content_html":"<p>a<br>b","date_published":"2026-03-10T11:30:00Z"}]}`

// digest stands for an id of 32 hex digits.
const digest = "digest"

func TestParse(t *testing.T) {
	const at = "https://feeds.wire.example/rss"
	tests := map[string]struct {
		body string
		want []news.Item
	}{
		"RSS": {rss, []news.Item{
			{ID: "https://www.wire.example/1", Kind: news.KindNews, Source: "wire.example", PublishedAt: time.Date(2026, 3, 10, 11, 30, 0, 0, time.UTC),
				Title: "Acme & Co falls", Text: "Shares fell 8%.\nMore below.", URL: "https://www.wire.example/1"},
			{ID: digest, Kind: news.KindNews, Source: "feeds.wire.example", Title: "Local id"},
			{ID: "https://feeds.wire.example/3", Kind: news.KindNews, Source: "feeds.wire.example", PublishedAt: now.Add(-time.Hour),
				Text: "No title, relative link", URL: "https://feeds.wire.example/3"},
		}},
		"Atom": {atomFeed, []news.Item{{ID: digest, Kind: news.KindNews, Source: "a.example",
			PublishedAt: time.Date(2026, 3, 10, 10, 30, 0, 0, time.UTC), Title: "Bold claim", Text: "S", URL: "https://a.example/1"}}},
		"JSON": {jsonFeed, []news.Item{{ID: digest, Kind: news.KindNews, Source: "j.example",
			PublishedAt: time.Date(2026, 3, 10, 11, 30, 0, 0, time.UTC), Text: "a\nb", URL: "https://j.example/1"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parse([]byte(tt.body), at, news.KindNews)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if len(got[i].ID) == 32 {
					got[i].ID = digest
				}
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestParseRefusesWhatWouldDoHarm(t *testing.T) {
	deep := strings.Repeat("<x:a>", 2_000_000)
	for name, body := range map[string]string{
		"nested elements":     `<rss xmlns:x="x"><channel><item>` + deep + `</item></channel></rss>`,
		"hidden by quotes":    `<rss xmlns:x="x"><channel><item>` + strings.Repeat(`<x:a b=">/" c='"/>'>`, 200_000),
		"after a comment":     `<rss xmlns:x="x"><!-- <![CDATA[ --><channel><item>` + deep,
		"UTF-16":              strings.Join(strings.Split("<rss><channel><item>"+strings.Repeat("<a:b>", 200), ""), "\x00"),
		"a web page":          "<html><body>Not found</body></html>",
		"nothing":             "",
		"nested JSON":         `{"version":"https://jsonfeed.org/version/1.1","items":` + strings.Repeat("[", 1_000_000),
		"an entity expansion": `<!DOCTYPE rss [<!ENTITY a "` + strings.Repeat("x", 1000) + `"><!ENTITY b "&a;&a;">]><rss><channel><title>&b;</title></channel>`,
	} {
		if _, err := parse([]byte(body), "https://a.example", news.KindNews); !errors.Is(err, ErrFeed) {
			t.Errorf("%s: error %v, want %v", name, err, ErrFeed)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(rss))
	f.Add([]byte(atomFeed))
	f.Add([]byte(jsonFeed))
	f.Fuzz(func(t *testing.T, body []byte) {
		items, err := parse(body, "https://a.example/feed", news.KindNews)
		if err != nil && !errors.Is(err, ErrFeed) {
			t.Fatal(err)
		}
		for _, item := range items {
			if item.ID == "" || item.Content() == "" || !utf8.ValidString(item.Content()+item.ID+item.URL) {
				t.Fatalf("broken promise: %+v", item)
			}
		}
	})
}

// Dates that items have stay; a clock that went back dates nothing ahead of itself.
func TestDateLeavesDatesAlone(t *testing.T) {
	dated := now.Add(-time.Hour)
	items := []news.Item{{ID: "a"}, {ID: "b", PublishedAt: dated}, {ID: "c"}}
	if n := date(items, now.Add(time.Minute), now); n != 2 {
		t.Errorf("%d without a date, want 2", n)
	}
	for i, want := range []time.Time{now, dated, now} {
		if !items[i].PublishedAt.Equal(want) {
			t.Errorf("item %d is of %s, want %s", i, items[i].PublishedAt, want)
		}
	}
}

func TestStateForgetsSlowly(t *testing.T) {
	item := func(id string) news.Item { return news.Item{ID: id} }
	s := feedState{}
	if got := s.unseen([]news.Item{item("b"), item("a"), item("b")}); len(got) != 2 || got[1].ID != "a" {
		t.Errorf("unseen %+v; want b and a, the last of the feed first", got)
	}
	s = s.after(fetched{etag: `"1"`}, []news.Item{item("b"), item("a")}, now)
	if got := s.unseen([]news.Item{item("c"), item("b")}); len(got) != 1 || got[0].ID != "c" || s.ETag != `"1"` {
		t.Errorf("unseen %+v of state %+v; want c", got, s)
	}
	s = s.after(fetched{}, []news.Item{item("b")}, now.Add(20*24*time.Hour))
	s = s.after(fetched{}, nil, now.Add(40*24*time.Hour))
	if _, a := s.Seen["a"]; a || len(s.Seen) != 1 {
		t.Errorf("remembered %v; want b only", s.Seen)
	}
}
