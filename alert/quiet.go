package alert

import (
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // quiet hours name time zones, also where the system has none
)

// QuietHours are the part of each day in which a route holds alerts back, but for critical
// ones. At their end those held come in one message.
type QuietHours struct {
	From string `yaml:"from"` // "22:00"
	To   string `yaml:"to"`   // "07:00"; before From: of the next day
	Zone string `yaml:"zone"` // as in the IANA database, "Europe/Zurich"; "" = UTC
}

func (q QuietHours) check() error {
	_, _, _, err := q.parsed()
	return err
}

// parsed are minutes of the day, and the zone.
func (q QuietHours) parsed() (from, to int, zone *time.Location, err error) {
	minutes := func(field, s string) int {
		t, wrong := time.Parse("15:04", s)
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("quiet.%s %q: want a time of day such as 22:00", field, s))
		}
		return t.Hour()*60 + t.Minute()
	}
	from, to = minutes("from", q.From), minutes("to", q.To)
	if err == nil && from == to {
		err = errors.New("quiet.from and quiet.to are the same: leave quiet out, or use a silence")
	}
	zone, wrong := time.LoadLocation(q.Zone)
	if wrong != nil {
		err = errors.Join(err, fmt.Errorf("quiet.zone %q: want a name such as Europe/Zurich", q.Zone))
	}
	return from, to, zone, err
}

// until is when the quiet hours at now end; zero where it is not quiet. On days when clocks
// change, the clock on the wall counts.
func (q QuietHours) until(now time.Time) time.Time {
	from, to, zone, err := q.parsed()
	if err != nil {
		return time.Time{} // New has refused such a route
	}
	local := now.In(zone)
	minute := local.Hour()*60 + local.Minute()
	end := func(days int) time.Time {
		return time.Date(local.Year(), local.Month(), local.Day()+days, to/60, to%60, 0, 0, zone)
	}
	switch {
	case from < to && minute >= from && minute < to, from > to && minute < to:
		return end(0)
	case from > to && minute >= from:
		return end(1)
	}
	return time.Time{}
}
