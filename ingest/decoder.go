package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/news"
)

// DecoderConfig says how the messages of one topic become items.
type DecoderConfig struct {
	Kind    news.Kind         // of messages that do not say; "" = news
	Mapping map[string]string // field of the wire format → JSON Pointer; a field not named is read by its own name, "" = not read

	MaxTextBytes int              // of title and text together, UTF-8; 0 = 1 MiB
	MaxAhead     time.Duration    // how far in the future a publication may lie; 0 = 10 min, negative = any
	History      time.Duration    // how far in the past; 0 = 14 days, negative = any
	Clock        func() time.Time // nil = time.Now
}

// Decoder turns a message's value into an item. It has no state but its configuration and
// is safe for concurrent use.
type Decoder struct {
	cfg    DecoderConfig
	fields map[string]pointer
}

// fields of an item on the wire, and with them the keys of a mapping.
var fieldNames = []string{"id", "kind", "source", "published_at", "title", "text", "lang", "entities", "url"}

// NewDecoder checks the configuration. The error names the field that does not exist, the
// pointer that is none or the unknown kind.
func NewDecoder(cfg DecoderConfig) (*Decoder, error) {
	if cfg.Kind == "" {
		cfg.Kind = news.KindNews
	}
	if cfg.Kind != news.KindNews && cfg.Kind != news.KindComment {
		return nil, fmt.Errorf("kind %q: known are %s and %s", cfg.Kind, news.KindNews, news.KindComment)
	}
	if cfg.MaxTextBytes <= 0 {
		cfg.MaxTextBytes = 1 << 20
	}
	if cfg.MaxAhead == 0 {
		cfg.MaxAhead = 10 * time.Minute
	}
	if cfg.History == 0 {
		cfg.History = 14 * 24 * time.Hour
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	d := &Decoder{cfg: cfg, fields: map[string]pointer{}}
	for _, name := range fieldNames {
		d.fields[name] = pointer{name}
	}
	for name, text := range cfg.Mapping {
		if _, known := d.fields[name]; !known {
			return nil, fmt.Errorf("mapping: %q is no field of an item; fields are %s", name, strings.Join(fieldNames, ", "))
		}
		if text == "" {
			delete(d.fields, name)
			continue
		}
		p, err := parsePointer(text)
		if err != nil {
			return nil, fmt.Errorf("mapping: %s: %w", name, err)
		}
		d.fields[name] = p
	}
	return d, nil
}

// Items makes a consumer's Decode of the decoders of its topics.
func Items(byTopic map[string]*Decoder) func(kafka.Message) (news.Item, error) {
	return func(m kafka.Message) (news.Item, error) {
		d, ok := byTopic[m.Topic]
		if !ok {
			return news.Item{}, fmt.Errorf("no decoder for topic %s", m.Topic)
		}
		return d.Decode(m.Value)
	}
}

// Decode reads one message. Its error is a *Rejection. Of doubled keys the last counts, as
// in JavaScript. Control characters in title and text become spaces, so that no headline
// can speak to a terminal.
func (d *Decoder) Decode(value []byte) (news.Item, error) {
	document, err := d.parse(value)
	if err != nil {
		return news.Item{}, err
	}
	r := &fieldReader{fields: d.fields, document: document}
	item := news.Item{
		ID:       r.name("id", 512),
		Kind:     d.cfg.Kind,
		Source:   r.name("source", 256),
		Title:    r.text("title"),
		Text:     r.text("text"),
		Lang:     r.name("lang", 35), // the longest that BCP 47, section 4.4.1, asks for
		Entities: r.entities(),
		URL:      r.name("url", 4096),
	}
	if kind := r.name("kind", 16); kind != "" {
		item.Kind = news.Kind(kind)
	}
	item.PublishedAt = r.time("published_at")
	if r.err != nil {
		return news.Item{}, r.err
	}
	if err := d.check(item); err != nil {
		return news.Item{}, err
	}
	return complete(item), nil
}

// parse is everything that is wrong with a message whatever its fields are. encoding/json
// refuses nesting deeper than 10,000 by itself.
func (d *Decoder) parse(value []byte) (map[string]any, error) {
	// An escape takes six bytes for a character of one: what is longer yet holds too much
	// text, or too much else to be parsed for it.
	if limit := 8 * d.cfg.MaxTextBytes; len(value) > limit {
		return nil, reject(TooLarge, "", "the message has %d bytes; at most %d are parsed", len(value), limit)
	}
	if !utf8.Valid(value) {
		return nil, reject(InvalidUTF8, "", "byte %d of the message", firstInvalid(value))
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber() // float64 does not hold every id
	var document any
	if err := decoder.Decode(&document); err != nil {
		return nil, &Rejection{Class: NotJSON, Err: err}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, reject(NotJSON, "", "more after the JSON object")
	}
	object, ok := document.(map[string]any)
	if !ok {
		return nil, reject(NotJSON, "", "%s where an object is needed", typeName(document))
	}
	return object, nil
}

func firstInvalid(value []byte) int {
	for i := 0; i < len(value); {
		r, size := utf8.DecodeRune(value[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(value)
}

// check is what can be wrong with an item whose fields are well-formed.
func (d *Decoder) check(item news.Item) error {
	now := d.cfg.Clock()
	switch size := len(item.Title) + len(item.Text); {
	case item.Kind != news.KindNews && item.Kind != news.KindComment:
		return reject(BadValue, "kind", "%q: known are %s and %s", item.Kind, news.KindNews, news.KindComment)
	case item.Title == "" && item.Text == "":
		return reject(NoText, "", "neither title nor text")
	case size > d.cfg.MaxTextBytes:
		return reject(TooLarge, "text", "%d bytes of title and text; at most %d are read", size, d.cfg.MaxTextBytes)
	case item.PublishedAt.IsZero():
		return reject(NoTime, "published_at", "missing")
	case d.cfg.MaxAhead >= 0 && item.PublishedAt.After(now.Add(d.cfg.MaxAhead)):
		return reject(Future, "published_at", "%s is after %s", item.PublishedAt.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case d.cfg.History >= 0 && item.PublishedAt.Before(now.Add(-d.cfg.History)):
		return reject(TooOld, "published_at", "%s is before the history kept, %s", item.PublishedAt.Format(time.RFC3339), news.Duration(d.cfg.History))
	}
	return nil
}

// complete fills in what follows from the other fields: the source from the URL's host,
// and the id.
func complete(item news.Item) news.Item {
	if item.Source == "" {
		if u, err := url.Parse(item.URL); err == nil {
			item.Source = strings.TrimPrefix(strings.ToLower(u.Hostname()), "www.")
		}
	}
	if item.ID == "" {
		item.ID = Digest(item)
	}
	return item
}

// Digest is the id of an item that came without one: 32 hex digits of SHA-256 over source,
// url, title and text, each after its length, so that no two items run together.
func Digest(item news.Item) string {
	hash := sha256.New()
	for _, s := range []string{item.Source, item.URL, item.Title, item.Text} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(s)))
		hash.Write(length[:])
		hash.Write([]byte(s))
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}
