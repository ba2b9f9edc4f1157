package trend

import (
	"bytes"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend/market"
)

func exchange(t *testing.T, code string) *market.Market {
	t.Helper()
	m, err := market.Open(code)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// From two months before the known holidays of the market end, a new store says so in the log;
// when that is, is a metric.
func TestNewWarnsBeforeHolidaysEnd(t *testing.T) {
	m := exchange(t, "XSHG")
	end := m.KnownUntil()
	for now, warns := range map[time.Time]bool{
		end.AddDate(0, 0, -61): false,
		end.AddDate(0, 0, -59): true,
		end.AddDate(1, 0, 0):   true,
	} {
		var log bytes.Buffer
		metrics := prometheus.NewRegistry()
		_, err := New(Config{Redis: redis.NewClient(&redis.Options{}), Rule: Rule{Market: m}, Registerer: metrics,
			Clock: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(log.String(), "market=XSHG"); said != warns {
			t.Errorf("at %s the log says %q", now, log.String())
		}
		families, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		known := 0.0
		for _, f := range families {
			if f.GetName() == "barograph_trend_holidays_end_timestamp_seconds" {
				known = f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		if known != float64(end.Unix()) {
			t.Errorf("the metric says %.0f, and they end at %d", known, end.Unix())
		}
	}
}

func TestSlotOfAMarket(t *testing.T) {
	b := baseline{market: exchange(t, "XNYS")}
	for at, want := range map[time.Time]int{
		time.Date(2026, 3, 6, 14, 30, 0, 0, time.UTC):  9,       // Friday, winter
		time.Date(2026, 3, 9, 13, 30, 0, 0, time.UTC):  9,       // Monday, summer
		time.Date(2026, 3, 7, 3, 0, 0, 0, time.UTC):    22,      // Friday evening there
		time.Date(2026, 3, 7, 14, 30, 0, 0, time.UTC):  24 + 9,  // Saturday
		time.Date(2026, 11, 26, 15, 0, 0, 0, time.UTC): 24 + 10, // Thanksgiving
	} {
		if got := b.slot(bucketOf(at)); got != want {
			t.Errorf("slot of %s is %d, want %d", at, got, want)
		}
	}
}

// A stream that follows New York's clock, through the change to summer time and a holiday.
func newYorkers(t *testing.T, m *market.Market) (b baseline, r ring, end time.Time) {
	t.Helper()
	start := time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)
	end = time.Date(2026, 4, 2, 12, 0, 0, 0, time.UTC)
	b = newBaseline(bucketOf(start), start)
	b.market = m
	days := exchange(t, "XNYS")
	for at := start; at.Before(end); at = at.Add(BucketLength) {
		hour := days.Hour(at)
		items := 1
		if !hour.Free && hour.Of >= 9 && hour.Of < 16 {
			items = 12
		}
		r = append(r, count{bucket: bucketOf(at), items: items, negative: items / 4})
		b.learn(r, unixSeconds(at), noPrior(), never)
	}
	return b, r, end
}

// What comes on a weekday at nine in summer, and on a holiday, is expected when the profile
// follows the market's clock.
func TestProfileFollowsAMarket(t *testing.T) {
	expected := func(b baseline, at time.Time) float64 { // items an hour
		return 3600 * b.level() * b.factor(b.slot(bucketOf(at)), noPrior())
	}
	opening := time.Date(2026, 4, 1, 13, 10, 0, 0, time.UTC) // 9:10 in New York, a month after the change
	holiday := time.Date(2026, 4, 3, 14, 0, 0, 0, time.UTC)  // Good Friday
	local, _, _ := newYorkers(t, exchange(t, "XNYS"))
	utc, _, _ := newYorkers(t, nil)
	if got := expected(local, opening); math.Abs(got-144) > 40 {
		t.Errorf("%.0f items expected in the opening hour, 144 come", got)
	}
	if got := expected(local, holiday); got > 30 {
		t.Errorf("%.0f items expected on a holiday, 12 come", got)
	}
	if got := expected(utc, holiday); got < 60 {
		t.Errorf("%.0f items expected by UTC on a holiday: the test shows nothing", got)
	}
}

// Under another market the hours mean something else: the profile goes, the level stays, and
// quiet hours are no outage before the profile is known again.
func TestChangingTheMarket(t *testing.T) {
	b, r, end := newYorkers(t, exchange(t, "XNYS"))
	stored := b.encode()
	same, err := decodeBase(stored, news.SpikeNegative)
	if err != nil {
		t.Fatal(err)
	}
	same.follow(exchange(t, "XNYS"), stored)
	if same.encode() != stored || same.hour[9].items == 0 {
		t.Error("a baseline of the same market does not come back")
	}
	for name, m := range map[string]*market.Market{"another": exchange(t, "XSHG"), "none": nil} {
		changed, err := decodeBase(stored, news.SpikeNegative)
		if err != nil {
			t.Fatal(err)
		}
		changed.follow(m, stored)
		if changed.hour[9].items != 0 || math.Abs(changed.level()-b.level()) > .1*b.level() || changed.since != b.since {
			t.Errorf("%s: level %g of %g, profile %v", name, changed.level(), b.level(), changed.hour[9])
		}
		night := bucketOf(end.Add(-6*time.Hour)) / bucketsPerChunk
		if (&series{ring: r, base: changed}).failed(night) != noTrouble {
			t.Errorf("%s: a quiet night passes for an outage", name)
		}
		again, err := decodeBase(changed.encode(), news.SpikeNegative)
		if err != nil {
			t.Fatal(err)
		}
		again.follow(m, changed.encode())
		if again.encode() != changed.encode() {
			t.Errorf("%s: it changes each time it is read", name)
		}
	}
	if _, err := decodeBase(stored+"x", news.SpikeNegative); err == nil {
		t.Error("a baseline that is too long is taken")
	}
}
