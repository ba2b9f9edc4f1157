package market_test

import (
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/trend/market"
)

func open(t *testing.T, code string) *market.Market {
	t.Helper()
	m, err := market.Open(code)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHour(t *testing.T) {
	for _, tt := range []struct {
		market, at string
		want       market.Hour
		why        string
	}{
		{"XNYS", "2026-03-06T14:30:00Z", market.Hour{Of: 9}, "the opening in winter"},
		{"XNYS", "2026-03-09T13:30:00Z", market.Hour{Of: 9}, "the opening after the clocks went forward"},
		{"XNYS", "2026-11-02T14:30:00Z", market.Hour{Of: 9}, "and after they went back"},
		{"XNYS", "2026-03-08T06:59:00Z", market.Hour{Of: 1, Free: true}, "the hour before the change"},
		{"XNYS", "2026-03-08T07:00:00Z", market.Hour{Of: 3, Free: true}, "the hour after it"},
		{"XNYS", "2026-07-04T03:30:00Z", market.Hour{Of: 23, Free: true}, "Friday evening in New York, Saturday in UTC: Independence Day observed"},
		{"XNYS", "2026-07-03T15:00:00Z", market.Hour{Of: 11, Free: true}, "Independence Day falls on a Saturday: Friday is free"},
		{"XNYS", "2026-11-26T15:00:00Z", market.Hour{Of: 10, Free: true}, "Thanksgiving"},
		{"XNYS", "2026-11-27T19:30:00Z", market.Hour{Of: 14}, "half a day is a day, also after its close"},
		{"XNYS", "2025-01-09T15:00:00Z", market.Hour{Of: 10, Free: true}, "a day of mourning that no rule gives"},
		{"XNYS", "2026-11-29T15:00:00Z", market.Hour{Of: 10, Free: true}, "Sunday"},
		{"XLON", "2026-03-30T07:00:00Z", market.Hour{Of: 8}, "London's summer"},
		{"XLON", "2026-12-28T09:00:00Z", market.Hour{Of: 9, Free: true}, "Boxing Day is moved to Monday"},
		{"XSHG", "2026-02-18T02:00:00Z", market.Hour{Of: 10, Free: true}, "Spring Festival"},
		{"XSHG", "2026-02-15T02:00:00Z", market.Hour{Of: 10, Free: true}, "a Sunday that China works: the exchange does not"},
		{"XSHG", "2026-10-01T02:00:00Z", market.Hour{Of: 10, Free: true}, "National Day"},
		{"XSHG", "2026-10-08T16:30:00Z", market.Hour{Of: 0}, "half past midnight in Shanghai"},
		{"XHKG", "2026-10-02T02:00:00Z", market.Hour{Of: 10}, "Hong Kong has one day of it"},
		{"XTKS", "2026-05-06T01:00:00Z", market.Hour{Of: 10, Free: true}, "Golden Week"},
		{"XNYS", "1969-12-31T17:30:00Z", market.Hour{Of: 12}, "before the epoch"},
		{"XNYS", "2199-01-01T17:30:00Z", market.Hour{Of: 12}, "a holiday nobody knows of yet"},
	} {
		at, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		m := open(t, tt.market)
		if got := m.Hour(at); got != tt.want {
			t.Errorf("%s at %s: %+v, want %+v: %s", tt.market, tt.at, got, tt.want, tt.why)
		}
		if again := m.Hour(at); again != tt.want {
			t.Errorf("%s at %s: %+v the second time", tt.market, tt.at, again)
		}
	}
}

// Each market has its week: five days of 24 hours, most of them not free, and holidays as far
// as they are known.
func TestMarkets(t *testing.T) {
	_, err := market.Open("XXXX")
	if err == nil || !strings.Contains(err.Error(), "XNYS") {
		t.Errorf("a market that there is not: %v", err)
	}
	for _, code := range []string{"XNYS", "XTSE", "XLON", "XPAR", "XETR", "XSHG", "XHKG", "XTKS"} {
		m := open(t, code)
		if m.Known() < 2026 || m.String() != code {
			t.Errorf("%s is known up to %d", m, m.Known())
		}
		for year := 2016; year <= m.Known(); year++ {
			var free [2]int // holidays on weekdays, days of weekends
			for day := time.Date(year, 1, 1, 12, 0, 0, 0, time.UTC); day.Year() == year; day = day.AddDate(0, 0, 1) {
				weekend := 0
				if day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
					weekend = 1
				}
				if m.Hour(day).Free {
					free[weekend]++
				}
			}
			if free[0] < 3 || free[0] > 25 || free[1] < 104 {
				t.Errorf("%s has %d holidays and %d days of weekends in %d", m, free[0], free[1], year)
			}
		}
	}
}

func BenchmarkHour(b *testing.B) {
	m, err := market.Open("XNYS")
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for i := range b.N {
		m.Hour(at.Add(time.Duration(i%8760) * time.Hour))
	}
}
