package finetune

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/news"
)

// Findings are what reading the rows found.
type Findings struct {
	Rows       int      `json:"rows"`       // read
	Duplicates int      `json:"duplicates"` // the same text (and entity) with the same label: left out
	Conflicts  int      `json:"conflicts"`  // the same text with another label: left out, the first stays
	Mixed      int      `json:"mixed"`      // headlines whose entities differ, left out where texts are read as a whole
	Elsewhere  int      `json:"elsewhere"`  // rows that have a label of one of Source.Others only
	Bad        int      `json:"bad"`        // rows left out as --skip-bad asks
	Copies     int      `json:"copies"`     // training texts left out as copies of validation texts, links, case and spaces aside
	Truncated  int      `json:"truncated"`  // texts longer than what is trained on; serving reads them whole
	First      []string `json:"first,omitempty"`
}

// note keeps the first few of what was found, for the person to look at.
func (f *Findings) note(format string, args ...any) {
	if len(f.First) < shown {
		f.First = append(f.First, fmt.Sprintf(format, args...))
	}
}

// shown is how many examples of a kind are named.
const shown = 5

// Read reads the rows of one source for one head, to evaluate it on. With skipBad rows that
// cannot be used are counted and left out; else they are an error that wraps ErrRows.
func Read(s Source, head bert.Head, skipBad bool) ([]*Example, Findings, error) {
	r := newReader([]bert.Head{head}, skipBad)
	examples, err := r.take([]Source{s})
	if err == nil {
		err = r.finish(examples)
	}
	return examples, r.found, err
}

// reader gathers rows into examples, one for each text and entity.
type reader struct {
	heads    []bert.Head
	fixed    []bool // by head: its labels are given, not found
	skipBad  bool
	sources  []Source
	examples []*Example // of the sources being taken
	byText   map[[2]string]*Example
	files    map[string]*sharedFile // of the sources being taken, by SHA256
	found    Findings
	faults   []fault
}

// fault is what is wrong with a row, and with further rows of its source in the same words.
type fault struct {
	at    string
	err   error
	again int
}

func newReader(heads []bert.Head, skipBad bool) *reader {
	r := &reader{heads: slices.Clone(heads), skipBad: skipBad, byText: map[[2]string]*Example{}}
	for i, h := range r.heads {
		if len(h.Labels) == 0 && h.Task == news.TaskSentiment {
			r.heads[i].Labels = []string{"negative", "neutral", "positive"}
		}
		r.fixed = append(r.fixed, len(r.heads[i].Labels) > 0)
	}
	return r
}

// take reads sources into examples.
func (r *reader) take(sources []Source) ([]*Example, error) {
	r.examples, r.byText, r.files = nil, map[[2]string]*Example{}, sharedFiles(sources)
	for _, s := range sources {
		if err := r.read(s); err != nil {
			return nil, err
		}
	}
	return r.examples, nil
}

// read takes all rows of a source.
func (r *reader) read(s Source) error {
	head := slices.IndexFunc(r.heads, func(h bert.Head) bool { return h.Task == s.Task })
	if head < 0 {
		return fmt.Errorf("%s: there is no head for %s", s.Name, s.Task)
	}
	if s.Weight == 0 {
		s.Weight = 1
	}
	r.sources = append(r.sources, s)
	shared := r.files[s.SHA256]
	if shared != nil {
		shared.open()
	}
	var none error // what is wrong with a row that has a label of another task only
	taught := false
	for row := range s.Rows {
		err := r.addRow(s, head, row)
		switch {
		case shared != nil:
			if shared.begin(row.At) {
				r.found.Rows++
			}
			err = shared.judge(err)
		case s.elsewhere(row, err):
			r.found.Rows++
			r.found.Elsewhere++
			none, err = err, nil
		default:
			r.found.Rows++
			taught = taught || err == nil
		}
		if err == nil {
			continue
		}
		if r.skipBad {
			r.found.Bad++
			r.found.note("left out: %s: %s: %v", s.Name, row.At, err)
			continue
		}
		if i := slices.IndexFunc(r.faults, func(f fault) bool { return f.err.Error() == err.Error() }); i >= 0 {
			r.faults[i].again++
			continue
		}
		if r.faults = append(r.faults, fault{at: s.Name + ": " + row.At, err: err}); len(r.faults) == shown {
			break
		}
	}
	if len(r.faults) > 0 {
		all := make([]error, len(r.faults))
		for i, f := range r.faults {
			more := ""
			if f.again > 0 {
				more = ", and " + news.Counted(f.again, "further row")
			}
			all[i] = fmt.Errorf("%s%s: %w", f.at, more, f.err)
		}
		return fmt.Errorf("%w (mend them, or leave such rows out by --skip-bad):\n%w", ErrRows, errors.Join(all...))
	}
	if shared != nil {
		taught, none = shared.taught, shared.none
	}
	if !taught && none != nil {
		return fmt.Errorf("%w: %s: no row has a label of %s: %w", ErrRows, s.Name, s.Task, none)
	}
	return nil
}

// addRow takes all that a row says, or nothing.
func (r *reader) addRow(s Source, head int, row Row) error {
	all, whole, err := s.read(row)
	if err != nil {
		return err
	}
	for i := range all {
		l := &all[i]
		l.label = canonical(s.Task, l.label)
		if err := r.checkLabel(head, l.label); err != nil {
			switch {
			case !s.Labelled(row):
				err = unlabelled{err}
			case l.entity != "":
				err = fmt.Errorf("of %q: %w", l.entity, err)
			}
			return err
		}
	}
	if whole {
		if slices.ContainsFunc(all, func(l labelled) bool { return l.label != all[0].label }) {
			r.found.Mixed++
			return nil
		}
		all = all[:1]
		all[0].entity = ""
	}
	for _, l := range all {
		r.add(s, head, l)
	}
	return nil
}

func (r *reader) add(s Source, head int, l labelled) {
	class := r.class(head, l.label)
	key := [2]string{l.text, l.entity}
	e := r.byText[key]
	if e == nil {
		n := len(r.heads)
		e = &Example{Text: l.text, Entity: l.entity, At: l.at, first: len(r.sources) - 1,
			Labels: slices.Repeat([]int{-1}, n), Sources: slices.Repeat([]int{-1}, n), Weights: make([]float32, n)}
		r.byText[key] = e
		r.examples = append(r.examples, e)
	}
	switch e.Labels[head] {
	case -1:
		e.Labels[head], e.Sources[head], e.Weights[head] = class, len(r.sources)-1, float32(s.Weight)
	case class:
		r.found.Duplicates++
	default:
		r.found.Conflicts++
		r.found.note("conflict: %s: %s says %s of a text that is %s at %s: %.60q", s.Name, l.at, l.label, r.heads[head].Labels[e.Labels[head]], e.At, l.text)
	}
}

// checkLabel says whether a head can have a label.
func (r *reader) checkLabel(head int, label string) error {
	h := r.heads[head]
	switch {
	case label == "":
		return fmt.Errorf("the label of %s is empty", h.Task)
	case r.fixed[head] && !slices.Contains(h.Labels, label):
		return fmt.Errorf("the label of %s is %q; the head has %s", h.Task, label, strings.Join(h.Labels, ", "))
	}
	return nil
}

// class is a label's number. A head that is new takes its labels as they come; they are
// sorted when all is read.
func (r *reader) class(head int, label string) int {
	h := &r.heads[head]
	if i := slices.Index(h.Labels, label); i >= 0 {
		return i
	}
	h.Labels = append(h.Labels, label)
	return len(h.Labels) - 1
}

// finish sorts the labels that were found, so that a head does not depend on the rows' order.
func (r *reader) finish(examples ...[]*Example) error {
	for i := range r.heads {
		if r.fixed[i] {
			continue
		}
		h := &r.heads[i]
		sorted := slices.Sorted(slices.Values(h.Labels))
		to := make([]int, len(sorted))
		for old, label := range h.Labels {
			to[old] = slices.Index(sorted, label)
		}
		for _, e := range slices.Concat(examples...) {
			if e.Labels[i] >= 0 {
				e.Labels[i] = to[e.Labels[i]]
			}
		}
		h.Labels, r.fixed[i] = sorted, true
		if len(sorted) < 2 {
			return fmt.Errorf("%w: head %s has the labels %q: at least two are needed", ErrRows, h.Task, sorted)
		}
	}
	return nil
}
