package classify

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/barograph/barograph/classify/onnx"
)

// How long each candidate is measured, after one batch that is not counted.
const calibrationTime = 150 * time.Millisecond

// calibrate takes the setting for this machine from the cache, or measures for some seconds
// what full batches cost and chooses. What the configuration fixes stays. A cache that cannot
// be used is a warning: the measurement is what counts.
func (m *Model) calibrate(open compiler, fixed ModelConfig) error {
	key, err := m.calibratedFor(open, fixed)
	if err != nil {
		return err
	}
	folder, err := calibrationFolder(fixed.CalibrationFolder)
	if err != nil {
		fixed.Log.Warn("a calibration cannot be kept", "error", err)
	}
	kept, err := recall(folder, key)
	if err != nil {
		fixed.Log.Warn("a calibration is made again", "error", err)
	}
	from := "an earlier start"
	if kept == nil {
		from = "a measurement now"
		kept = &calibration{For: key}
		if kept.Costs, err = m.measure(open, fixed); err != nil {
			return fmt.Errorf("calibrating %s: %w", m.Bundle.Dir, err)
		}
		kept.Setting = choose(kept.Costs)
		if err := kept.remember(folder); err != nil {
			fixed.Log.Warn("a calibration cannot be kept", "error", err)
		}
	}
	fixed.Log.Info("calibrated", "model", m.Bundle.Name, "from", from, "batch_threads", kept.Setting.BatchThreads,
		"token_budget", kept.Setting.TokenBudget, "max_wait", kept.Setting.MaxWait.Round(time.Millisecond))
	return m.adopt(open, kept.Setting)
}

// Calibration is the setting that a model of this bundle, opened with c, makes its batches by,
// and whether it was measured at an earlier start. It measures nothing and writes nothing.
func (m *Model) Calibration(c ModelConfig) (s Setting, measured bool, err error) {
	fixed := c.withDefaults()
	s = Setting{BatchThreads: cmp.Or(fixed.BatchThreads, 1), TokenBudget: cmp.Or(fixed.TokenBudget, tokenBudgets[m.Device])}
	if !fixed.Calibrate {
		return s, false, nil
	}
	key, err := m.calibratedFor(compiler{m.runtime, fixed.Bases, m.Device, m.Precision, s.BatchThreads, fixed.Log}, fixed)
	if err != nil {
		return s, false, err
	}
	folder, err := calibrationFolder(fixed.CalibrationFolder)
	if err != nil {
		return s, false, err
	}
	kept, err := recall(folder, key)
	if kept == nil {
		return s, false, err
	}
	return kept.Setting, true, nil
}

// adopt puts a setting in force.
func (m *Model) adopt(open compiler, s Setting) error {
	m.config.TokenBudget, m.maxWait = s.TokenBudget, s.MaxWait
	if s.BatchThreads == m.config.BatchThreads {
		return nil
	}
	open.threads = s.BatchThreads
	session, err := open.open(m.Bundle)
	if err != nil {
		return err
	}
	err = m.session.Close()
	m.session, m.config.BatchThreads = session, s.BatchThreads
	return err
}

func (m *Model) calibratedFor(open compiler, fixed ModelConfig) (key calibrated, err error) {
	key = calibrated{Processor: processor(), Cores: m.config.Threads, Device: m.Device.String(), Runtime: m.runtime.Version(),
		Bundle: m.Bundle.Digest, Fixed: [2]int{fixed.BatchThreads, fixed.TokenBudget}, Rule: batchRule}
	if m.Bundle.export == "" {
		key.Bundle, err = open.fileName(m.Bundle)
	}
	return key, err
}

// processor names this machine's.
func processor() string {
	raw, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// candidates are what is tried on a device: threads of a batch, and tokens of it.
func (m *Model) candidates(fixed ModelConfig) (threads, budgets []int) {
	threads, budgets = []int{1}, []int{2048, 4096, 8192, 16384}
	if m.Device != onnx.CUDA {
		budgets = []int{96, 128, 192, 256, 384, 512, 1024, 2048}
		for n := 2; n < m.config.Threads; n *= 2 {
			threads = append(threads, n)
		}
		if m.config.Threads > 1 {
			threads = append(threads, m.config.Threads)
		}
	}
	if fixed.BatchThreads > 0 {
		threads = []int{m.config.BatchThreads}
	}
	if fixed.TokenBudget > 0 {
		budgets = []int{fixed.TokenBudget}
	}
	return threads, budgets
}

func (m *Model) measure(open compiler, fixed ModelConfig) (costs []cost, err error) {
	ids, err := m.sampleText()
	if err != nil {
		return nil, err
	}
	threads, budgets := m.candidates(fixed)
	of := len(threads) * len(budgets)
	fixed.Log.Info("calibrating: measuring batches", "model", m.Bundle.Name, "kinds", of)
	fixed.OnCalibrate(0, of)
	for _, open.threads = range threads {
		s, err := open.open(m.Bundle)
		if err != nil {
			return nil, err
		}
		for _, budget := range budgets {
			c := cost{BatchThreads: open.threads, TokenBudget: budget}
			if err = c.take(s, batchOf(ids, max(1, budget/len(ids))), m.atOnce(open.threads)); err != nil {
				break
			}
			costs = append(costs, c)
			fixed.OnCalibrate(len(costs), of)
		}
		if err = errors.Join(err, s.Close()); err != nil {
			return nil, err
		}
	}
	return costs, nil
}

// sampleText is a text of the length of most headlines and posts, in tokens.
func (m *Model) sampleText() ([]int32, error) {
	ids, err := m.tokenizer.Encode(nil, "Shares of the company fall after a profit warning, and analysts cut their targets. 公司发布盈利预警，股价下跌")
	ids = slices.Concat(m.tokenizer.before, ids, m.tokenizer.after)
	return ids[:min(len(ids), m.Bundle.MaxTokens, 32)], err
}

// batchOf is the same text so many times.
func batchOf(ids []int32, rows int) onnx.Batch {
	same := make([]*row, rows)
	for i := range same {
		same[i] = &row{ids: ids, second: len(ids)}
	}
	var b onnx.Batch
	fill(&b, same)
	return b
}

// take runs the batch over and over, so many at once, as a busy stage does. The fastest run
// counts: what else the machine does only makes runs slower.
func (c *cost) take(s session, b onnx.Batch, atOnce int) error {
	var (
		runners sync.WaitGroup
		mu      sync.Mutex
		failed  error
	)
	if _, err := s.Run(b); err != nil { // finds its memory
		return err
	}
	start := time.Now()
	for range atOnce {
		runners.Go(func() {
			for n := 0; n == 0 || time.Since(start) < calibrationTime; n++ {
				begin := time.Now()
				_, err := s.Run(b)
				took := time.Since(begin)
				mu.Lock()
				if c.Batch == 0 || took < c.Batch {
					c.Batch = took
				}
				failed = errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	runners.Wait()
	c.PerSecond = float64(atOnce*len(b.IDs)) / c.Batch.Seconds()
	return failed
}
