package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
)

// errMisfit says that a bundle says other things than the one that serves, or of other texts.
var errMisfit = errors.New("the new bundle cannot take the place of the live one")

// misfit gives errMisfit with each reason why what reads the live bundle's readings would miss
// something: a head, labels, or a language. bundles are the configured folders.
func misfit(bundles []string, slot string, serving, candidate *classify.Bundle) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{errMisfit}, args...)...))
	}
	reads, live := sorted(candidate.Languages), sorted(serving.Languages)
	// A bundle that names no language reads what no other does, but only in the first place.
	unnamed := len(reads) == 0 && len(bundles) > 0 && bundles[0] == slot
	if !slices.Equal(reads, live) && !unnamed {
		fault("it reads %s, the live one %s", languages(reads), languages(live))
	}
	if candidate.EntitySegment != serving.EntitySegment {
		way := map[bool]string{true: "for a company", false: "as a whole"}
		fault("it reads a text %s, the live one %s", way[candidate.EntitySegment], way[serving.EntitySegment])
	}
	for _, head := range serving.Heads {
		at := slices.IndexFunc(candidate.Heads, func(h bert.Head) bool { return h.Task == head.Task })
		if at < 0 {
			fault("it has no head for %s", head.Task)
		} else if other := candidate.Heads[at].Labels; !slices.Equal(sorted(other), sorted(head.Labels)) {
			fault("its labels of %s are %s, the live one's %s", head.Task, strings.Join(other, ", "), strings.Join(head.Labels, ", "))
		}
	}
	return errors.Join(faults...)
}

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }

func languages(names []string) string {
	return or(strings.Join(names, ", "), "no language that it names")
}

// checkInput refuses standard input, and a pipe, where it would be read more than once: to see what
// labels it has, or for two heads.
func (p promotion) checkInput() error {
	piped := map[string]bool{}
	for _, data := range p.data {
		task, file, only := strings.Cut(data, "=")
		switch {
		case readOnce(data):
			return usageError{fmt.Errorf("--data %s: it is read once, so name the head that it has rows of, such as --data sentiment=%s, or write the rows to a file", data, data)}
		case only && checkTask(task) == nil && readOnce(file):
			if piped[file] {
				return usageError{fmt.Errorf("--data %s: it is read once, for one head: write the rows to a file, which several can have", file)}
			}
			piped[file] = true
		}
	}
	return nil
}

// files finds the file to measure each head on that both bundles have. A head without one is an
// error; those of the others come with it.
func (p promotion) files(ctx context.Context, serving, candidate *classify.Bundle) (map[string]string, error) {
	files := map[string]string{}
	if err := p.checkInput(); err != nil {
		return nil, err
	}
	shared := slices.DeleteFunc(tasksOf(serving), func(task string) bool { return !slices.Contains(tasksOf(candidate), task) })
	for _, data := range p.data {
		task, file, only := strings.Cut(data, "=")
		if only && slices.Contains(shared, task) {
			files[task] = file
			continue
		}
		if _, err := os.Stat(data); only && err != nil {
			return nil, fmt.Errorf("--data %s: there is no such file, and no head for %s that both bundles have (they have %s)", data, task, strings.Join(shared, ", "))
		}
		labelled, err := (&evaluation{source: p.source, data: data, path: p.config}).labelled(ctx, candidate, shared)
		if err != nil {
			return nil, err
		}
		for _, task := range labelled {
			if files[task] == "" {
				files[task] = data
			}
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("--data %s: no row has a label of a head that both bundles have (%s): name its column with --label-column",
			strings.Join(p.data, ", "), strings.Join(shared, ", "))
	}
	for _, task := range shared {
		if files[task] == "" {
			return files, fmt.Errorf("%w: there are no rows for %s to compare on: give --data %s=FILE", errNotBetter, task, task)
		}
	}
	return files, nil
}
