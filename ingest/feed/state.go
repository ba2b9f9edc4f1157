package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/barograph/barograph/internal/lockfile"
	"github.com/barograph/barograph/news"
)

// state is what the poller remembers, and the state file's content.
type state struct {
	Feeds map[string]feedState `json:"feeds"` // by URL
}

// feedState is what is known of one feed.
type feedState struct {
	ETag         string               `json:"etag,omitempty"`
	LastModified string               `json:"last_modified,omitempty"`
	Read         time.Time            `json:"read,omitzero"` // when it was last read, whether it had changed or not; zero = never
	Seen         map[string]time.Time `json:"seen"`          // item id → when the feed last had it
}

// forgetAfter is how long an id is remembered after it has left its feed: feeds repeat
// their last items, not those of a month ago, and ingest would refuse them as too old.
const forgetAfter = 30 * 24 * time.Hour

// maxSeen bounds what a feed that invents ids can make us remember.
const maxSeen = 20_000

// lockState keeps the state file to one process: of two, each would write what the other has seen
// out of it.
func lockState(path string) (unlock func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	unlock, err = lockfile.Take(path + ".lock")
	if errors.Is(err, lockfile.ErrHeld) {
		return nil, fmt.Errorf("feed: another process uses the state file %s: give this one its own with --state, or all feeds to one", path)
	}
	if err != nil {
		return nil, fmt.Errorf("feed: state file %s: %w", path, err)
	}
	return unlock, nil
}

func readState(path string) (state, error) {
	s := state{Feeds: map[string]feedState{}}
	if path == "" {
		return s, nil
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &s)
	}
	if err != nil {
		return s, fmt.Errorf("feed: state file %s (remove it to start anew): %w", path, err)
	}
	if s.Feeds == nil {
		s.Feeds = map[string]feedState{}
	}
	return s, nil
}

// write replaces the file by way of another one beside it, so that a crash leaves the old
// state or the new.
func (s state) write(path string) error {
	if path == "" {
		return nil
	}
	content, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	beside, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	_, err = beside.Write(content)
	if err == nil {
		err = beside.Sync()
	}
	if e := beside.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(beside.Name(), path)
	}
	if err != nil {
		_ = os.Remove(beside.Name())
		return fmt.Errorf("state file %s: %w", path, err)
	}
	return nil
}

// unseen are the items that the feed has not had before, the oldest (which feeds put last)
// first.
func (f feedState) unseen(items []news.Item) []news.Item {
	var fresh []news.Item
	listed := map[string]bool{}
	for i := len(items) - 1; i >= 0; i-- {
		id := items[i].ID
		if _, seen := f.Seen[id]; !seen && !listed[id] {
			fresh = append(fresh, items[i])
		}
		listed[id] = true
	}
	return fresh
}

// unchanged is the state once the server has said that nothing has changed.
func (f feedState) unchanged(now time.Time) feedState {
	f.Read = now
	return f
}

// after is the state once the answer's items are in Kafka.
func (f feedState) after(got fetched, items []news.Item, now time.Time) feedState {
	next := feedState{ETag: got.etag, LastModified: got.lastModified, Read: now, Seen: map[string]time.Time{}}
	for id, last := range f.Seen {
		if now.Sub(last) < forgetAfter {
			next.Seen[id] = last
		}
	}
	for _, item := range items {
		next.Seen[item.ID] = now
	}
	if surplus := len(next.Seen) - maxSeen; surplus > 0 {
		ids := slices.SortedFunc(maps.Keys(next.Seen), func(a, b string) int { return next.Seen[a].Compare(next.Seen[b]) })
		for _, id := range ids[:surplus] {
			delete(next.Seen, id)
		}
	}
	return next
}
