package finetune

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/barograph/barograph/classify/bert"
)

// dataset is the examples, ready to be trained on.
type dataset struct {
	train, valid []*Example
	sources      []Source
}

// read reads and splits the rows.
func (j *job) read() error {
	if err := j.checkHeld(); err != nil {
		return err
	}
	var tasks []string
	for _, s := range j.Train {
		tasks = append(tasks, s.Task)
	}
	r := newReader(j.base.withTasks(tasks), j.SkipBad)
	train, err := r.take(j.Train)
	if err != nil {
		return err
	}
	valid, err := r.take(j.Valid)
	if err != nil {
		return err
	}
	if err := r.finish(train, valid); err != nil {
		return err
	}
	if column := j.Train[0].Entity; column != "" && !slices.ContainsFunc(train, hasEntity) {
		return fmt.Errorf("%w: no row has an entity in a column %s", ErrRows, column)
	}
	if len(j.Valid) == 0 {
		train, valid = split(j.Settings.Split, train, j.Settings.Seed)
	}
	train, r.found.Copies = withoutCopies(train, valid)
	j.heads, j.data = r.heads, dataset{train, valid, r.sources}
	if err := j.encode(&r.found); err != nil {
		return err
	}
	j.summary = Summary{Heads: j.heads, Train: len(train), Valid: len(valid), Findings: r.found, Sources: j.sourceRows()}
	for h, head := range j.heads {
		if !slices.Contains(tasks, head.Task) {
			j.summary.Kept = append(j.summary.Kept, head.Task)
			continue
		}
		if err := j.enough(h, head); err != nil {
			return err
		}
	}
	return nil
}

// enough says whether a head can be trained on what there is. Labels without a row are noted:
// the head learns never to say them.
func (j *job) enough(h int, head bert.Head) error {
	taught := counts(j.data.train, h, len(head.Labels))
	var with, without []string
	for i, label := range head.Labels {
		if taught[i] > 0 {
			with = append(with, label)
		} else {
			without = append(without, label)
		}
	}
	read := fmt.Sprintf("%d rows read, %d left for training, %d for validation, %d left out as copies of validation texts",
		j.summary.Findings.Rows, len(j.data.train), len(j.data.valid), j.summary.Findings.Copies)
	switch {
	case len(with) == 0:
		return fmt.Errorf("%w: no training row has a label of %s (%s)", ErrRows, head.Task, read)
	case len(with) == 1:
		return fmt.Errorf("%w: every training row of %s is %q: at least two labels are needed (%s)", ErrRows, head.Task, with[0], read)
	case slices.Max(counts(j.data.valid, h, len(head.Labels))) == 0:
		return fmt.Errorf("%w: no validation row has a label of %s (%s); give more rows, or some by --valid", ErrRows, head.Task, read)
	}
	for _, label := range without {
		j.summary.Untaught = append(j.summary.Untaught, fmt.Sprintf("%s of %s", label, head.Task))
	}
	return nil
}

// encode cuts the texts into tokens, as serving does.
func (j *job) encode(found *Findings) error {
	limit := min(j.Settings.MaxTokens, j.base.checkpoint.Config.MaxPositions)
	for _, e := range slices.Concat(j.data.train, j.data.valid) {
		ids, types, cut, err := j.base.tokenizer.Pair(e.Text, e.Entity, limit)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", j.data.sources[e.first].Name, e.At, err)
		}
		if cut {
			found.Truncated++
		}
		e.ids, e.types = ids, types
	}
	return nil
}

func (j *job) sourceRows() []SourceRows {
	out := make([]SourceRows, len(j.data.sources))
	for i, s := range j.data.sources {
		out[i] = SourceRows{Name: cmp.Or(s.Short, s.Name), Task: s.Task, SHA256: s.SHA256, Weight: s.Weight}
	}
	for h := range j.heads {
		for _, e := range j.data.train {
			if s := e.Sources[h]; s >= 0 {
				out[s].Train++
			}
		}
		for _, e := range j.data.valid {
			if s := e.Sources[h]; s >= 0 {
				out[s].Valid++
			}
		}
	}
	return out
}

// entities tells whether the model reads an entity after the text.
func (j *job) entities() bool { return slices.ContainsFunc(j.data.train, hasEntity) }

func hasEntity(e *Example) bool { return e.Entity != "" }
