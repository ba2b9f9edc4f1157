package finetune

import (
	"errors"
	"fmt"
	"slices"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune/step"
)

// teacherShare is how much of a training row's target is what the teachers say of it; the
// rest is its label. Labels of one person each are noisy, and several models' mean is less so.
const teacherShare = 0.7

// askTeachers lets each teacher read the training texts; what they say on average then
// softens the labels (Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural
// Network", at temperature 1; Furlanello et al. 2018, "Born-Again Neural Networks").
func (j *job) askTeachers() error {
	asked := make([]int, len(j.heads)) // teachers, by head
	for _, dir := range j.Teachers {
		if err := j.ask(dir, asked); err != nil {
			return fmt.Errorf("teacher %s: %w", dir, err)
		}
	}
	j.average(asked)
	return nil
}

// average turns sums over so many teachers of each head into means.
func (j *job) average(asked []int) {
	for _, e := range j.data.train {
		for h, p := range e.taught {
			for k := range p {
				p[k] /= float64(asked[h])
			}
		}
	}
}

// ask adds what one teacher says of the training texts that have a label for a head of its own.
func (j *job) ask(dir string, asked []int) (err error) {
	s := Settings{Mode: step.HeadOnly} // the cheapest of those that read with the weights as they are
	b, err := openBase(dir, j.Bases, &s)
	if err != nil {
		return err
	}
	switch {
	case len(b.heads) == 0:
		return fmt.Errorf("%w: it has no head: a teacher is a bundle that was trained", ErrBase)
	case j.entities() && !b.readsEntity():
		return fmt.Errorf("%w: it reads texts as a whole, and rows are of companies: a teacher for --entity-column is a bundle that was trained with it", ErrBase)
	}
	teaches := make([]int, len(j.heads))  // the teacher's head, by head; -1 = none
	places := make([][]int, len(j.heads)) // of the head's labels among that one's
	var texts []*Example
	for h, head := range j.heads {
		at := slices.IndexFunc(b.heads, func(t bert.Head) bool { return t.Task == head.Task })
		if slices.Contains(j.summary.Kept, head.Task) {
			at = -1
		}
		if teaches[h] = at; at >= 0 {
			if places[h], err = labelsIn(b.heads[at], head.Labels); err != nil {
				return err
			}
		}
	}
	for _, e := range j.data.train {
		for h, at := range teaches {
			if at >= 0 && e.Labels[h] >= 0 {
				texts = append(texts, e)
				break
			}
		}
	}
	if len(texts) == 0 {
		return fmt.Errorf("%w: it has no head for what is trained", ErrBase)
	}
	j.stage(fmt.Sprintf("asking the teacher %s about %d texts", dir, len(texts)))
	trainer, err := step.New(step.Config{Base: b.checkpoint, Runtime: j.runtime, Device: j.Device, Threads: j.Threads,
		Mode: s.Mode, Heads: trainerHeads(b.heads), Init: b.init})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trainer.Close()) }()
	read, err := b.inTokens(texts, j.Settings.MaxTokens)
	if err != nil {
		return err
	}
	logits, err := predict(trainer, b.heads, read)
	if err != nil {
		return err
	}
	sum, err := classify.Digest(b.folder)
	if err != nil {
		return err
	}
	if k := b.kept; k != nil {
		j.teachers = append(j.teachers, fmt.Sprintf("%s %s (digest %s)", k.Name, k.Version, sum))
	}
	for h, at := range teaches {
		if at < 0 {
			continue
		}
		asked[h]++
		if err := j.hear(h, texts, places[h], logits[at]); err != nil {
			return err
		}
	}
	return nil
}

// labelsIn are the places of labels among a teacher's, which has the same ones.
func labelsIn(teacher bert.Head, labels []string) ([]int, error) {
	places := make([]int, len(labels))
	for k, label := range labels {
		if places[k] = slices.Index(teacher.Labels, label); places[k] < 0 || len(teacher.Labels) != len(labels) {
			return nil, fmt.Errorf("%w: its labels of %s are %v, not %v", ErrBase, teacher.Task, teacher.Labels, labels)
		}
	}
	return places, nil
}

// hear adds a teacher's probabilities, label by label from their places, to what a head is taught.
func (j *job) hear(h int, texts []*Example, places []int, logits [][]float32) error {
	for i, e := range texts {
		p, err := classify.Softmax(logits[i], 1)
		if err != nil {
			return err
		}
		if e.taught == nil {
			e.taught = make([][]float64, len(j.heads))
		}
		if e.taught[h] == nil {
			e.taught[h] = make([]float64, len(places))
		}
		for k, place := range places {
			e.taught[h][k] += p[place]
		}
	}
	return nil
}

func trainerHeads(heads []bert.Head) []step.Head {
	out := make([]step.Head, len(heads))
	for i, h := range heads {
		out[i] = step.Head{Task: h.Task, Labels: len(h.Labels)}
	}
	return out
}
