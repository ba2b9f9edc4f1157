package finetune

import (
	"cmp"
	"fmt"
	"slices"
)

// dataset is the examples, ready to be trained on.
type dataset struct {
	train, valid []*Example
	sources      []Source
}

// read reads and splits the rows.
func (j *job) read() error {
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
		n := len(head.Labels)
		for what, examples := range map[string][]*Example{"training": train, "validation": valid} {
			if slices.Max(counts(examples, h, n)) == 0 {
				return fmt.Errorf("%w: no %s row has a label of %s (%d rows in all)", ErrRows, what, head.Task, len(examples))
			}
		}
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
