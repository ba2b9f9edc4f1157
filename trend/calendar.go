package trend

import "github.com/barograph/barograph/trend/market"

// marketCode is the length of a market identifier code (ISO 10383).
const marketCode = 4

// slot is the place of a bucket in the weekly profile.
func (b *baseline) slot(bucket int64) int {
	if b.market == nil {
		return slot(bucket)
	}
	hour := b.market.Hour(startOf(bucket))
	if hour.Free {
		return hour.Of + 24
	}
	return hour.Of
}

// marketCode stands behind a stored baseline.
func (b *baseline) marketCode() string {
	if b.market == nil {
		return ""
	}
	return b.market.String()
}

// follow makes the baseline one of a market. Where it was stored by the days of another one, its
// hours mean something else: the profile is learnt anew. The level stays, but as one that a half
// day has told: while the profile is flat, quiet hours would pass for outages.
func (b *baseline) follow(m *market.Market, stored string) {
	b.market = m
	size := sizeOfBase(stored)
	if code, _, _ := cutBase(stored, size); size == 0 || code == b.marketCode() {
		return
	}
	clear(b.hour[:])
	if most := outageExposure / 2; b.exposure > most {
		b.items, b.exposure = b.items*most/b.exposure, most
	}
}
