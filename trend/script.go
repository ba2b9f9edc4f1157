package trend

import (
	_ "embed"
	"math/bits"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed observe.lua
var observeSource string

// observe counts the readings of one shard: see observe.lua.
var observe = redis.NewScript(strings.NewReplacer(
	"NEAR_BITS", strconv.Itoa(nearBits), "NEAR_KEPT", strconv.Itoa(nearKept), "NEAR_SLACK", strconv.Itoa(nearSlack),
	"NEAR_SHORT", strconv.Itoa(nearShort), "NEAR_HOURS", strconv.Itoa(nearHours), "NIBBLES", nibbles(),
	"SHORT_COUNTS", strconv.Itoa(shortCounts), "SHORT_LIST", strconv.Itoa(shortList),
).Replace(observeSource))

// Up to so many bytes counts and lists of sketches are written whole, so that those of a quiet company
// have no room behind them: half of what it may take. Longer ones are written at their end.
const (
	shortCounts = 200
	shortList   = 600
)

// nibbles says, as a digit, in how many bits each half byte differs from each other.
func nibbles() string {
	var table [256]byte
	for i := range table {
		table[i] = '0' + byte(bits.OnesCount(uint(i>>4^i&15)))
	}
	return string(table[:])
}
