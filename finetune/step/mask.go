package step

import (
	"encoding/binary"
	"math"
	"sync"
	"sync/atomic"
)

// maskChunk is how many numbers of a mask come from one generator: the masks are then
// the same with any number of threads.
const maskChunk = 1 << 16

// drawMask fills a dropout mask: 1 with probability 1-drop, to 1/32768, else 0. The same
// seed, draw (a count of batches) and site give the same mask on every machine.
//
// A step wants tens of millions of them, so they are made eight at a time: two random
// words are eight lanes of 15 bits and a spare bit above, which a subtraction leaves set
// where the lane was not under the threshold.
func drawMask(keep []uint8, drop float64, seed, draw uint64, site, threads int) {
	const ones = 0x0001_0001_0001_0001
	threshold := uint64(math.Round(drop*(1<<15))) * ones
	chunks := (len(keep) + maskChunk - 1) / maskChunk
	parallel(threads, chunks, func(c int) {
		source := splitMix(seed)
		for _, by := range []uint64{draw, uint64(site), uint64(c)} {
			source = splitMix(source.next() ^ by)
		}
		eight := func() uint64 {
			low := ((source.next() | ones<<15) - threshold) >> 15 & ones
			high := ((source.next() | ones<<15) - threshold) >> 15 & ones
			return low | high<<8
		}
		part := keep[c*maskChunk : min((c+1)*maskChunk, len(keep))]
		for ; len(part) >= 8; part = part[8:] {
			binary.LittleEndian.PutUint64(part, eight())
		}
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], eight())
		copy(part, last[:])
	})
}

// splitMix is SplitMix64 (Steele et al. 2014, "Fast Splittable Pseudorandom Number
// Generators", figure 17): fast, and its stream is fixed by its 64 bits of state.
type splitMix uint64

func (s *splitMix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// parallel calls f for 0 to n-1 on so many goroutines, each in turn as it is done with the last.
func parallel(threads, n int, f func(i int)) {
	if threads = min(threads, n); threads <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var wait sync.WaitGroup
	var next atomic.Int64
	for range threads {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wait.Wait()
}
