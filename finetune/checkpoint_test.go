package finetune

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// weights are a trainer of which only a checkpoint is wanted.
type weights struct {
	text string
	cut  func() // what happens half-way through writing; nil: nothing
	err  error  // of writing
}

func (w *weights) Save(out io.Writer) error {
	_, _ = io.WriteString(out, w.text[:len(w.text)/2])
	if w.cut != nil {
		w.cut()
	}
	_, _ = io.WriteString(out, w.text[len(w.text)/2:])
	return w.err
}

func (w *weights) Restore(in io.Reader) error {
	raw, err := io.ReadAll(in)
	w.text = string(raw)
	return err
}

// resumes checks that a run would go on from an update, and with its weights.
func resumes(t *testing.T, c checkpoints, update int, text string) {
	t.Helper()
	var w weights
	s, found, err := c.resume("f", &w)
	if err != nil || !found || s.Update != update || w.text != text {
		t.Errorf("it goes on after update %d with %q (found %v, %v); want %d with %q", s.Update, w.text, found, err, update, text)
	}
}

// TestACheckpointCutShortLeavesTheOneBefore: whatever ends a save, the disk or a kill, the
// one before is whole at every moment, and the next save clears away what was left.
func TestACheckpointCutShortLeavesTheOneBefore(t *testing.T) {
	full, killed := errors.New("no space left on device"), errors.New("killed")
	for name, breaks := range map[string]*weights{
		"the disk is full": {text: "second", err: full},
		"killed":           {text: "second", cut: func() { panic(killed) }},
	} {
		t.Run(name, func(t *testing.T) {
			c := checkpoints(filepath.Join(t.TempDir(), "checkpoints"))
			if err := c.save(state{Fingerprint: "f", Update: 1}, &weights{text: "first"}); err != nil {
				t.Fatal(err)
			}
			inner := breaks.cut
			breaks.cut = func() {
				resumes(t, c, 1, "first")
				if inner != nil {
					inner()
				}
			}
			func() {
				defer func() {
					if got := recover(); got != nil && got != killed {
						panic(got)
					}
				}()
				if err := c.save(state{Fingerprint: "f", Update: 2}, breaks); !errors.Is(err, full) {
					t.Errorf("the save gave %v", err)
				}
			}()
			resumes(t, c, 1, "first")
			left := filepath.Join(string(c), newName+"left") // a kill runs no deferred call
			if err := os.MkdirAll(left, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := c.save(state{Fingerprint: "f", Update: 2}, &weights{text: "second"}); err != nil {
				t.Fatal(err)
			}
			resumes(t, c, 2, "second")
			if entries, err := os.ReadDir(string(c)); err != nil || len(entries) != 1 {
				t.Errorf("%v are left (%v)", entries, err)
			}
		})
	}
}

// TestACheckpointIsNotTakenAway to write it again: between the two there would be none. A run
// that is stopped just after an epoch's end saves its update twice.
func TestACheckpointIsNotTakenAway(t *testing.T) {
	c := checkpoints(t.TempDir())
	s := state{Fingerprint: "f", Update: 1}
	if err := c.save(s, &weights{text: "first"}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(string(c), folderOf(1), trainerFile)
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.save(s, &weights{text: "first"}); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(file); err != nil || !os.SameFile(before, after) {
		t.Errorf("the checkpoint was written over (%v)", err)
	}
}

// TestTheBestStays beside the last, and no other.
func TestTheBestStays(t *testing.T) {
	c := checkpoints(t.TempDir())
	for update, best := range []int{0: 0, 1: 1, 2: 1, 3: 1} {
		if err := c.save(state{Fingerprint: "f", Update: update, Best: best}, &weights{text: folderOf(update)}); err != nil {
			t.Fatal(err)
		}
	}
	var w weights
	if err := c.restore(filepath.Join(string(c), folderOf(1)), &w); err != nil || w.text != folderOf(1) {
		t.Errorf("the best is %q (%v)", w.text, err)
	}
	resumes(t, c, 3, folderOf(3))
	if entries, err := os.ReadDir(string(c)); err != nil || len(entries) != 2 {
		t.Errorf("%v are kept (%v)", entries, err)
	}
}

// TestADamagedCheckpointIsNamed, and the one before it is gone on from once it is removed.
func TestADamagedCheckpointIsNamed(t *testing.T) {
	c := checkpoints(t.TempDir())
	for update := 1; update <= 2; update++ {
		if err := c.save(state{Fingerprint: "f", Update: update, Best: 1}, &weights{text: folderOf(update)}); err != nil {
			t.Fatal(err)
		}
	}
	damaged := filepath.Join(string(c), folderOf(2))
	if err := os.Remove(filepath.Join(damaged, stateFile)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.resume("f", &weights{}); !errors.Is(err, ErrResume) {
		t.Errorf("got %v", err)
	}
	if err := os.RemoveAll(damaged); err != nil {
		t.Fatal(err)
	}
	resumes(t, c, 1, folderOf(1))
	if _, _, err := c.resume("other", &weights{}); !errors.Is(err, ErrResume) {
		t.Errorf("other settings: %v", err)
	}
}
