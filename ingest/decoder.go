package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
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
// is safe for concurrent use. Of an item that is taken it allocates the strings, each by itself,
// and the list of entities.
type Decoder struct {
	cfg     DecoderConfig
	mapping node
	readers sync.Pool // of *reader
}

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
	for name := range cfg.Mapping {
		if !slices.Contains(fieldNames[:], name) {
			return nil, fmt.Errorf("mapping: %q is no field of an item; fields are %s", name, strings.Join(fieldNames[:], ", "))
		}
	}
	d := &Decoder{cfg: cfg, readers: sync.Pool{New: func() any { return &reader{} }}}
	for f, name := range fieldNames {
		text, mapped := cfg.Mapping[name]
		p := pointer{name}
		if mapped && text == "" {
			continue
		}
		if mapped {
			var err error
			if p, err = parsePointer(text); err != nil {
				return nil, fmt.Errorf("mapping: %s: %w", name, err)
			}
		}
		d.mapping.add(p, field(f))
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
// can speak to a terminal; in other fields, which are keys and labels, they are refused.
func (d *Decoder) Decode(value []byte) (news.Item, error) {
	r := d.readers.Get().(*reader)
	defer d.giveBack(r)
	if err := d.parse(r, value); err != nil {
		return news.Item{}, err
	}
	item := news.Item{
		ID:       r.name(fieldID, 512),
		Source:   r.name(fieldSource, 256),
		Title:    r.prose(fieldTitle),
		Text:     r.prose(fieldText),
		Lang:     r.name(fieldLang, 35), // the longest that BCP 47, section 4.4.1, asks for
		Entities: r.entities(),
		URL:      r.name(fieldURL, 4096),
	}
	item.Kind = r.kind(d.cfg.Kind)
	item.PublishedAt = r.time(fieldPublishedAt)
	if r.err != nil {
		return news.Item{}, r.err
	}
	if err := d.check(&item); err != nil {
		return news.Item{}, err
	}
	r.complete(&item)
	return item, nil
}

// giveBack keeps a reader for the next message, without the message, and without the memory
// that an unusually long one took.
func (d *Decoder) giveBack(r *reader) {
	const usual = 64 << 10
	r.text, r.err = nil, nil
	if cap(r.scratch) > usual {
		r.scratch = nil
	}
	if cap(r.key) > usual {
		r.key = nil
	}
	d.readers.Put(r)
}

// parse is everything that is wrong with a message whatever its fields are. Nesting deeper than
// 10,000 is.
func (d *Decoder) parse(r *reader, value []byte) error {
	// An escape takes six bytes for a character of one: what is longer yet holds too much
	// text, or too much else to be parsed for it.
	if limit := 8 * d.cfg.MaxTextBytes; len(value) > limit {
		return reject(TooLarge, "", "the message has %d bytes; at most %d are parsed", len(value), limit)
	}
	value = bytes.TrimPrefix(value, []byte("\ufeff")) // a byte-order mark, which RFC 8259, section 8.1, lets a parser ignore
	if !utf8.Valid(value) {
		return reject(InvalidUTF8, "", "byte %d of the message", firstInvalid(value))
	}
	if !r.scan(value, &d.mapping) {
		return &Rejection{Class: NotJSON, Err: syntaxError(value)}
	}
	if document := bytes.TrimLeft(value, " \t\r\n"); document[0] != '{' {
		return reject(NotJSON, "", "%s where an object is needed", typeName(document))
	}
	return nil
}

// syntaxError says what is wrong with a document, in encoding/json's words.
func syntaxError(document []byte) error {
	var v json.RawMessage
	if err := json.Unmarshal(document, &v); err != nil {
		return err
	}
	return errors.New("not one JSON document")
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
func (d *Decoder) check(item *news.Item) error {
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
func (r *reader) complete(item *news.Item) {
	if item.Source == "" && item.URL != "" {
		item.Source = hostOf(item.URL)
	}
	if item.ID == "" {
		item.ID = r.digest(item)
	}
}

// hostOf is a URL's host in lower case, without a www; "" where it is no URL or has none. The
// host of a plain URL is a part of it, without memory of its own.
func hostOf(address string) string {
	rest, plain := strings.CutPrefix(address, "https://")
	if !plain {
		rest, plain = strings.CutPrefix(address, "http://")
	}
	if plain && !strings.ContainsRune(rest, '%') {
		end := strings.IndexByte(rest, '/')
		if host := rest[:max(end, 0)]; host != "" && strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" {
			return strings.TrimPrefix(host, "www.")
		}
	}
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.ToLower(u.Hostname()), "www.")
}

// Complete makes an item that was read elsewhere what Decode would: without control characters in title
// and text, with the source from the URL's host and the id where it lacks them.
func Complete(item *news.Item) {
	var r reader
	item.Title, item.Text = printable(item.Title), printable(item.Text)
	r.complete(item)
}

// Digest is the id of an item that came without one: 32 hex digits of SHA-256 over source,
// url, title and text, each after its length, so that no two items run together.
func Digest(item news.Item) string {
	var r reader
	return r.digest(&item)
}

func (r *reader) digest(item *news.Item) string {
	r.scratch = r.scratch[:0]
	for _, s := range [...]string{item.Source, item.URL, item.Title, item.Text} {
		r.scratch = binary.BigEndian.AppendUint64(r.scratch, uint64(len(s)))
		r.scratch = append(r.scratch, s...)
	}
	sum := sha256.Sum256(r.scratch)
	r.scratch = hex.AppendEncode(r.scratch[:0], sum[:16])
	return string(r.scratch)
}
