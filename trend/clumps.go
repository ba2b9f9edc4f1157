package trend

import "math"

// Copies of a story that are not recognised pass for items of their own and come in clumps: they
// spread the counts more than as many stories would. How many are not recognised can be seen from
// those that are, for both come together. Where stories come by chance (Poisson), each with copies,
//
//	Cov(items, copies) - E[copies] = hidden (Var(copies) - E[copies])
//
// in the counts of two hours, with so many hidden copies for each that is recognised; and the items'
// variance over their mean is over 1 by
//
//	hidden (2 E[copies] + Cov(items, copies) - E[copies]) / E[items]
//
// (both by the factorial moments of a compound Poisson distribution). A busy series' counts swing with its
// volume more than by clumps, so quiet ones are looked at, beside what is usual at that hour.
const (
	clumpChunks  = 4      // counted at once: 2 h, for most copies come within an hour
	clumpQuiet   = 4.0    // items usual in them: a series with more is left out
	clumpMost    = 40     // copies in them: a text with more would rule the sums
	clumpPairs   = 3000.0 // of copies that the usual clusters are worth: the sum that hidden is divided by
	clumpUsual   = 0.52   // by which the items' variance over mean is over 1, usually
	clumpMore    = 1.4    // in clusters, of what it is more than that
	clumpLess    = 0.4    // and of what it is less: there are other reasons to err
	clustersMost = 4.0    // at most
	clumpScale   = 1000   // products are added up in thousandths, so that their order changes no sum
)

// clumps are sums over two hours of quiet series.
type clumps struct {
	items, copies int
	both          int // (items - usual) (copies - usual), in thousandths
	pairs         int // (copies - usual)², likewise
}

// clumpFields are the names of the sums beside the peaks of a day.
var clumpFields = [...]string{"items", "copies", "both", "pairs"}

// sums are they in that order.
func (c *clumps) sums() [len(clumpFields)]*int {
	return [...]*int{&c.items, &c.copies, &c.both, &c.pairs}
}

func (c *clumps) add(of clumps) {
	c.items += of.items
	c.copies += of.copies
	c.both += of.both
	c.pairs += of.pairs
}

// see counts two hours.
func (c *clumps) see(got count, usual, usualCopies float64) {
	more, copies := float64(got.items)-usual, float64(got.copies)-usual*usualCopies
	c.add(clumps{got.items, got.copies, int(math.Round(clumpScale * more * copies)), int(math.Round(clumpScale * copies * copies))})
}

// clusters is the variance over mean that counts of negatives are taken to have.
func (c clumps) clusters() float64 {
	pairs := float64(c.pairs)/clumpScale - float64(c.copies)
	if pairs <= 0 || c.items == 0 {
		return clusters
	}
	both := math.Max(0, float64(c.both)/clumpScale-float64(c.copies))
	over := both/pairs*(2*float64(c.copies)+both)/float64(c.items) - clumpUsual
	worth := clumpLess
	if over > 0 {
		worth = clumpMore
	}
	return math.Min(clustersMost, clusters+worth*over*pairs/(pairs+clumpPairs))
}

// seeClumps counts the two hours that begin with a chunk, unless a spike ran in them.
func (b *baseline) seeClumps(r ring, chunk int64, p prior) {
	if chunk%clumpChunks != 0 || b.frozen&(1<<(clumpChunks-1)-1) != 0 || b.exposure < outageExposure {
		return
	}
	usual := 0.0
	for c := chunk; c < chunk+clumpChunks; c++ {
		usual += b.usual(b.slot(c*bucketsPerChunk), p)
	}
	got := r.between(chunk*bucketsPerChunk, (chunk+clumpChunks)*bucketsPerChunk).sum()
	if usual < clumpQuiet && got.copies < clumpMost {
		b.clumps.see(got, usual, p.copies)
	}
}
