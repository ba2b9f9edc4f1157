package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/console"
)

// bundleList describes the configured bundles for the console, which asks often. A bundle is
// read, weights and all for its digest, when its files have changed.
type bundleList struct {
	dirs, bases []string
	classifies  bool // this process runs them

	mu   sync.Mutex
	read map[string]readBundle // by folder, those of the last list
}

// readBundle is a bundle and what its files looked like before it was read.
type readBundle struct {
	*classify.Bundle
	look string
}

func (b *bundleList) list(context.Context) (out []console.Model, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.read
	b.read = map[string]readBundle{}
	for _, dir := range b.dirs {
		out = append(out, b.kept(dir, before)...)
	}
	return out, nil
}

// kept describes the bundles of a slot, the live one first. What cannot be opened here may be
// another process's: its readings name it all the same.
func (b *bundleList) kept(dir string, before map[string]readBundle) (out []console.Model) {
	slot, err := classify.OpenSlot(dir)
	if err != nil {
		return nil
	}
	versions := slot.Versions
	if len(versions) == 0 {
		versions = []classify.Version{{}} // the slot's own files, which are live
	}
	for i, version := range versions {
		folder := slot.Folder(version)
		look, err := classify.Look(folder)
		if err != nil {
			continue
		}
		bundle := before[folder]
		if bundle.look != look {
			if bundle.Bundle, err = slot.Open(version, b.bases); err != nil {
				continue
			}
			bundle.look = look
		}
		b.read[folder] = bundle
		m := modelOf(bundle.Bundle, b.classifies && i == slot.Live)
		if i == slot.Live {
			out = append([]console.Model{m}, out...)
		} else {
			out = append(out, m)
		}
	}
	return out
}

func modelOf(bundle *classify.Bundle, live bool) console.Model {
	m := console.Model{Model: bundle.Model(), Languages: bundle.Languages, Live: live}
	card, err := os.ReadFile(filepath.Join(bundle.Dir, "README.md"))
	if err == nil {
		m.Card = string(card)
	}
	figures := figuresIn(m.Card)
	for _, head := range bundle.Heads {
		row := figures[head.Task]
		m.Heads = append(m.Heads, console.Head{Task: head.Task, Labels: head.Labels, Accuracy: row["accuracy"], MacroF1: row["macro-f1"], ECE: row["ece"]})
	}
	return m
}

// figuresIn reads the first table of a model card that has a column "head": its cells by
// head, then by the last word of their column's name ("validation accuracy" is accuracy). Of
// several rows of a head the first counts: a card of finetune begins with all data.
func figuresIn(card string) map[string]map[string]string {
	out := map[string]map[string]string{}
	var columns []string
	for line := range strings.Lines(card) {
		line = strings.TrimSpace(line)
		switch inTable := strings.HasPrefix(line, "|"); {
		case !inTable && columns != nil:
			return out
		case !inTable || strings.HasPrefix(line, "|---"):
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if columns == nil {
			if cells[0] == "head" {
				columns = cells
			}
			continue
		}
		row := map[string]string{}
		for i, cell := range cells[:min(len(cells), len(columns))] {
			row[figureName(columns[i])] = cell
		}
		if out[cells[0]] == nil {
			out[cells[0]] = row
		}
	}
	return out
}

// figureName is what a column is about; the calibrated ECE counts, not the raw one.
func figureName(column string) string {
	name := strings.ToLower(column)
	switch {
	case strings.HasSuffix(name, "accuracy"):
		return "accuracy"
	case strings.HasPrefix(name, "macro-f1"):
		return "macro-f1"
	case name == "calibration error", strings.HasPrefix(name, "ece") && !strings.Contains(name, "raw"):
		return "ece"
	}
	return name
}
