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
		bench("export", onnx.SessionConfig{Path: filepath.Join(deps, "exports", base+".onnx")})
		for _, p := range []Precision{FP32, INT8} {
			bench(string(p), onnx.SessionConfig{Model: embeddingGraph(b, c, p)})
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
