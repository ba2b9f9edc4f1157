package feed

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mmcdole/gofeed"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/news"
)

// ErrFeed is returned for what is no feed, or one made to do harm.
var ErrFeed = errors.New("not a feed that can be read")

// maxTextBytes of one item: what ingest reads by default, less the title's part.
const maxTextBytes = 1<<20 - maxTitleBytes

const maxTitleBytes = 4096

// Fields are those that an item of a feed may have.
var Fields = []string{"id", "kind", "source", "published_at", "title", "text", "url"}

// parse reads a feed's items, those with neither title nor text left out. An item without a
// date has none yet: date gives it one.
func parse(body []byte, feedURL string, kind news.Kind) (items []news.Item, err error) {
	if err := checkDepth(body); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			items, err = nil, fmt.Errorf("%w: the parser failed: %v", ErrFeed, p)
		}
	}()
	parsed, err := gofeed.NewParser().Parse(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFeed, err)
	}
	for _, entry := range parsed.Items {
		if item, ok := toItem(entry, feedURL, kind); ok {
			items = append(items, item)
		}
	}
	return items, nil
}

func toItem(entry *gofeed.Item, feedURL string, kind news.Kind) (news.Item, bool) {
	body := entry.Content
	if body == "" {
		body = entry.Description
	}
	item := news.Item{
		Kind:        kind,
		PublishedAt: published(entry),
		Title:       cut(plainText(entry.Title), maxTitleBytes),
		Text:        cut(plainText(body), maxTextBytes),
		URL:         link(entry.Link, feedURL),
	}
	item.Source = host(item.URL)
	if item.Source == "" {
		item.Source = host(feedURL)
	}
	switch guid := strings.TrimSpace(entry.GUID); {
	case isWebURL(guid) && len(guid) <= 512:
		item.ID = guid
	case guid != "":
		// Unique within its feed at best.
		sum := sha256.Sum256([]byte(feedURL + "\n" + guid))
		item.ID = hex.EncodeToString(sum[:16])
	case item.URL != "" && len(item.URL) <= 512:
		item.ID = item.URL
	default:
		item.ID = ingest.Digest(item)
	}
	return item, item.Title != "" || item.Text != ""
}

// published trusts our reading of the date before gofeed's, which takes EST for UTC. It is
// zero where the entry has none.
func published(entry *gofeed.Item) time.Time {
	for _, date := range []string{entry.Published, entry.Updated} {
		if t, err := ingest.ParseTime(date); err == nil {
			return t
		}
	}
	for _, parsed := range []*time.Time{entry.PublishedParsed, entry.UpdatedParsed} {
		if parsed != nil {
			return parsed.UTC()
		}
	}
	return time.Time{}
}

// link is the entry's address if it is one that people may be shown: no javascript: and
// no control characters.
func link(s, base string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if s == "" || err != nil {
		return ""
	}
	if b, err := url.Parse(base); err == nil {
		u = b.ResolveReference(u)
	}
	if s = u.String(); !isWebURL(s) || len(s) > 4096 {
		return ""
	}
	return s
}

func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
		utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

func host(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.ToLower(u.Hostname()), "www.")
}

// cut shortens to max bytes at the end of a character.
func cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return strings.ToValidUTF8(s[:max], "")
}
