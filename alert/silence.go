package alert

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
)

// Silence mutes series until a time. Entity and Topic are compared without regard to
// case, and an empty one matches all; "*" as Entity with no Topic mutes everything.
// Muted alerts are kept and speak when the silence ends while they are still on. The
// resolution of an alert told before goes out all the same.
//
// With Exact it mutes the one series of which Entity and Topic are these. With Alert it ends
// when that alert is resolved, though not later than Until. Desk.Mute makes such silences.
type Silence struct {
	ID        string    `json:"id"`
	Entity    string    `json:"entity,omitempty"`
	Topic     string    `json:"topic,omitempty"`
	Exact     bool      `json:"exact,omitempty"`
	Alert     string    `json:"alert,omitempty"`
	Until     time.Time `json:"until"`
	Author    string    `json:"author,omitempty"`
	Comment   string    `json:"comment,omitempty"`
	CreatedAt time.Time `json:"created_at"`
}

func (m Silence) mutes(s news.Series, now time.Time) bool {
	if m.Exact {
		return now.Before(m.Until) && strings.EqualFold(m.Entity, s.Entity) && strings.EqualFold(m.Topic, s.Topic)
	}
	return now.Before(m.Until) &&
		(m.Entity == "" || m.Entity == "*" || strings.EqualFold(m.Entity, s.Entity)) &&
		(m.Topic == "" || strings.EqualFold(m.Topic, s.Topic))
}

// silence puts a silence in force and drops those that ended a day ago.
func (s *state) silence(m Silence, now time.Time) {
	s.endSilences(func(o Silence) bool { return o.ID == m.ID || now.Sub(o.Until) > 24*time.Hour })
	s.silences = append(s.silences, m)
	s.resilenced[m.ID] = true
}

// endSilences takes the silences that match out of force.
func (s *state) endSilences(match func(Silence) bool) {
	s.silences = slices.DeleteFunc(s.silences, func(m Silence) bool {
		if match(m) {
			s.resilenced[m.ID] = true
			return true
		}
		return false
	})
}

// Errors of Silences.
var (
	ErrNoSuchSilence  = errors.New("no such silence")
	ErrInvalidSilence = errors.New("invalid silence")
)

// Silences are the silences that the desks on a Redis obey.
type Silences struct {
	store *store
	clock func() time.Time
}

// NewSilences opens the silences under prefix ("" = "barograph"), by the clock that the
// desks keep (nil = time.Now). It makes no network call.
func NewSilences(client redis.UniversalClient, prefix string, clock func() time.Time) *Silences {
	orElse(&prefix, "barograph")
	if clock == nil {
		clock = time.Now
	}
	return &Silences{store: newStore(client, prefix), clock: clock}
}

// Add puts a silence in force and returns it with its ID and time of creation. It needs a
// matcher and an end in the future; its error is ErrInvalidSilence then. A decision made
// after Add has returned obeys it.
func (s *Silences) Add(ctx context.Context, m Silence) (Silence, error) {
	now := s.clock()
	switch {
	case m.Entity == "" && m.Topic == "":
		return m, fmt.Errorf("%w: give an entity or a topic, or the entity * for everything", ErrInvalidSilence)
	case !m.Until.After(now):
		return m, fmt.Errorf("%w: its end %s is not in the future", ErrInvalidSilence, m.Until.Format(time.RFC3339))
	}
	m.ID, m.CreatedAt = strings.ToLower(rand.Text()[:10]), now
	raw, err := json.Marshal(m)
	if err != nil {
		return m, fmt.Errorf("adding a silence: %w", err)
	}
	ended, err := s.ended(ctx, now.Add(-24*time.Hour))
	if err != nil {
		return m, fmt.Errorf("adding a silence: %w", err)
	}
	if err := s.store.setSilence(ctx, m.ID, raw, ended); err != nil {
		return m, fmt.Errorf("adding a silence: %w", err)
	}
	return m, nil
}

// ended lists the IDs of silences that ended before a time: Add drops them.
func (s *Silences) ended(ctx context.Context, before time.Time) ([]string, error) {
	all, err := s.store.silences(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, m := range all {
		if m.Until.Before(before) {
			ids = append(ids, m.ID)
		}
	}
	return ids, nil
}

// List returns the silences in force, the first to end first.
func (s *Silences) List(ctx context.Context) ([]Silence, error) {
	all, err := s.store.silences(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing silences: %w", err)
	}
	now := s.clock()
	active := slices.DeleteFunc(all, func(m Silence) bool { return !now.Before(m.Until) })
	slices.SortFunc(active, func(a, b Silence) int {
		if c := a.Until.Compare(b.Until); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return active, nil
}

// Remove ends a silence. The error is ErrNoSuchSilence where there is none of that ID.
func (s *Silences) Remove(ctx context.Context, id string) error {
	removed, err := s.store.removeSilence(ctx, id)
	if err != nil {
		return fmt.Errorf("removing silence %s: %w", id, err)
	}
	if !removed {
		return fmt.Errorf("removing silence %s: %w", id, ErrNoSuchSilence)
	}
	return nil
}
