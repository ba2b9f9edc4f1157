package finetune

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// unlabelled is what is wrong with a row that has no label of its source's task. Where its file
// is also a source of another task, that is nothing wrong, if it has a label of that.
type unlabelled struct{ error }

// sharedFile is a file that is read for several tasks, once for each. Its rows carry a label of
// one of them or of more.
type sharedFile struct {
	tasks   []string
	sources int
	rows    map[string]*sharedRow

	row    *sharedRow // the present one
	taught bool       // a row has a label of the present task
	none   error      // what is wrong with a row that has none; nil: there is no such row
}

// sharedRow is what was found of a row so far.
type sharedRow struct {
	without int  // sources that found no label in it
	bad     bool // its fault was said
}

// sharedFiles finds the files, by their digest, that are sources of more than one task.
func sharedFiles(sources []Source) map[string]*sharedFile {
	files := map[string]*sharedFile{}
	for _, s := range sources {
		if s.SHA256 == "" { // the corrections: each has one task
			continue
		}
		f := files[s.SHA256]
		if f == nil {
			f = &sharedFile{rows: map[string]*sharedRow{}}
			files[s.SHA256] = f
		}
		f.sources++
		if !slices.Contains(f.tasks, s.Task) {
			f.tasks = append(f.tasks, s.Task)
		}
	}
	for sum, f := range files {
		if len(f.tasks) < 2 {
			delete(files, sum)
		}
	}
	return files
}

// open begins to read the file for a task.
func (f *sharedFile) open() { f.taught, f.none = false, nil }

// begin takes up a row, and says whether it is read for the first time.
func (f *sharedFile) begin(at string) bool {
	row, again := f.rows[at]
	if !again {
		row = &sharedRow{}
		f.rows[at] = row
	}
	f.row = row
	return !again
}

// judge says what is wrong with the present row, given what reading it for the present task
// found: that it has no label is a fault where it has none of any task. A row has one fault.
func (f *sharedFile) judge(err error) error {
	var none unlabelled
	switch {
	case err == nil:
		f.taught = true
	case errors.As(err, &none):
		f.none = none.error
		if f.row.without++; f.row.without == f.sources {
			return fmt.Errorf("it has no label of %s", strings.Join(f.tasks, " or "))
		}
		return nil
	case f.row.bad:
		return nil
	default:
		f.row.bad = true
	}
	return err
}
