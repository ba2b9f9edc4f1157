package classify

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
)

func TestChoose(t *testing.T) {
	ms := time.Millisecond
	for name, c := range map[string]struct {
		costs []cost
		want  Setting
	}{
		"the fastest": {[]cost{{1, 128, 4000, 30 * ms}, {1, 512, 5000, 100 * ms}, {2, 512, 4100, 60 * ms}}, Setting{1, 512, 100 * ms}},
		"the shortest batch of those nearly as fast": {[]cost{{1, 128, 4000, 30 * ms}, {1, 256, 4800, 55 * ms}, {1, 512, 5000, 100 * ms}}, Setting{1, 256, 55 * ms}},
		"threads where they make a batch shorter":    {[]cost{{1, 512, 5000, 100 * ms}, {2, 512, 4900, 52 * ms}}, Setting{2, 512, 52 * ms}},
		"one":                  {[]cost{{4, 64, 1, 100 * time.Microsecond}}, Setting{4, 64, ms}},
		"the smaller of twins": {[]cost{{1, 512, 5000, 50 * ms}, {1, 256, 5000, 50 * ms}}, Setting{1, 256, 50 * ms}},
	} {
		if got := choose(c.costs); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// The second start takes the setting from the cache, also one that no measurement would give;
// a damaged file and another machine are measured anew.
func TestCalibrationIsKept(t *testing.T) {
	config := realConfig(t, "")
	config.Threads, config.Calibrate, config.CalibrationFolder = 2, true, t.TempDir()
	var told []int
	config.OnCalibrate = func(done, of int) { told = append(told, done, of) }
	start := func() (*Model, string, calibrated) {
		t.Helper()
		m, err := OpenModel(bundle(t, "zh"), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		key, err := m.calibratedFor(compiler{m.runtime, config.Bases, m.Device, m.Precision, 1, config.Log}, config)
		if err != nil {
			t.Fatal(err)
		}
		return m, key.path(config.CalibrationFolder), key
	}
	m, path, key := start()
	first, err := recall(config.CalibrationFolder, key)
	if err != nil || first == nil || len(first.Costs) != 16 { // one thread and two, eight budgets
		t.Fatalf("after the first start the cache holds %+v, %v", first, err)
	}
	if got := (Setting{m.config.BatchThreads, m.config.TokenBudget, m.maxWait}); got != first.Setting || got != choose(first.Costs) {
		t.Errorf("the model runs with %+v, the cache says %+v", got, first.Setting)
	}
	kinds := len(first.Costs)
	if n := len(told); n != 2*(kinds+1) || told[0] != 0 || told[n-2] != kinds || told[n-1] != kinds {
		t.Errorf("progress was %v: 0 to %d of so many are wanted", told, kinds)
	}

	first.Setting = Setting{BatchThreads: 2, TokenBudget: 333, MaxWait: 7 * time.Millisecond}
	if err := first.remember(config.CalibrationFolder); err != nil {
		t.Fatal(err)
	}
	m, _, _ = start()
	if got := (Setting{m.config.BatchThreads, m.config.TokenBudget, m.maxWait}); got != first.Setting {
		t.Errorf("the second start runs with %+v, the cache says %+v", got, first.Setting)
	}
	if len(told) != 2*(kinds+1) {
		t.Errorf("the second start measured: %v", told[2*(kinds+1):])
	}
	if _, errs := m.Predict([]string{"公司业绩大增"}); errs[0] != nil {
		t.Error(errs[0])
	}
	s, err := New(Config{Bundles: []string{bundle(t, "zh")}, Model: config})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if live := s.lanes[0].live; live.config.TokenBudget != 333 || live.cores() != 2 {
		t.Errorf("a stage runs with %d tokens on %d cores, the cache says %+v", live.config.TokenBudget, live.cores(), first.Setting)
	}

	if err := os.WriteFile(path, []byte(`{"for":`), 0o644); err != nil {
		t.Fatal(err)
	}
	m, _, _ = start()
	if again, err := recall(config.CalibrationFolder, key); err != nil || again.Setting.TokenBudget != m.config.TokenBudget || m.config.TokenBudget == 333 {
		t.Errorf("after damage the cache holds %+v, %v, and the model runs with %d", again, err, m.config.TokenBudget)
	}
	config.Threads = 1
	start()
	if files, _ := filepath.Glob(filepath.Join(config.CalibrationFolder, "*.json")); len(files) != 2 {
		t.Errorf("the cache holds %v, want a file for each number of cores", files)
	}
}

// What is fixed stays, and the calibrated wait never exceeds the stage's.
func TestCalibrationKeepsWhatIsFixed(t *testing.T) {
	config := realConfig(t, "")
	config.Calibrate, config.CalibrationFolder, config.TokenBudget = true, t.TempDir(), 100
	m, err := OpenModel(bundle(t, "zh"), config)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.config.TokenBudget != 100 || m.config.BatchThreads != 1 || m.maxWait <= 0 {
		t.Errorf("got %d tokens, %d threads, a wait of %v", m.config.TokenBudget, m.config.BatchThreads, m.maxWait)
	}
	for calibrated, want := range map[time.Duration]time.Duration{0: 20 * time.Millisecond, 5 * time.Millisecond: 5 * time.Millisecond, time.Second: 20 * time.Millisecond} {
		var p pools
		m.maxWait = calibrated
		p.add(&job{item: news.Item{ID: "1"}, rows: []*row{rowOf(3)}, by: &liveModel{Model: m}}, Config{}.withDefaults())
		if got := p.first().maxWait; got != want {
			t.Errorf("calibrated to %v, a text waits %v, want %v", calibrated, got, want)
		}
	}
}
