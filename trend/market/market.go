// Package market knows the hours of an exchange's days: its time zone, with summer time, and
// its holidays. News follows them, and so does what is usual at an hour.
package market

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	_ "time/tzdata" // zones also where the system has none
)

//go:embed holidays.txt
var table string

// Market is an exchange, by its market identifier code (ISO 10383). It is safe for concurrent
// use.
type Market struct {
	name  string
	zone  *time.Location
	free  map[date]bool // weekdays without a session
	known int           // the last year whose holidays are known
	days  [cachedDays]atomic.Pointer[[halfHours]Hour]
}

type date struct {
	year  int
	month time.Month
	day   int
}

// Hour is a place in the week as an exchange sees it.
type Hour struct {
	Of   int  // hour of the day, 0 to 23, in the exchange's zone
	Free bool // a day of the weekend or a holiday; days that end early are not
}

const (
	halfHours  = 48
	firstDay   = 45 * 365 // of what is kept once worked out, in days since 1970: 2014
	cachedDays = 30 * 365
)

// Notice is how long before the known holidays end people are told: long enough for a newer version
// to be put in.
const Notice = 60 * 24 * time.Hour

// Open finds a market by its code, such as XNYS or XSHG. An error names the codes there are.
func Open(code string) (*Market, error) {
	all, err := parse(table)
	if err != nil {
		return nil, fmt.Errorf("market: holidays.txt: %w", err)
	}
	m := all[code]
	if m == nil {
		return nil, fmt.Errorf("market %q is not known; there are %s", code, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	}
	return m, nil
}

// String is the market's code.
func (m *Market) String() string { return m.name }

// Known is the last year whose holidays are known; of later years, weekends are.
func (m *Market) Known() int { return m.known }

// Zone is the exchange's time zone.
func (m *Market) Zone() *time.Location { return m.zone }

// KnownUntil is when the first day begins there whose holidays are not known.
func (m *Market) KnownUntil() time.Time {
	return time.Date(m.known+1, time.January, 1, 0, 0, 0, 0, m.zone)
}

// RunsOut tells whether the known holidays end within Notice of a time, or have ended.
func (m *Market) RunsOut(now time.Time) bool { return now.Add(Notice).After(m.KnownUntil()) }

// Hour is where a time lies in the exchange's week. It is the same within each half hour of UTC.
func (m *Market) Hour(t time.Time) Hour {
	half := t.Unix() / 1800
	day := half/halfHours - firstDay
	if t.Unix() < 0 || day < 0 || day >= cachedDays {
		return m.hour(t)
	}
	known := m.days[day].Load()
	if known == nil {
		known = new([halfHours]Hour)
		for i := range known {
			known[i] = m.hour(time.Unix(((day+firstDay)*halfHours+int64(i))*1800, 0))
		}
		m.days[day].Store(known)
	}
	return known[half%halfHours]
}

func (m *Market) hour(t time.Time) Hour {
	local := t.In(m.zone)
	year, month, day := local.Date()
	weekday := local.Weekday()
	return Hour{Of: local.Hour(), Free: weekday == time.Saturday || weekday == time.Sunday || m.free[date{year, month, day}]}
}

// parse reads the table: a line with code and zone, then a line a year with its holidays.
func parse(text string) (map[string]*Market, error) {
	all := map[string]*Market{}
	var m *Market
	for number, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		year, err := strconv.Atoi(words[0])
		if err != nil {
			if len(words) != 2 {
				return nil, fmt.Errorf("line %d: want a code and its zone", number+1)
			}
			m = &Market{name: words[0], free: map[date]bool{}}
			if m.zone, err = time.LoadLocation(words[1]); err != nil {
				return nil, fmt.Errorf("line %d: %w", number+1, err)
			}
			all[m.name] = m
			continue
		}
		if m == nil {
			return nil, fmt.Errorf("line %d: days of no market", number+1)
		}
		for _, word := range words[1:] {
			day, err := time.Parse("20060102", words[0]+word)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", number+1, err)
			}
			m.free[date{year, day.Month(), day.Day()}] = true
		}
		m.known = max(m.known, year)
	}
	return all, nil
}
