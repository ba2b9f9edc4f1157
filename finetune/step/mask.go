package step

import (
	"math"
	"math/rand/v2"
	"sync"
)

// Streams of random numbers are told apart by their second seed.
const (
	seedWeights = 0x7765696768747300
	seedMasks   = 0x6d61736b00000000
)

// maskChunk is how many numbers of a mask come from one generator: the masks are then
// the same with any number of threads.
const maskChunk = 1 << 16

// drawMask fills a dropout mask: 1 with probability 1-drop, to 1/65536, else 0. The same
// seed, draw (a count of batches) and site give the same mask on every machine.
func drawMask(keep []uint8, drop float64, seed, draw uint64, site, threads int) {
	threshold := uint32(math.Round(drop * (1 << 16)))
	// The sign of a difference, and no branch that a processor would mispredict.
	kept := func(bits uint64) uint8 { return uint8((threshold - 1 - uint32(bits&0xffff)) >> 31) }
	chunks := (len(keep) + maskChunk - 1) / maskChunk
	parallel(threads, chunks, func(c int) {
		source := rand.NewPCG(seed^draw*0x9e3779b97f4a7c15, seedMasks+uint64(site)<<40+uint64(c))
		part := keep[c*maskChunk : min((c+1)*maskChunk, len(keep))]
		for len(part) >= 4 {
			bits := source.Uint64()
			part[0], part[1], part[2], part[3] = kept(bits), kept(bits>>16), kept(bits>>32), kept(bits>>48)
			part = part[4:]
		}
		for i, bits := 0, source.Uint64(); i < len(part); i, bits = i+1, bits>>16 {
			part[i] = kept(bits)
		}
	})
}

// parallel calls f for 0 to n-1 on so many goroutines.
func parallel(threads, n int, f func(i int)) {
	if threads = min(threads, n); threads <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var wait sync.WaitGroup
	for t := range threads {
		wait.Go(func() {
			for i := t; i < n; i += threads {
				f(i)
			}
		})
	}
	wait.Wait()
}
