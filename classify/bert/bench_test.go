package bert

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/internal/testenv"
)

// BenchmarkGraph is one thread on one batch of 32 real texts, padded to the longest.
func BenchmarkGraph(b *testing.B) {
	deps := testenv.Deps(b)
	for _, base := range []string{"bge-small-en-v1.5", "bge-small-zh-v1.5"} {
		c, err := Open(filepath.Join(deps, "bases", base), nil)
		if err != nil {
			b.Fatal(err)
		}
		c.Config.Barograph = &Bundle{Pooling: PoolCLS}
		batch := batchOf(readTexts(b, "ids-en.json")[:32], 0)
		for i := range batch.IDs {
			batch.IDs[i] %= int64(c.Config.VocabSize)
		}
		bench := func(name string, s onnx.SessionConfig) {
			b.Run(fmt.Sprintf("%s/%s", base, name), func(b *testing.B) {
				s.Threads = 1
				session := ortSession(b, s)
				start := cpu(0)
				for b.Loop() {
					if _, err := session.Run(batch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(cpu(start)*1000/float64(b.N)/float64(batch.Rows), "cpu-ms/text")
				b.ReportMetric(float64(batch.Rows)*float64(b.N)/b.Elapsed().Seconds(), "texts/s")
			})
		}
		bench("export", onnx.SessionConfig{Model: testenv.BaseExport(b, base)})
		for _, p := range []Precision{FP32, INT8} {
			bench(string(p), onnx.SessionConfig{Model: embeddingGraph(b, c, p)})
		}
	}
}

// BenchmarkShape is what a batch costs one thread by its rows and tokens: what the pass itself
// costs, and how many tokens a batch should have.
func BenchmarkShape(b *testing.B) {
	for _, base := range []string{"bge-small-en-v1.5", "bge-small-zh-v1.5"} {
		c, err := Open(filepath.Join(testenv.Deps(b), "bases", base), nil)
		if err != nil {
			b.Fatal(err)
		}
		c.Config.Barograph = &Bundle{Pooling: PoolCLS}
		session := ortSession(b, onnx.SessionConfig{Model: embeddingGraph(b, c, INT8), Threads: 1})
		for _, shape := range [][2]int{{1, 8}, {1, 24}, {2, 24}, {4, 24}, {8, 24}, {16, 24}, {32, 24}, {64, 24}} {
			tokens := shape[0] * shape[1]
			batch := onnx.Batch{Rows: shape[0], Cols: shape[1], IDs: make([]int64, tokens), Mask: make([]int64, tokens), Types: make([]int64, tokens)}
			for i := range batch.IDs {
				batch.IDs[i], batch.Mask[i] = int64(1000+7*i%5000), 1
			}
			b.Run(fmt.Sprintf("%s/%dx%d", base, shape[0], shape[1]), func(b *testing.B) {
				start := cpu(0)
				for b.Loop() {
					if _, err := session.Run(batch); err != nil {
						b.Fatal(err)
					}
				}
				spent := cpu(start) / float64(b.N)
				b.ReportMetric(1e3*spent, "cpu-ms/batch")
				b.ReportMetric(1e6*spent/float64(tokens), "cpu-µs/token")
			})
		}
	}
}

// cpu is the processor time of this process since from, in seconds: on a shared machine
// it says more than the clock.
func cpu(from float64) float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano())/1e9 - from
}
