package trend

import (
	"fmt"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
)

// shards is the number of hash tags that keys are spread over: all keys of an entity
// share one, so that one script call updates them together, also on Redis Cluster. The
// number is part of the stored form: changing it orphans every key.
const shards = 32

// idParts and textParts split the sets of remembered ids and texts, so that most stay
// below 512 members: up to that, Redis keeps 8 bytes a member instead of some 70.
const (
	idParts   = 16
	textParts = 128
)

// keys names what is kept in Redis.
//
//	PREFIX:{NN}:counts:SERIES     string, the series' ring (see encode.go)
//	PREFIX:{NN}:base:SERIES       string, the series' baseline
//	PREFIX:{NN}:evidence:SERIES   list of JSON, the latest negative readings first
//	PREFIX:{NN}:sources:SERIES    sorted set, sources of negatives by event time
//	PREFIX:{NN}:ids:HOUR:PART     set of 64-bit hashes, what was counted
//	PREFIX:{NN}:texts:DAY:PART    set of 64-bit hashes, which texts were
//	PREFIX:{NN}:sketches2:LIST    string, those of the last texts (see near.go)
//	PREFIX:{NN}:peaks3:DAY        hash, how many episodes peaked in each bin of surprise, and sums of clumps
//	PREFIX:{NN}:series:YYYYMM     HyperLogLog, the series that have learnt in a month (until there was one for each
//	                              month it was one for ever, PREFIX:{NN}:series)
//
// The first four of another kind of spike than negative have it in their names:
// PREFIX:{NN}:positive-counts:SERIES.
type keys struct{ prefix string }

// kindsOfSeries are the kinds of keys that a series has.
var kindsOfSeries = []string{"counts", "base", "evidence", "sources"}

func (k keys) name(shard int, kind, of string) string {
	tag := [...]byte{'0' + byte(shard/10), '0' + byte(shard%10)}
	return k.prefix + ":{" + string(tag[:]) + "}:" + kind + ":" + of
}

func (k keys) ofSubject(s subject, kind string) string {
	return k.name(shardOf(s.of.Entity), kindPrefix(s.kind)+kind, s.of.Key())
}

func (k keys) near(shard int, list string) string { return k.name(shard, "sketches2", list) }

func (k keys) ids(shard int, hour int64, hash uint64) string {
	return k.name(shard, "ids", strconv.FormatInt(hour, 10)+":"+strconv.FormatUint(hash%idParts, 10))
}

func (k keys) texts(shard int, day int64, hash uint64) string {
	return k.name(shard, "texts", strconv.FormatInt(day, 10)+":"+strconv.FormatUint(hash%textParts, 10))
}

func (k keys) peaks(day int64) string {
	return k.name(shardOf(""), "peaks3", strconv.FormatInt(day, 10))
}

func (k keys) seriesSeen(month int) string {
	return k.name(shardOf(""), "series", fmt.Sprintf("%d%02d", month/12, month%12+1))
}

// seriesAlive are the counts that together hold the series there are.
func (k keys) seriesAlive(now time.Time) []string {
	ever := fmt.Sprintf("%s:{%02d}:series", k.prefix, shardOf("")) // of the version before; it expires
	return []string{k.seriesSeen(monthOf(now)), k.seriesSeen(monthOf(now) - 1), ever}
}

// monthOf numbers the months of the clock, in UTC.
func monthOf(at time.Time) int {
	year, month, _ := at.UTC().Date()
	return year*12 + int(month) - 1
}

// shardOf is the shard of an entity; "" is that of everything and of the topics.
func shardOf(entity string) int { return int(xxhash.Sum64String(entity) % shards) }

// memberOf is what is remembered of an id or text that an entity's series have counted.
// Two of n ids collide, and one is then not counted, with probability n²/2⁶⁵.
func memberOf(entity, of string) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(entity)
	_, _ = d.WriteString("\x1f")
	_, _ = d.WriteString(of)
	return d.Sum64()
}
