package ingest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/news"
)

var now = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

func decoder(t testing.TB, cfg ingest.DecoderConfig) *ingest.Decoder {
	t.Helper()
	cfg.Clock = func() time.Time { return now }
	d, err := ingest.NewDecoder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDecode(t *testing.T) {
	published := time.Date(2026, 3, 10, 11, 30, 0, 0, time.UTC)
	tests := []struct {
		name    string
		mapping map[string]string
		kind    news.Kind
		value   string
		want    news.Item
	}{
		{
			name: "the wire format",
			value: `{"id":"7","kind":"comment","source":"reddit","published_at":"2026-03-10T12:30:00+01:00","title":" A ",
				"text":"B","lang":"en","entities":["MSFT","AAPL","MSFT",""],"url":"https://a.example/7","more":{}}`,
			want: news.Item{ID: "7", Kind: news.KindComment, Source: "reddit", PublishedAt: published, Title: "A", Text: "B",
				Lang: "en", Entities: []string{"AAPL", "MSFT"}, URL: "https://a.example/7"},
		},
		{
			name:    "a feed of another shape",
			mapping: map[string]string{"id": "/guid", "text": "/content/body", "published_at": "/dates/0", "source": "/from~1by", "entities": "/tickers", "url": ""},
			kind:    news.KindComment,
			value:   `{"guid":12345678901234567890,"content":{"body":"fell 8%"},"dates":[1773142200000],"from/by":"wire","tickers":"TSLA, NVDA","url":7}`,
			want: news.Item{ID: "12345678901234567890", Kind: news.KindComment, Source: "wire", PublishedAt: published, Text: "fell 8%",
				Entities: []string{"NVDA", "TSLA"}},
		},
		{
			name:  "the source is the URL's host, the id a digest",
			value: `{"title":"T","published_at":"1773142200","url":"https://www.News.example:8080/a","text":null,"id":null}`,
			want: news.Item{ID: ingest.Digest(news.Item{Source: "news.example", Title: "T", URL: "https://www.News.example:8080/a"}), Kind: news.KindNews,
				Source: "news.example", PublishedAt: published, Title: "T", URL: "https://www.News.example:8080/a"},
		},
		{
			name:  "of doubled keys the last counts",
			value: `{"id":"1","title":"first","title":"last","published_at":1773142200}`,
			want:  news.Item{ID: "1", Kind: news.KindNews, PublishedAt: published, Title: "last"},
		},
		{
			name:  "after a byte-order mark",
			value: "\ufeff" + `{"id":"1","text":"T","published_at":1773142200}`,
			want:  news.Item{ID: "1", Kind: news.KindNews, PublishedAt: published, Text: "T"},
		},
		{
			name:  "headlines do not speak to terminals",
			value: `{"id":"1","title":"\u001b[2Jgone\u0007","text":"a\tb\nc\u0000","published_at":1773142200}`,
			want:  news.Item{ID: "1", Kind: news.KindNews, PublishedAt: published, Title: "[2Jgone", Text: "a\tb\nc"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decoder(t, ingest.DecoderConfig{Kind: tt.kind, Mapping: tt.mapping}).Decode([]byte(tt.value))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

// sixtyFive are so many companies in a list, one more than an item may have.
func sixtyFive() string {
	var names []string
	for i := range 65 {
		names = append(names, fmt.Sprint("A", i))
	}
	return strings.Join(names, ",")
}

// badMessages is one message and more for each class of what is refused; the test of the
// dead letters sends them through Kafka.
var badMessages = []struct {
	class ingest.Class
	field string
	value string
}{
	{ingest.NotJSON, "", ""},
	{ingest.NotJSON, "", "AAPL fell"},
	{ingest.NotJSON, "", "\ufeff"},
	{ingest.NotJSON, "", `{"title":"cut`},
	{ingest.NotJSON, "", `{"title":"T","published_at":1773142200} {}`},
	{ingest.NotJSON, "", `["title"]`},
	{ingest.NotJSON, "", `null`},
	{ingest.NotJSON, "", strings.Repeat("[", 100_000)},
	{ingest.NotJSON, "", `{"a":` + strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat("}", 20_001)},
	{ingest.InvalidUTF8, "", "{\"title\":\"caf\xe9\",\"published_at\":1773142200}"},
	{ingest.InvalidUTF8, "", "{\"title\":\"T\",\"published_at\":1773142200,\"unread\":\"\xff\"}"},
	{ingest.WrongType, "title", `{"title":["T"],"published_at":1773142200}`},
	{ingest.WrongType, "text", `{"text":7,"published_at":1773142200}`},
	{ingest.WrongType, "published_at", `{"text":"T","published_at":true}`},
	{ingest.WrongType, "entities", `{"text":"T","published_at":1773142200,"entities":["AAPL",7]}`},
	{ingest.WrongType, "entities", `{"text":"T","published_at":1773142200,"entities":{"AAPL":1}}`},
	{ingest.BadValue, "published_at", `{"text":"T","published_at":"yesterday"}`},
	{ingest.BadValue, "published_at", `{"text":"T","published_at":"2026-03-10 11:30:00"}`},
	{ingest.BadValue, "entities", `{"text":"T","published_at":1773142200,"entities":["AA\u001fPL"]}`},
	{ingest.BadValue, "entities", `{"text":"T","published_at":1773142200,"entities":"A` + strings.Repeat(",A1", 3) + strings.Repeat("x", 65) + `"}`},
	{ingest.BadValue, "id", `{"id":"a\nb","text":"T","published_at":1773142200}`},
	{ingest.BadValue, "source", `{"source":"wire\u0007","text":"T","published_at":1773142200}`},
	{ingest.BadValue, "id", `{"id":"` + strings.Repeat("x", 513) + `","text":"T","published_at":1773142200}`},
	{ingest.BadValue, "source", `{"source":"` + strings.Repeat("x", 257) + `","text":"T","published_at":1773142200}`},
	{ingest.BadValue, "url", `{"url":"` + strings.Repeat("x", 4097) + `","text":"T","published_at":1773142200}`},
	{ingest.BadValue, "lang", `{"lang":"` + strings.Repeat("x", 36) + `","text":"T","published_at":1773142200}`},
	{ingest.BadValue, "entities", `{"entities":"` + sixtyFive() + `","text":"T","published_at":1773142200}`},
	{ingest.BadValue, "kind", `{"kind":"rumour","text":"T","published_at":1773142200}`},
	{ingest.NoText, "", `{"published_at":1773142200}`},
	{ingest.NoText, "", `{"title":"  ","text":"\n","published_at":1773142200}`},
	{ingest.NoTime, "published_at", `{"text":"T"}`},
	{ingest.NoTime, "published_at", `{"text":"T","published_at":""}`},
	{ingest.Future, "published_at", `{"text":"T","published_at":"2099-01-01T00:00:00Z"}`},
	{ingest.Future, "published_at", `{"text":"T","published_at":"2026-03-10T12:10:01Z"}`},
	{ingest.TooOld, "published_at", `{"text":"T","published_at":"2026-02-24T11:59:59Z"}`},
	{ingest.TooOld, "published_at", `{"text":"T","published_at":0}`},
	{ingest.TooLarge, "text", `{"text":"` + strings.Repeat("x", 1<<20+1) + `","published_at":1773142200}`},
	{ingest.TooLarge, "", `{"text":"` + strings.Repeat("x", 10<<20) + `","published_at":1773142200}`},
}

func TestDecodeRefuses(t *testing.T) {
	d := decoder(t, ingest.DecoderConfig{})
	for _, tt := range badMessages {
		t.Run(fmt.Sprintf("%s %.60s", tt.class, tt.value), func(t *testing.T) {
			item, err := d.Decode([]byte(tt.value))
			var rejection *ingest.Rejection
			if !errors.As(err, &rejection) || !errors.Is(err, tt.class) || rejection.Field != tt.field {
				t.Errorf("got %+v, %v; want class %s of field %q", item, err, tt.class, tt.field)
			}
		})
	}
}

func TestDecodeWithoutBoundsOnTime(t *testing.T) {
	d := decoder(t, ingest.DecoderConfig{MaxAhead: -1, History: -1})
	for _, year := range []int{1970, 2099} {
		value := fmt.Sprintf(`{"text":"T","published_at":"%d-01-01T00:00:00Z"}`, year)
		if item, err := d.Decode([]byte(value)); err != nil || item.PublishedAt.Year() != year {
			t.Errorf("%s: %v, %v", value, item.PublishedAt, err)
		}
	}
}

func TestDecoderRefusesAWrongMapping(t *testing.T) {
	for _, mapping := range []map[string]string{{"headline": "/title"}, {"title": "title"}, {"title": "/a~2b"}, {"title": "/a~"}} {
		if _, err := ingest.NewDecoder(ingest.DecoderConfig{Mapping: mapping}); err == nil {
			t.Errorf("mapping %v was taken", mapping)
		}
	}
	if _, err := ingest.NewDecoder(ingest.DecoderConfig{Mapping: map[string]string{"id": "guid"}}); !errors.Is(err, ingest.ErrPointer) {
		t.Errorf("error %v, want %v", err, ingest.ErrPointer)
	}
}

// The examples of RFC 6901, section 5, that can be told apart as texts.
func TestMappingFollowsRFC6901(t *testing.T) {
	const document = `{"foo":["bar","baz"],"":"0","a/b":"1","c%d":"2","e^f":"3","g|h":"4","i\\j":"5","k\"l":"6"," ":"7","m~n":"8","~1":"9",
		"published_at":1773142200}`
	for pointer, want := range map[string]string{
		"/foo/0": "bar", "/foo/1": "baz", "/": "0", "/a~1b": "1", "/c%d": "2", "/e^f": "3", "/g|h": "4", `/i\j`: "5", `/k"l`: "6", "/ ": "7", "/m~0n": "8",
		"/~01": "9", "/foo/2": "", "/foo/-": "", "/foo/01": "", "/foo/+1": "", "/foo/0/x": "", "/none": "",
	} {
		item, err := decoder(t, ingest.DecoderConfig{Mapping: map[string]string{"text": pointer}}).Decode([]byte(document))
		if want == "" {
			if !errors.Is(err, ingest.NoText) {
				t.Errorf("%s: %q, %v; want no text", pointer, item.Text, err)
			}
			continue
		}
		if err != nil || item.Text != want {
			t.Errorf("%s: %q, %v; want %q", pointer, item.Text, err, want)
		}
	}
}

func TestParseTime(t *testing.T) {
	want := time.Date(2026, 3, 10, 16, 30, 5, 0, time.UTC)
	for _, s := range []string{
		"2026-03-10T16:30:05Z", "2026-03-10T17:30:05+01:00", "2026-03-10T16:30:05.000Z",
		"Tue, 10 Mar 2026 16:30:05 GMT", "Tue, 10 Mar 2026 12:30:05 EDT", "Tue, 10 Mar 2026 11:30:05 -0500", "10 Mar 2026 16:30:05 UT",
		"Tuesday, 10 Mar 26 16:30:05 +0000", " 1773160205 ", "1773160205000", "1773160205.0", "1.773160205e9",
	} {
		if got, err := ingest.ParseTime(s); err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	if got, err := ingest.ParseTime("1773160205.123"); err != nil || !got.Equal(want.Add(123*time.Millisecond)) {
		t.Errorf("fraction of a second: %v, %v", got, err)
	}
	for _, s := range []string{"", "now", "2026-03-10", "2026-03-10T16:30:05", "Tue, 10 Mar 2026 16:30:05", "Tue, 10 Mar 2026 16:30:05 XYZ",
		"Tue, 31 Feb 2026 16:30:05 GMT", "NaN", "Inf", "0x10", "1_000", "1e300", "-", "1.2.3"} {
		if got, err := ingest.ParseTime(s); !errors.Is(err, ingest.ErrTime) {
			t.Errorf("%q: %v, %v; want %v", s, got, err, ingest.ErrTime)
		}
	}
}

// Whatever comes: an item that keeps its promises, or a Rejection.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"1","title":"T","text":"x","published_at":1773142200,"entities":["AAPL"],"source":"s","lang":"en","url":"https://a.example"}`))
	for _, m := range badMessages {
		if len(m.value) < 1000 {
			f.Add([]byte(m.value))
		}
	}
	d := decoder(f, ingest.DecoderConfig{})
	f.Fuzz(func(t *testing.T, value []byte) {
		item, err := d.Decode(value)
		if err != nil {
			var rejection *ingest.Rejection
			if !errors.As(err, &rejection) || rejection.Class == "" {
				t.Fatalf("error without a class: %v", err)
			}
			return
		}
		if item.ID == "" || item.Content() == "" || item.PublishedAt.IsZero() || item.PublishedAt.After(now.Add(10*time.Minute)) {
			t.Fatalf("broken promise: %+v", item)
		}
		for _, name := range append([]string{item.ID, item.Source, item.Lang, item.URL}, item.Entities...) {
			if !utf8.ValidString(name) || strings.IndexFunc(name, unicode.IsControl) >= 0 {
				t.Fatalf("%q is no name", name)
			}
		}
		encoded, err := json.Marshal(item)
		if err != nil {
			t.Fatal(err)
		}
		again, err := d.Decode(encoded)
		if err != nil || !again.PublishedAt.Equal(item.PublishedAt) {
			t.Fatalf("not read again: %s: %v", encoded, err)
		}
		again.PublishedAt = item.PublishedAt
		if len(again.Entities) == 0 && len(item.Entities) == 0 {
			again.Entities = item.Entities
		}
		if !reflect.DeepEqual(again, item) {
			t.Fatalf("read again as %+v, was %+v", again, item)
		}
	})
}

func FuzzParseTime(f *testing.F) {
	f.Add("Tue, 10 Mar 2026 16:30:05 GMT")
	f.Add("1773160205000")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := ingest.ParseTime(s); err == nil {
			if _, err := got.MarshalText(); err != nil {
				t.Errorf("%q: %v cannot be written: %v", s, got, err)
			}
		}
	})
}

// What is completed elsewhere has the stream's id, also where a text has control characters.
func TestCompleteGivesTheStreamsID(t *testing.T) {
	want, err := decoder(t, ingest.DecoderConfig{}).Decode([]byte(`{"text":"Profit\u0007 jumps\u0000","title":"\u001b[31mRed","source":"wire","published_at":"2026-03-10T10:00:00Z"}`))
	if err != nil {
		t.Fatal(err)
	}
	got := news.Item{Text: "Profit\a jumps\x00", Title: "\x1b[31mRed", Source: "wire"}
	if ingest.Complete(&got); got.ID != want.ID || got.Text != want.Text || got.Title != want.Title {
		t.Errorf("%+v, want %+v", got, want)
	}
}
