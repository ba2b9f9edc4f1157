package trend

import (
	"cmp"
	"slices"
	"time"

	"github.com/barograph/barograph/news"
)

// Units of event time, in seconds since 1970 UTC. A bucket is what is counted, a chunk
// what the baseline learns at once.
const (
	bucketSeconds   = 300
	bucketsPerChunk = 6
	chunkSeconds    = bucketSeconds * bucketsPerChunk
	bucketsPerHour  = 3600 / bucketSeconds
	bucketsPerDay   = 24 * bucketsPerHour
)

// BucketLength is the resolution of counts in event time.
const BucketLength = bucketSeconds * time.Second

// Bucket is what was counted in a series over BucketLength of event time.
type Bucket struct {
	Start    time.Time
	Items    int
	Negative int // of the counts for negative spikes; in those for other kinds 0
	Positive int // of the counts for positive spikes; in those for other kinds 0
	Copies   int // further items with a text already counted; not in Items, Negative or Positive
}

// Count is how many of the bucket's items are of the kind that they were counted for: the
// negatives, the positives, or all.
func (b Bucket) Count(kind news.SpikeKind) int {
	switch kind {
	case news.SpikePositive:
		return b.Positive
	case news.SpikeVolume:
		return b.Items
	}
	return b.Negative
}

// count is a Bucket as the rule sees it, by its number: Unix seconds / bucketSeconds.
type count struct {
	bucket                  int64
	items, negative, copies int
	echoes                  int // copies of negative texts; they are in copies too
	leaning                 int // items that are not called negative, but may well be (LeansFrom)
}

// weighed is the negatives with what leans to them, for as much as it is worth.
func (c count) weighed() float64 { return float64(c.negative) + leanWorth*float64(c.leaning) }

// ring is a series' recent counts, by rising bucket, without empty buckets.
type ring []count

func bucketOf(t time.Time) int64 { return floorDiv(t.Unix(), bucketSeconds) }

func startOf(bucket int64) time.Time { return time.Unix(bucket*bucketSeconds, 0).UTC() }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// from is the position of the first bucket that is not before the given one.
func (r ring) from(bucket int64) int {
	// New items are at the end, and so are most looks.
	for i := len(r); i > max(0, len(r)-4); i-- {
		if r[i-1].bucket < bucket {
			return i
		}
	}
	i, _ := slices.BinarySearchFunc(r, bucket, func(c count, b int64) int { return cmp.Compare(c.bucket, b) })
	return i
}

// between lists the counts in [first, end).
func (r ring) between(first, end int64) ring { return r[r.from(first):r.from(end)] }

// plus adds what another count has.
func (c *count) plus(o count) {
	c.items += o.items
	c.negative += o.negative
	c.copies += o.copies
	c.echoes += o.echoes
	c.leaning += o.leaning
}

// sum adds the counts up; the bucket of the answer means nothing.
func (r ring) sum() (total count) {
	for _, c := range r {
		total.plus(c)
	}
	return total
}

// add counts into the ring in place and returns it, as append does.
func (r ring) add(c count) ring {
	i := r.from(c.bucket)
	if i == len(r) || r[i].bucket != c.bucket {
		return slices.Insert(r, i, c)
	}
	r[i].plus(c)
	return r
}
