package finetune

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/barograph/barograph/internal/disk"
)

// ErrResume is wrapped by errors about checkpoints that cannot be gone on from.
var ErrResume = errors.New("cannot resume")

// checkpoints is the folder of a run's checkpoints: one folder for each that is kept, named
// for its update, with the trainer's state and the run's.
type checkpoints string

const (
	trainerFile = "trainer"
	stateFile   = "state.json"
	folderName  = "update-"
	newName     = ".new-" // not whole yet
)

func folderOf(update int) string { return fmt.Sprintf("%s%07d", folderName, update) }

// saver is what a checkpoint needs of a *step.Trainer.
type saver interface {
	Save(io.Writer) error
	Restore(io.Reader) error
}

// save writes a checkpoint beside, through to the disk, and renames it; then it removes those
// that are neither the last nor the best. One that resume takes is whole, and no kill and no
// loss of power leaves fewer than there were: nothing is removed before its successor is there
// to stay.
func (c checkpoints) save(s state, t saver) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing a checkpoint: %w", err)
		}
	}()
	final := filepath.Join(string(c), folderOf(s.Update))
	if _, err := os.Stat(final); err == nil { // stopped just after an epoch's end: it is the same
		return nil
	}
	if err := os.MkdirAll(string(c), 0o755); err != nil {
		return err
	}
	folder, err := os.MkdirTemp(string(c), newName+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := writeFile(filepath.Join(folder, trainerFile), t.Save); err != nil {
		return err
	}
	err = writeFile(filepath.Join(folder, stateFile), func(w io.Writer) error { return json.NewEncoder(w).Encode(s) })
	if err != nil {
		return err
	}
	if err := disk.Sync(folder); err != nil {
		return err
	}
	if err := os.Rename(folder, final); err != nil {
		return err
	}
	if err := disk.Sync(string(c)); err != nil {
		return err
	}
	return c.prune(s)
}

func (c checkpoints) prune(s state) error {
	entries, err := os.ReadDir(string(c))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		old := strings.HasPrefix(name, folderName) && name != folderOf(s.Update) && name != folderOf(s.Best)
		if old || strings.HasPrefix(name, newName) {
			if err := os.RemoveAll(filepath.Join(string(c), name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeFile writes a file through to the disk.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// resume gives the trainer and the caller what the last checkpoint holds. found is false
// where there is none.
func (c checkpoints) resume(fingerprint string, t saver) (s state, found bool, err error) {
	entries, err := os.ReadDir(string(c))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, false, err
	}
	last := ""
	for _, e := range entries { // sorted by name, and so by update
		if strings.HasPrefix(e.Name(), folderName) {
			last = filepath.Join(string(c), e.Name())
		}
	}
	if last == "" {
		return s, false, nil
	}
	raw, err := os.ReadFile(filepath.Join(last, stateFile))
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		return s, false, fmt.Errorf("%w: %s cannot be read (removed, the one before it is taken, or the start): %w", ErrResume, last, err)
	}
	if s.Fingerprint != fingerprint {
		return s, false, fmt.Errorf("%w: %s is of other settings, another base or other data; take those, or another --out", ErrResume, last)
	}
	return s, true, c.restore(last, t)
}

func (c checkpoints) restore(folder string, t saver) error {
	f, err := os.Open(filepath.Join(folder, trainerFile))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrResume, err)
	}
	defer f.Close()
	if err := t.Restore(bufio.NewReaderSize(f, 1<<20)); err != nil {
		return fmt.Errorf("%w: %s cannot be read (removed, the one before it is taken, or the start): %w", ErrResume, folder, err)
	}
	return nil
}
