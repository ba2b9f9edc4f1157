package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune"
	"github.com/barograph/barograph/news"
)

// labelled are those of the tasks that a row has a label of. Where there are none, a row that cannot
// be read is an error that wraps finetune.ErrRows.
func (e *evaluation) labelled(ctx context.Context, b *classify.Bundle, tasks []string) (out []string, err error) {
	var bad error
	found := map[string]bool{}
	missing := func(task string) bool { return !found[task] }
	if e.data == labelsSource {
		c, err := (&training{path: e.path}).readLabels(ctx)
		if err != nil {
			return nil, err
		}
		for _, l := range c.labels {
			found[l.Task] = true
		}
	} else {
		rows, done, err := e.open()
		if err != nil {
			return nil, err
		}
		defer done()
		for row := range rows {
			if row.Err != nil && bad == nil {
				bad = fmt.Errorf("%w: %s: %s: %w", finetune.ErrRows, e.data, row.At, row.Err)
			}
			for _, task := range tasks {
				found[task] = found[task] || e.sourceOf(task, b).Labelled(row)
			}
			if !slices.ContainsFunc(tasks, missing) {
				break
			}
		}
	}
	if out = slices.DeleteFunc(slices.Clone(tasks), missing); len(out) == 0 {
		return nil, bad
	}
	return out, nil
}

// sourceOf is where the labels of a task come from. For a bundle that reads one, the entity is in the
// column that SEntFiN has for it, unless another is named.
func (e evaluation) sourceOf(task string, b *classify.Bundle) finetune.Source {
	s := e.source
	s.Task, s.Name = task, e.data
	if b.EntitySegment && s.Label == "" {
		s.Entity = cmp.Or(s.Entity, finetune.EntitiesColumn)
	}
	s.Others = slices.DeleteFunc([]string{news.TaskSentiment, news.TaskTopic}, func(other string) bool { return other == task })
	return s
}

// open gives the rows of data, and what ends reading them. Those that can be read once are kept.
func (e *evaluation) open() (iter.Seq[finetune.Row], func(), error) {
	if e.rows != nil {
		return slices.Values(e.rows), func() {}, nil
	}
	input, _, err := openInput(e.data)
	if err != nil {
		return nil, nil, err
	}
	rows := fileRows(input, e.data)
	if readOnce(e.data) {
		e.rows = slices.Collect(rows)
		rows = slices.Values(e.rows)
	}
	return rows, func() { _ = input.Close() }, nil
}

// examples are those of the split, and what of the rows is left out is said.
func (e *evaluation) examples(cmd *cobra.Command, b *classify.Bundle, labels []string) ([]*finetune.Example, error) {
	w := cmd.ErrOrStderr()
	s := e.sourceOf(e.task, b)
	if e.data == labelsSource {
		c, err := (&training{path: e.path}).readLabels(cmd.Context())
		if err != nil {
			return nil, err
		}
		s.Name, s.Text, s.Label, s.Entity = "topic "+c.topic, "", "", "entity"
		if !b.EntitySegment {
			s.Entity = ""
		}
		s.Rows = c.rows(e.task, b.EntitySegment)
		for _, line := range (&sourceSet{labels: c.labels, tasks: []string{e.task}}).unusedInWords(b.EntitySegment) {
			fmt.Fprintf(w, "%s: left out: %s\n", s.Name, line)
		}
	} else {
		rows, done, err := e.open()
		if err != nil {
			return nil, err
		}
		defer done()
		s.Rows = rows
	}
	examples, found, err := finetune.Read(s, bert.Head{Task: e.task, Labels: labels}, e.skipBad)
	if err != nil {
		return nil, err
	}
	if found.Elsewhere > 0 {
		fmt.Fprintf(w, "%s: %d of %d rows have no label of %s, but of %s: they are not measured here\n",
			e.data, found.Elsewhere, found.Rows, e.task, strings.Join(s.Others, " or "))
	}
	for _, line := range leftOut(found) {
		fmt.Fprintf(w, "%s: %s\n", e.data, line)
	}
	if e.split != "all" {
		examples = slices.DeleteFunc(examples, func(x *finetune.Example) bool {
			return finetune.InValidation(x.Text) != (e.split == "validation")
		})
	}
	if len(examples) == 0 {
		return nil, fmt.Errorf("%s: no rows of %s in the split %s", e.data, e.task, e.split)
	}
	return examples, nil
}
