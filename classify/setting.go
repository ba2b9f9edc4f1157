package classify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Setting is how a bundle's batches are made on a machine.
type Setting struct {
	BatchThreads int           `json:"batch_threads"`
	TokenBudget  int           `json:"token_budget"`
	MaxWait      time.Duration `json:"max_wait_ns"` // at most Config.MaxWait in any case, and 0 is that
}

// String is the setting in words.
func (s Setting) String() string {
	cores := "1 core"
	if s.BatchThreads > 1 {
		cores = fmt.Sprintf("%d cores", s.BatchThreads)
	}
	text := fmt.Sprintf("batches of up to %d tokens, each on %s", s.TokenBudget, cores)
	if s.MaxWait > 0 {
		text += fmt.Sprintf("; a text waits for company %s at most", s.MaxWait.Round(time.Millisecond))
	}
	return text
}

// cost is what calibration measured of full batches.
type cost struct {
	BatchThreads int           `json:"batch_threads"`
	TokenBudget  int           `json:"token_budget"`
	PerSecond    float64       `json:"tokens_per_second"` // on all cores
	Batch        time.Duration `json:"batch_ns"`          // that the fastest batch took
}

// choose takes of the measured costs the one with the shortest batch among those within a
// twentieth of the best rate: more speed than that is not worth a later answer, and is in the
// noise of a short measurement. A text waits for company no longer than a batch takes.
func choose(costs []cost) Setting {
	best := slices.MaxFunc(costs, func(a, b cost) int { return cmp.Compare(a.PerSecond, b.PerSecond) }).PerSecond
	good := slices.DeleteFunc(slices.Clone(costs), func(c cost) bool { return c.PerSecond < .95*best })
	c := slices.MinFunc(good, func(a, b cost) int {
		return cmp.Or(cmp.Compare(a.Batch, b.Batch), cmp.Compare(a.TokenBudget, b.TokenBudget))
	})
	return Setting{BatchThreads: c.BatchThreads, TokenBudget: c.TokenBudget, MaxWait: max(c.Batch, time.Millisecond)}
}

// calibration is a file of the cache: what was chosen for which bundle on which machine.
type calibration struct {
	For     calibrated `json:"for"`
	Setting Setting    `json:"setting"`
	Costs   []cost     `json:"costs"`
}

// calibrated is all that a setting depends on.
type calibrated struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"` // that the models take
	Device    string `json:"device"`
	Runtime   string `json:"runtime"`
	Bundle    string `json:"bundle"` // name of its compiled graph: digests of the weights, precision
	Fixed     [2]int `json:"fixed"`  // batch threads and token budget of the configuration; 0 = to be chosen
	Rule      int    `json:"rule"`   // batchRule
}

// batchRule changes with how batches are made and which are tried: what was measured by another is
// measured anew.
const batchRule = 2

func (c calibrated) path(folder string) string {
	key, _ := json.Marshal(c) // strings and numbers
	sum := sha256.Sum256(key)
	return filepath.Join(folder, hex.EncodeToString(sum[:8])+".json")
}

// recall reads a calibration from the cache; nil where there is none that can be used.
func recall(folder string, key calibrated) (*calibration, error) {
	path := key.path(folder)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var c calibration
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the calibration %s: %w", path, err)
	}
	if c.For != key || c.Setting.BatchThreads < 1 || c.Setting.BatchThreads > key.Cores || c.Setting.TokenBudget < 1 || c.Setting.MaxWait <= 0 {
		return nil, fmt.Errorf("the calibration %s is damaged", path)
	}
	return &c, nil
}

// remember keeps a calibration for the next start.
func (c *calibration) remember(folder string) error {
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return writeWhole(folder, filepath.Base(c.For.path(folder)), append(raw, '\n'))
}

// calibrationFolder is where calibrations are kept: in folder or, where that is "", in the
// user's cache folder.
func calibrationFolder(folder string) (string, error) {
	if folder != "" {
		return folder, nil
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "barograph", "calibration"), err
}
