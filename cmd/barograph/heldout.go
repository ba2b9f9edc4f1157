package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/finetune"
	"github.com/barograph/barograph/internal/digest"
)

// trainedOn says why a split of a file (its hex SHA-256) holds rows that the bundle was trained on;
// "" where it does not, as far as the bundle's config.json says.
func trainedOn(b *classify.Bundle, sum, split string) string {
	for _, rows := range b.TrainedOn {
		switch {
		case rows.SHA256 != sum || split == "validation" && rows.Split == string(finetune.Hashed):
		case rows.Split == "":
			return "it was trained on all of its rows"
		case split == "validation":
			return fmt.Sprintf("its rows were held back by the split %s, so that it was trained on nine tenths of those that --split validation takes", rows.Split)
		default:
			return "it was trained on its rows"
		}
	}
	return ""
}

// fileDigest is a file's SHA-256 as a bundle's config.json names it, "" for the corrections topic.
// Of what can be read once nothing is known.
func fileDigest(file string) (sum string, known bool, err error) {
	switch {
	case file == labelsSource:
		return "", true, nil
	case readOnce(file):
		return "", false, nil
	}
	sum, err = digest.File(file)
	return sum, true, err
}

// checkHeld refuses --split validation of a file where the bundle did not hold those rows back, and
// says it where other splits have rows that the bundle was trained on.
func (e evaluation) checkHeld(w io.Writer, b *classify.Bundle) error {
	sum, known, err := fileDigest(e.data)
	if err != nil || !known {
		return err
	}
	switch why := trainedOn(b, sum, e.split); {
	case why == "":
	case e.split == "validation":
		return fmt.Errorf("%s and %s: %s: %w; give rows of another file, or train with --split hash", b.Dir, e.data, why, finetune.ErrTrainedOn)
	default:
		fmt.Fprintf(w, "%s and %s: %s: the figures are brighter than on other rows\n", b.Dir, e.data, why)
	}
	return nil
}

// checkHeld refuses to judge a bundle by rows that it was trained on, and says it where the live
// one was.
func (p promotion) checkHeld(w io.Writer, files map[string]string, serving, candidate *classify.Bundle) error {
	for _, file := range slices.Compact(slices.Sorted(maps.Values(files))) {
		sum, known, err := fileDigest(file)
		if err != nil {
			return err
		}
		if !known {
			continue
		}
		if why := trainedOn(candidate, sum, p.split); why != "" {
			return fmt.Errorf("%s and %s: %s: %w; give rows of another file, or train with --split hash and compare on --split validation",
				candidate.Dir, file, why, finetune.ErrTrainedOn)
		}
		if why := trainedOn(serving, sum, p.split); why != "" {
			fmt.Fprintf(w, "the live bundle and %s: %s: its figures are brighter than on other rows\n", file, why)
		}
	}
	return nil
}
