package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/barograph/barograph/finetune"
	"github.com/barograph/barograph/internal/digest"
	"github.com/barograph/barograph/news"
)

// sourceSet is opened sources.
type sourceSet struct {
	list  []finetune.Source
	files []io.Closer

	labels []news.Label // of the labels topic, where a source is that
	tasks  []string     // that are trained on them
}

func (s *sourceSet) close() {
	for _, f := range s.files {
		_ = f.Close()
	}
}

// sources opens files of --task, or TASK=FILE pairs. The corrections come first: of a text
// with two labels the first stays, and people correct what is in the files, too.
func (t *training) sources(ctx context.Context, files, pairs []string) (_ *sourceSet, err error) {
	out := &sourceSet{}
	defer func() {
		if err != nil {
			out.close()
		}
	}()
	for _, file := range files {
		if err := checkTask(t.task); err != nil {
			return nil, usageError{err}
		}
		if err := t.open(ctx, out, t.task, file); err != nil {
			return nil, err
		}
	}
	for _, pair := range pairs {
		task, file, err := parseTask(pair)
		if err != nil {
			return nil, usageError{err}
		}
		if err := t.open(ctx, out, task, file); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out.list, func(a, b finetune.Source) int { return cmp.Compare(rankOf(a), rankOf(b)) })
	return out, nil
}

// rankOf is 0 for the corrections and 1 for a file.
func rankOf(s finetune.Source) int {
	if s.SHA256 == "" {
		return 0
	}
	return 1
}

func (t *training) open(ctx context.Context, out *sourceSet, task, file string) error {
	file, weight := cutWeight(file)
	s := finetune.Source{Task: task, Name: file, Text: t.text, Label: t.label, Entity: t.entity, Weight: weight}
	if file == labelsSource {
		found, err := t.readLabels(ctx)
		if err != nil {
			return err
		}
		if len(out.tasks) > 0 {
			found.bad = nil // said once
		}
		s.Name, s.Text, s.Label = "topic "+found.topic, "", ""
		if s.Entity != "" {
			s.Entity = "entity"
		}
		s.Rows = found.rows(task, t.entity != "")
		out.labels, out.tasks = found.labels, append(out.tasks, task)
		out.list = append(out.list, s)
		return nil
	}
	if readOnce(file) {
		return usageError{fmt.Errorf("%s: rows to train on are read from files, which the model card and --resume know by their digest: write them to one", file)}
	}
	sum, err := digest.File(file)
	if err != nil {
		return err
	}
	input, _, err := openInput(file)
	if err != nil {
		return err
	}
	s.SHA256 = sum
	s.Rows = fileRows(input, file)
	out.list, out.files = append(out.list, s), append(out.files, input)
	return nil
}

// fileRows are a file's rows, each named by its line.
func fileRows(input io.Reader, name string) iter.Seq[finetune.Row] {
	return func(yield func(finetune.Row) bool) {
		none := true
		for r := range rowsOf(input, name) {
			none = false
			if !yield(finetune.Row{At: "line " + strconv.Itoa(r.line), Fields: r.fields, Err: r.err}) {
				return
			}
		}
		if none {
			yield(finetune.Row{At: "line 1", Err: errors.New("there is no row: the file is empty, or has a header only")})
		}
	}
}

// tellApart gives sources the names that a model card needs: of a file's path as much from its
// end as tells it from the other files. The card has no use for the rest, which names a machine.
func tellApart(lists ...[]finetune.Source) {
	files := map[string]bool{}
	for _, s := range slices.Concat(lists...) {
		if s.SHA256 != "" {
			files[filepath.Clean(s.Name)] = true
		}
	}
	for _, list := range lists {
		for i := range list {
			s := &list[i]
			s.Short = s.Name
			if s.SHA256 != "" {
				s.Short = shortName(filepath.Clean(s.Name), files)
			}
		}
	}
}

// shortName is the least of a path's last elements that no other of the files ends in.
func shortName(path string, files map[string]bool) string {
	parts := strings.Split(filepath.ToSlash(path), "/")
	for n := 1; n < len(parts); n++ {
		short, alike := strings.Join(parts[len(parts)-n:], "/"), 0
		for other := range files {
			if strings.HasSuffix("/"+filepath.ToSlash(other), "/"+short) {
				alike++
			}
		}
		if alike == 1 {
			return short
		}
	}
	return filepath.ToSlash(path)
}

// cutWeight takes the weight off FILE:0.7.
func cutWeight(file string) (string, float64) {
	at := strings.LastIndexByte(file, ':')
	if at < 0 {
		return file, 0
	}
	weight, err := strconv.ParseFloat(file[at+1:], 64)
	if err != nil || !(weight > 0) {
		return file, 0
	}
	return file[:at], weight
}
