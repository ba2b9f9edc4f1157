package news_test

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
)

var reading = news.Reading{
	ID: "7f3a", Kind: news.KindComment, Source: "wire.example", PublishedAt: time.Date(2026, 3, 10, 11, 30, 0, 5e6, time.UTC),
	ClassifiedAt: time.Date(2026, 3, 10, 12, 30, 1, 0, time.FixedZone("", 3600)), Lang: "en", Entities: []string{"BA", "AIR.PA"},
	Sentiment: news.Sentiment{Negative: .912345678, Neutral: 8.7e-7, Positive: 1e-12}, Topic: news.Topic{Label: "Company | Product News", Probability: 1},
	DuplicateOf: "7f39", Model: news.Model{Name: "en", Version: "2", Digest: "25a8160d"}, Title: "Boeing's \"halt\" <b>costs</b> & more",
	URL: "https://post.example/boeing/7?a=1&b=2", Text: "Boeing\nhalts\tMAX\u2028 跌停 \x1b[2J \x7f \xff é", TextDigest: "0123456789abcdef", TextSketch: "fedcba9876543210",
}

func sameAsJSON(t *testing.T, r news.Reading) {
	t.Helper()
	want, wantErr := json.Marshal(r)
	got, err := r.AppendJSON([]byte("before"))
	if (err != nil) != (wantErr != nil) || string(got) != "before"+string(want) {
		t.Errorf("got  %s, %v\nwant before%s, %v", got, err, want, wantErr)
	}
}

// TestAppendJSONWritesWhatEncodingJSONDoes sets each field alone, so that a field that a
// Reading gets later is not forgotten.
func TestAppendJSONWritesWhatEncodingJSONDoes(t *testing.T) {
	sameAsJSON(t, reading)
	sameAsJSON(t, news.Reading{})
	sameAsJSON(t, news.Reading{Entities: []string{}})
	full := reflect.ValueOf(reading)
	for i := range full.NumField() {
		if full.Field(i).IsZero() {
			t.Fatalf("the example leaves %s empty", full.Type().Field(i).Name)
		}
		var one news.Reading
		reflect.ValueOf(&one).Elem().Field(i).Set(full.Field(i))
		sameAsJSON(t, one)
	}
	for _, x := range []float64{0, math.Copysign(0, -1), 1e-6, 9.99e-7, 1e-10, 1e-100, 1e20, 1e21, 1.5e300, -3.25, math.MaxFloat64, math.SmallestNonzeroFloat64,
		math.NaN(), math.Inf(1)} {
		sameAsJSON(t, news.Reading{Sentiment: news.Sentiment{Neutral: x}})
	}
	for _, at := range []time.Time{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(1, 1).UTC()} {
		sameAsJSON(t, news.Reading{ClassifiedAt: at})
	}
}

func FuzzAppendJSON(f *testing.F) {
	f.Add(reading.Text, reading.Title, .25, int64(1773142200))
	f.Add("\u2028\u2029<>&\"\\\x00\x1f\x7f\xc3", "\xed\xa0\x80", 1e-9, int64(-1))
	f.Fuzz(func(t *testing.T, text, name string, x float64, at int64) {
		sameAsJSON(t, news.Reading{ID: name, Text: text, Entities: []string{text, name}, Topic: news.Topic{Label: name, Probability: x}, PublishedAt: time.Unix(at, at%1e9).UTC()})
	})
}

// A reading's place on its topic is made without allocation: a batch has one buffer for all.
func TestAppendJSONAllocatesNothing(t *testing.T) {
	buffer := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := reading.AppendJSON(buffer); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkReading(b *testing.B) {
	b.Run("AppendJSON", func(b *testing.B) {
		b.ReportAllocs()
		buffer := make([]byte, 0, 4096)
		for b.Loop() {
			_, _ = reading.AppendJSON(buffer)
		}
	})
	b.Run("Marshal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = json.Marshal(reading)
		}
	})
}
