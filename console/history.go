package console

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/barograph/barograph/news"
)

const (
	maxAlerts = 5000 // alerts remembered
	maxTold   = 100  // messages remembered of one
)

// told is an alert and what was said of it.
type told struct {
	alert news.Alert
	said  []Said
	keys  []string // of the messages in said
}

// Said is one message about an alert.
type Said struct {
	At       time.Time     `json:"at"`
	Status   news.Status   `json:"status"`
	Severity news.Severity `json:"severity"`
	Window   news.Duration `json:"window"`
	Items    int           `json:"items"`
	Count    int           `json:"count"` // of them negative; positive in a positive spike, all in one of volume
	Expected float64       `json:"expected"`
	Surprise float64       `json:"surprise"`
}

// AddAlert takes in a message of the alerts topic that was written at a time. One of a
// known key is a repetition. live says that it came in just now.
func (x *Index) AddAlert(a news.Alert, at time.Time, key string, live bool) {
	if a.ID == "" || !x.addAlert(a, at, key) || !live {
		return
	}
	x.hub.alert(a)
}

func (x *Index) addAlert(a news.Alert, at time.Time, key string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.alerts[a.ID]
	if t == nil {
		t = &told{}
		x.alerts[a.ID] = t
	}
	if slices.Contains(t.keys, key) {
		return false
	}
	t.keys = append(t.keys, key)
	t.said = append(t.said, Said{At: at.UTC(), Status: a.Status, Severity: a.Severity, Window: a.Window, Items: a.Items,
		Count: a.Count(), Expected: a.Expected, Surprise: a.Surprise})
	t.alert = a
	if n := len(t.said) - maxTold; n > 0 {
		t.said, t.keys = t.said[n:], t.keys[n:]
	}
	if len(x.alerts) > maxAlerts {
		oldest := x.alertsByTime()
		for _, gone := range oldest[maxAlerts*9/10:] {
			delete(x.alerts, gone.alert.ID)
		}
	}
	return true
}

// alertsByTime lists the alerts, the latest first.
func (x *Index) alertsByTime() []*told {
	all := make([]*told, 0, len(x.alerts))
	for _, t := range x.alerts {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *told) int {
		return cmp.Or(b.alert.FiredAt.Compare(a.alert.FiredAt), strings.Compare(a.alert.ID, b.alert.ID))
	})
	return all
}

// Alerts lists the alerts on record, the latest first.
func (x *Index) Alerts() []news.Alert {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make([]news.Alert, 0, len(x.alerts))
	for _, t := range x.alertsByTime() {
		out = append(out, t.alert)
	}
	return out
}

// Alert is an alert and what was said of it, the first message first.
func (x *Index) Alert(id string) (news.Alert, []Said, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	t := x.alerts[id]
	if t == nil {
		return news.Alert{}, nil, false
	}
	return t.alert, slices.Clone(t.said), true
}
