package ingest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/news"
)

// oracle reads an item the long way: encoding/json builds the document, and each pointer is
// followed in it. It knows the fields' values, not the bounds on them.
type oracle struct {
	mapping map[string]string
	wrong   bool // a field has a value of the wrong type
}

func (o *oracle) decode(value []byte) (item news.Item, isObject bool) {
	value = bytes.TrimPrefix(value, []byte("\ufeff"))
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var document any
	if decoder.Decode(&document) != nil || len(bytes.TrimLeft(value[decoder.InputOffset():], " \t\r\n")) > 0 {
		return item, false
	}
	if _, isObject = document.(map[string]any); !isObject {
		return item, false
	}
	item = news.Item{
		ID: o.str(document, "id"), Kind: news.Kind(o.str(document, "kind")), Source: o.str(document, "source"), Title: printable(o.str(document, "title")),
		Text: printable(o.str(document, "text")), Lang: o.str(document, "lang"), URL: o.str(document, "url"),
	}
	switch list := o.find(document, "entities").(type) {
	case nil:
	case string:
		item.Entities = strings.Split(list, ",")
	case []any:
		for _, element := range list {
			name, ok := element.(string)
			o.wrong = o.wrong || !ok
			item.Entities = append(item.Entities, name)
		}
	default:
		o.wrong = true
	}
	for i, name := range item.Entities {
		item.Entities[i] = strings.TrimSpace(name)
	}
	slices.Sort(item.Entities)
	item.Entities = slices.DeleteFunc(slices.Compact(item.Entities), func(name string) bool { return name == "" })
	switch at := o.find(document, "published_at").(type) {
	case string, json.Number:
		item.PublishedAt, _ = ingest.ParseTime(fmt.Sprint(at))
	case nil:
	default:
		o.wrong = true
	}
	if u, err := url.Parse(item.URL); err == nil && item.Source == "" {
		item.Source = strings.TrimPrefix(strings.ToLower(u.Hostname()), "www.")
	}
	if item.Kind == "" {
		item.Kind = news.KindNews
	}
	if item.ID == "" {
		item.ID = ingest.Digest(item)
	}
	return item, true
}

func (o *oracle) find(document any, field string) any {
	path, mapped := o.mapping[field]
	if mapped && path == "" {
		return nil
	}
	tokens := []string{field}
	if mapped {
		tokens = strings.Split(path[1:], "/")
	}
	for _, token := range tokens {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch in := document.(type) {
		case map[string]any:
			document = in[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || strconv.Itoa(i) != token || i < 0 || i >= len(in) {
				return nil
			}
			document = in[i]
		default:
			return nil
		}
	}
	return document
}

func (o *oracle) str(document any, field string) string {
	switch value := o.find(document, field).(type) {
	case nil:
	case string:
		return strings.TrimSpace(value)
	case json.Number:
		if field == "id" {
			return value.String()
		}
		o.wrong = true
	default:
		o.wrong = true
	}
	return ""
}

func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && !strings.ContainsRune("\n\t\r", c) {
			return ' '
		}
		return c
	}, s))
}

// mappings that share parts of their paths, and one of the wire format as it is.
var mappings = []map[string]string{
	nil,
	{"id": "/guid", "text": "/content/body", "title": "/content/0", "published_at": "/dates/0", "source": "/from~1by", "entities": "/tickers", "lang": "/tickers/1", "url": "", "kind": ""},
	{"text": "/a/b", "title": "/a", "entities": "/a/c", "id": "/0", "source": "/a/0/b", "published_at": "/published_at"},
}

// agrees compares a decoder with the oracle on one message.
func agrees(t *testing.T, decoders []*ingest.Decoder, value []byte) (taken int) {
	t.Helper()
	for i, d := range decoders {
		o := oracle{mapping: mappings[i]}
		want, isObject := o.decode(value)
		got, err := d.Decode(value)
		switch {
		case errors.Is(err, ingest.InvalidUTF8), errors.Is(err, ingest.TooLarge):
		case !isObject || errors.Is(err, ingest.NotJSON):
			if isObject == errors.Is(err, ingest.NotJSON) {
				t.Fatalf("%s: an object: %v, but %v", value, isObject, err)
			}
		case o.wrong || errors.Is(err, ingest.WrongType):
			if err == nil || !o.wrong {
				t.Fatalf("%s: by mapping %d a wrong type: %v, but %v", value, i, o.wrong, err)
			}
		case err == nil:
			taken++
			if len(got.Entities) == 0 {
				got.Entities, want.Entities = nil, want.Entities[:0:0]
			}
			if len(want.Entities) == 0 {
				want.Entities = nil
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: by mapping %d\ngot  %+v\nwant %+v", value, i, got, want)
			}
		}
	}
	return taken
}

func allDecoders(t testing.TB) (all []*ingest.Decoder) {
	for _, mapping := range mappings {
		all = append(all, decoder(t, ingest.DecoderConfig{Mapping: mapping, MaxAhead: -1, History: -1}))
	}
	return all
}

// TestDecodeAgreesWithEncodingJSON is on documents made up of what the mappings read: doubled
// keys, escapes, values of any type in any place, and bytes gone wrong.
func TestDecodeAgreesWithEncodingJSON(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	decoders, taken := allDecoders(t), 0
	for range 40_000 {
		m := maker{rng: rng}
		m.object(0)
		if rng.IntN(4) == 0 {
			at := rng.IntN(len(m.out))
			m.out[at] = `{}[]",:\0 a-1.eE+nu`[rng.IntN(19)]
		}
		if rng.IntN(20) == 0 {
			m.out = m.out[:rng.IntN(len(m.out))]
		}
		taken += agrees(t, decoders, m.out)
	}
	if taken < 5000 {
		t.Errorf("only %d items were taken: the documents test little", taken)
	}
}

// maker makes up documents.
type maker struct {
	rng *rand.Rand
	out []byte
}

func (m *maker) pick(of ...string) string { return of[m.rng.IntN(len(of))] }

func (m *maker) add(s string) { m.out = append(m.out, s...) }

func (m *maker) space() {
	if m.rng.IntN(6) == 0 {
		m.add(m.pick(" ", "\n", "\t", "\r\n", "  "))
	}
}

func (m *maker) object(depth int) {
	m.add("{")
	if depth == 0 {
		m.add(m.pick(`"published_at":1773142200,`, `"dates":["2026-03-10T11:30:00+01:00"],"published_at":"1773142200",`, ``))
		m.add(m.pick(`"text":"T"`, `"a":{"b":"B"}`, `"content":{"body":"C"}`, `"x":1`))
	} else {
		m.member(depth)
	}
	for range m.rng.IntN(5) {
		m.add(",")
		m.member(depth)
	}
	m.space()
	m.add("}")
}

func (m *maker) member(depth int) {
	m.space()
	m.add(m.pick(`"a"`, `"b"`, `"c"`, `"0"`, `"id"`, `"kind"`, `"title"`, `"text"`, `"t\u0065xt"`, `"content"`, `"body"`, `"tickers"`, `"entities"`, `"from/by"`,
		`"from\/by"`, `"guid"`, `"url"`, `"source"`, `"lang"`, `"dates"`, `"\ud83d"`))
	m.space()
	m.add(":")
	m.value(depth + 1)
}

func (m *maker) value(depth int) {
	m.space()
	switch n := m.rng.IntN(10); {
	case n == 0 && depth < 5:
		m.object(depth)
	case n == 1 && depth < 5:
		m.add("[")
		for i := range m.rng.IntN(4) {
			if i > 0 {
				m.add(",")
			}
			m.value(depth + 1)
		}
		m.space()
		m.add("]")
	case n == 2:
		m.add(m.pick("0", "-0", "17", "1.5e3", "-1E-2", "01", "1.", "true", "false", "nul", "12345678901234567890"))
	case n == 3:
		m.add("null")
	default:
		m.add(m.pick(`"AAPL"`, `" MSFT,AAPL ,"`, `"\ud83d\ude00 up"`, `"\ud83d\u0041"`, `"\udc00"`, `"a\tb\u0000\u0085"`, `"跌停 \"8%\""`, `"\\\/\b\f\n\r"`, `"https://www.A.example/x"`,
			`"https://a.example/%zz"`, `"http://www.b.example:80/"`, `"en"`, `"news"`, `"comment"`, `""`, `" "`, "\"\u00a0nbsp\u007f\"", `"\u12g4"`, `"\x"`))
	}
	m.space()
}

func FuzzDecodeAgreesWithEncodingJSON(f *testing.F) {
	for _, m := range badMessages {
		if len(m.value) < 1000 {
			f.Add([]byte(m.value))
		}
	}
	f.Add([]byte(`{"a":{"b":"x","c":["y"],"b":null},"a":[{"b":1}],"0":2,"tickers":["a","b"],"published_at":1773142200}`))
	decoders := allDecoders(f)
	f.Fuzz(func(t *testing.T, value []byte) { agrees(t, decoders, value) })
}
