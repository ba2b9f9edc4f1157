package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/barograph/barograph/classify"
)

// TestABundleIsReadWhenItsFilesChange and not before: weights that are others in a file of the
// same size and time show that it was not read again. The card is, and a promotion is seen.
func TestABundleIsReadWhenItsFilesChange(t *testing.T) {
	slot := tinyBundle(t, filepath.Join(t.TempDir(), "tiny"), "1", 0)
	models := bundleList{dirs: []string{slot, filepath.Join(t.TempDir(), "elsewhere")}, classifies: true}
	digest := func() string {
		t.Helper()
		found, err := models.list(t.Context())
		if err != nil || len(found) == 0 || !found[0].Live {
			t.Fatalf("%+v, %v", found, err)
		}
		return found[0].Digest
	}
	first := digest()
	weights := filepath.Join(slot, "model.safetensors")
	info, err := os.Stat(weights)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-1] ^= 1
	if err := os.WriteFile(weights, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(weights, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if digest() != first {
		t.Error("the weights were read, though the file looks as before")
	}
	if err := os.Chtimes(weights, time.Time{}, info.ModTime().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	second := digest()
	if want, err := classify.Digest(slot); err != nil || second != want || second == first {
		t.Errorf("digest %s, then %s; it is %s, %v", first, second, want, err)
	}
	if err := os.WriteFile(filepath.Join(slot, "README.md"), []byte("# another card"), 0o644); err != nil {
		t.Fatal(err)
	}
	if found, _ := models.list(t.Context()); found[0].Card != "# another card" {
		t.Errorf("the card is %q", found[0].Card)
	}
	promoted := tinyBundle(t, filepath.Join(t.TempDir(), "next"), "2", 1)
	mustRun(t, "model", "promote", promoted, "--force", "-c", slotConfig(t, slot, ""))
	found, _ := models.list(t.Context())
	if len(found) != 2 || found[0].Version != "2" || !found[0].Live || found[1].Digest != second || found[1].Live {
		t.Errorf("after a promotion: %+v", found)
	}
}

func TestFiguresOfACardAreOfAllData(t *testing.T) {
	const card = "# en\n\n| head | validation rows | of | accuracy | macro-F1 | calibration error |\n|---|---|---|---|---|---|\n" +
		"| sentiment | 1762 | all | 0.876 | 0.863 | 0.028 |\n| sentiment | 991 | tweets | 0.877 | 0.848 | 0.033 |\n| topic | 1684 | topics | 0.878 | 0.873 | 0.027 |\n\n" +
		"| head | precision | accuracy |\n|---|---|---|\n| sentiment | int8 | 0.1 |\n"
	figures := figuresIn(card)
	if figures["sentiment"]["accuracy"] != "0.876" || figures["topic"]["macro-f1"] != "0.873" || figures["topic"]["ece"] != "0.027" || len(figures) != 2 {
		t.Errorf("figures %v", figures)
	}
}
