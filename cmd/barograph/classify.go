package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/news"
)

func newClassify() *cobra.Command {
	cfg := defaults().Classify
	var out string
	cmd := &cobra.Command{
		Use:   "classify [FILE]",
		Short: "Read texts, and write what the models say of them",
		Long: "Reads JSON lines (or CSV with a header, or TSV) with a field text or title and, if there are, id, lang,\n" +
			"source, published_at, arrived_at and entities (a list, or words separated by commas); writes a reading a line\n" +
			"in the order of the input. A bundle that judges a text for an entity gives a reading for each of them. Its\n" +
			"arrived_at, by which replay goes, is the row's, or else published_at. A row that cannot be read gives a line\n" +
			"with its error, and exit code 1 at the end. Without FILE it reads standard input.",
		Example: `  barograph classify comments.csv > readings.jsonl
  echo '{"text":"$BABA 跌停"}' | barograph classify | jq .sentiment`,
		Args: arguments(0, 1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "-"
			if len(args) > 0 {
				path = args[0]
			}
			return classifyFile(cmd, cfg, path, out)
		},
	}
	modelFlags(cmd, &cfg)
	cmd.Flags().BoolVar(&cfg.Calibrate, "calibrate", false, "measure for some seconds at the first start what batches suit this machine, and keep it")
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write; without it, standard output")
	return cmd
}

// modelFlags are the flags of commands that run models without a configuration file.
func modelFlags(cmd *cobra.Command, cfg *classifyConfig) {
	cmd.Flags().StringSliceVar(&cfg.Bundles, "model", cfg.Bundles, "bundles, in order of preference")
	basesFlag(cmd, &cfg.Bases)
	cmd.Flags().StringVar(&cfg.Device, "device", cfg.Device, "auto, cpu or cuda")
	cmd.Flags().StringVar(&cfg.Precision, "precision", cfg.Precision, "auto (int8 on the CPU, fp16 on CUDA), fp32, fp16 or int8")
	cmd.Flags().IntVar(&cfg.Threads, "threads", cfg.Threads, "cores that the models take on the CPU; 0 = all")
}

func classifyFile(cmd *cobra.Command, cfg classifyConfig, path, out string) error {
	input, size, err := openInput(path)
	if err != nil {
		return err
	}
	defer input.Close()
	level := slog.LevelWarn
	if cfg.Calibrate { // what was chosen is worth a line
		level = slog.LevelInfo
	}
	stageConfig, err := classifyStage(cfg, nil, newLogger(logConfig{Level: level}), nil)
	if err != nil {
		return usageError{err}
	}
	stageConfig.Model.OnCalibrate = calibrationProgress(cmd.ErrOrStderr())
	stage, err := classify.New(stageConfig)
	if err != nil {
		return err
	}
	defer stage.Close()
	output, err := createOutput(cmd.OutOrStdout(), out)
	if err != nil {
		return err
	}
	defer output.discard()
	bar := newProgress(cmd.ErrOrStderr(), size, "classify")
	defer bar.Close()
	encoder := json.NewEncoder(output)
	encoder.SetEscapeHTML(false)
	var (
		read       = rowsRead{rows: rowsOf(io.TeeReader(input, bar), path)}
		rows, bad  int
		firstFault error
		start      = time.Now()
	)
	for readings, err := range stage.Classify(cmd.Context(), read.items()) {
		if ended := cmd.Context().Err(); ended != nil {
			return ended
		}
		row, last := read.next()
		rows++
		for _, reading := range readings {
			var written any = arrival{reading, row.arrived}
			if err := cmp.Or(row.fault, err); err != nil {
				bad++
				firstFault = cmp.Or(firstFault, fmt.Errorf("line %d: %w", row.line, err))
				written = badLine{ID: reading.ID, Line: row.line, Error: err.Error()}
			}
			if err := encoder.Encode(written); err != nil {
				return fmt.Errorf("writing readings: %w", err)
			}
		}
		if last { // whoever is on the other side of a pipe waits for it
			if err := output.Flush(); err != nil {
				return fmt.Errorf("writing readings: %w", err)
			}
		}
	}
	if err := output.commit(); err != nil {
		return err
	}
	_ = bar.Close()
	took := time.Since(start).Seconds()
	fmt.Fprintf(cmd.ErrOrStderr(), "%s in %.1f s, %.0f a second\n", news.Counted(rows, "text"), took, float64(rows)/took)
	if bad > 0 {
		return fmt.Errorf("%s: %d of %d rows could not be read; the lines with \"error\" say why. The first: %w", path, bad, rows, firstFault)
	}
	return nil
}

// badLine stands where the reading of a row would be.
type badLine struct {
	ID    string `json:"id,omitempty"`
	Line  int    `json:"line"`
	Error string `json:"error"`
}

// rowsRead turns rows into items and remembers of each where it was and what was wrong
// with it, until its reading is written. A row that is no item travels as an empty item, which
// the models refuse, so that readings keep the order of rows.
type rowsRead struct {
	rows iter.Seq[row]

	mu      sync.Mutex // rows are drawn in another goroutine than readings are written
	pending []rowRead
}

// rowRead is what is remembered of a row.
type rowRead struct {
	line    int
	arrived time.Time // when its item came
	fault   error
}

func (r *rowsRead) items() iter.Seq[news.Item] {
	return func(yield func(news.Item) bool) {
		for row := range r.rows {
			item, arrived, err := itemOf(row)
			r.mu.Lock()
			r.pending = append(r.pending, rowRead{row.line, arrived, err})
			r.mu.Unlock()
			if !yield(item) {
				return
			}
		}
	}
}

// next is the first row that was not asked for, and whether no other has been read so far.
func (r *rowsRead) next() (first rowRead, last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, r.pending = r.pending[0], r.pending[1:]
	return first, len(r.pending) == 0
}

// itemOf takes what a row says of an item, and when that came: where the row does not say, when
// it was published. Unlike on the stream, a time is not needed.
func itemOf(r row) (item news.Item, arrived time.Time, err error) {
	item.ID = r.fields["id"]
	if r.err != nil {
		return item, arrived, r.err
	}
	item.Kind, item.Source = news.Kind(r.fields["kind"]), r.fields["source"]
	item.Lang, item.URL = r.fields["lang"], r.fields["url"]
	if item.PublishedAt, err = timeOf(r, "published_at"); err != nil {
		return item, arrived, err
	}
	if arrived, err = timeOf(r, "arrived_at"); err != nil {
		return item, arrived, err
	}
	item.Title, item.Text = r.fields["title"], r.fields["text"]
	item.Entities = entitiesOf(r.fields["entities"])
	if item.Title == "" && item.Text == "" {
		return item, arrived, errors.New("neither text nor title")
	}
	ingest.Complete(&item)
	return item, cmp.Or(arrived, item.PublishedAt), nil
}

// timeOf reads a row's time; zero where it gives none.
func timeOf(r row, name string) (at time.Time, err error) {
	if r.fields[name] == "" {
		return at, nil
	}
	if at, err = ingest.ParseTime(r.fields[name]); err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return at, err
}

// entitiesOf reads a JSON list of words, or words separated by commas.
func entitiesOf(field string) []string {
	var words, out []string
	if json.Unmarshal([]byte(field), &words) != nil {
		words = strings.Split(field, ",")
	}
	for _, word := range words {
		if word = strings.TrimSpace(word); word != "" && !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out
}

// output is standard output, or a file that appears under its name at commit.
type output struct {
	*bufio.Writer
	file *os.File // nil: standard output
	path string
}

func createOutput(standard io.Writer, path string) (*output, error) {
	if path == "" || path == "-" {
		return &output{Writer: bufio.NewWriter(standard)}, nil
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return nil, err
	}
	return &output{bufio.NewWriter(file), file, path}, nil
}

func (o *output) commit() error {
	if err := o.Flush(); err != nil || o.file == nil {
		return err
	}
	if err := errors.Join(o.file.Chmod(0o644), o.file.Close()); err != nil {
		return err
	}
	return os.Rename(o.file.Name(), o.path)
}

// discard leaves no file behind that was not committed.
func (o *output) discard() {
	if o.file != nil {
		_ = o.file.Close()
		_ = os.Remove(o.file.Name()) // after commit there is none of that name
	}
}

// newProgress shows how much of the input is read, in place on a terminal. Elsewhere it
// shows nothing: the command ends with a line of its own.
func newProgress(w io.Writer, size int64, what string) *progressbar.ProgressBar {
	return progressOf(w, size, what, true)
}

// calibrationProgress shows how far the measurement of each bundle is.
func calibrationProgress(w io.Writer) func(done, of int) {
	var bar *progressbar.ProgressBar
	return func(done, of int) {
		if done == 0 {
			bar = progressOf(w, int64(of), "calibrate", false)
		}
		_ = bar.Set(done)
	}
}

func progressOf(w io.Writer, size int64, what string, bytes bool) *progressbar.ProgressBar {
	file, ok := w.(*os.File)
	visible := ok && term.IsTerminal(int(file.Fd()))
	return progressbar.NewOptions64(size, progressbar.OptionSetWriter(w), progressbar.OptionSetVisibility(visible),
		progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(bytes), progressbar.OptionSetWidth(32),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
}

// classifyStage is the classify stage's own form of what is configured.
func classifyStage(c classifyConfig, clock func() time.Time, log *slog.Logger, r prometheus.Registerer) (classify.Config, error) {
	model, err := modelConfig(c, log)
	return classify.Config{Bundles: c.Bundles, Model: model, MaxWait: asWritten(c.MaxWait), Clock: clock, Registerer: r}, err
}

func modelConfig(c classifyConfig, log *slog.Logger) (classify.ModelConfig, error) {
	m := classify.ModelConfig{Bases: c.Bases, Threads: c.Threads, TokenBudget: c.TokenBudget, Calibrate: c.Calibrate, Log: log}
	if err := m.Device.UnmarshalText([]byte(c.Device)); err != nil {
		return m, err
	}
	if c.Threads < 0 {
		return m, fmt.Errorf("threads is %d; it is a number of cores, or 0 for all", c.Threads)
	}
	switch c.Precision {
	case "", "auto":
	case "fp32", "fp16", "int8":
		m.Precision = bert.Precision(c.Precision)
	default:
		return m, fmt.Errorf("precision is %q; it is auto, fp32, fp16 or int8", c.Precision)
	}
	return m, nil
}
