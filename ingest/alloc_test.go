package ingest_test

import (
	"strings"
	"testing"

	"github.com/barograph/barograph/ingest"
)

// decoded are messages as feeds send them, and what each item has of its own: a string for each
// field that is not empty, kind aside, and for the entities a list and a string each. (Go makes no
// string of one byte.)
var decoded = []struct {
	name    string
	mapping map[string]string
	value   string
	own     float64
}{
	{"the wire format", nil, `{"id":"7f3a","kind":"comment","source":"reddit","published_at":"2026-03-10T12:30:00+01:00","title":"Boeing halts 737 MAX production",
		"text":"$BA falls 4% as suppliers count costs","lang":"en","entities":["BA","AIR.PA"],"url":"https://post.example/boeing/7"}`, 9},
	{"escapes and other scripts", nil, `{"id":"78","published_at":1773142200,"title":"\"\u8dcc\u505c\" \ud83d\ude00","text":"阿里巴巴 BABA\n跌停"}`, 3},
	{"text and time alone", nil, `{"text":"AAPL fell 8%","published_at":1773142200}`, 2}, // the id is its digest
	{"the source is the URL's host", nil, `{"id":"78","title":"T1","published_at":"1773142200.5","url":"https://www.news.example/a"}`, 3},
	{"a feed of another shape", map[string]string{"id": "/guid", "text": "/content/body", "published_at": "/dates/0", "source": "/from", "entities": "/tickers"},
		`{"guid":12345678901234567890,"more":{"tags":[1,2,{"a":null}]},"content":{"body":"fell 8%","html":"<p>fell 8%</p>"},"dates":[1773142200000],"from":"wire","tickers":"TSLA, NVDA"}`, 6},
}

func TestDecodeAllocatesTheItemAlone(t *testing.T) {
	for _, c := range decoded {
		d, value := decoder(t, ingest.DecoderConfig{Mapping: c.mapping}), []byte(c.value)
		if got := testing.AllocsPerRun(1000, func() {
			if _, err := d.Decode(value); err != nil {
				t.Fatal(err)
			}
		}); got != c.own {
			t.Errorf("%s: %v allocations, %v are the item's own", c.name, got, c.own)
		}
	}
}

// BenchmarkDecode reads messages that are in memory.
func BenchmarkDecode(b *testing.B) {
	for _, c := range decoded {
		b.Run(strings.ReplaceAll(c.name, " ", "-"), func(b *testing.B) {
			d, value := decoder(b, ingest.DecoderConfig{Mapping: c.mapping}), []byte(c.value)
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				if _, err := d.Decode(value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
