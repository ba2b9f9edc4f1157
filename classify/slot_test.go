package classify

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// liveVersion is the version of the bundle that serves in the slot.
func liveVersion(t *testing.T, slot string) string {
	t.Helper()
	b, err := OpenBundle(slot, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.Version
}

func TestPromotionsAndRollbacks(t *testing.T) {
	slot := tinyBundle(t, filepath.Join(t.TempDir(), "slot"), "1", 0, false)
	own, err := Digest(slot)
	if err != nil {
		t.Fatal(err)
	}
	from := map[string]string{}
	for i, version := range []string{"2", "3", "4", "5", "6", "7"} {
		from[version] = tinyBundle(t, t.TempDir(), version, i+1, false)
	}
	if err := os.MkdirAll(filepath.Join(slot, versionsFolder, partial+"x"), 0o755); err != nil { // a crash's
		t.Fatal(err)
	}
	for i, step := range []struct{ do, live, kept string }{
		{"2", "2", "1 2"},
		{"3", "3", "1 2 3"},
		{"rollback", "2", "1 2 3"},
		{"rollback", "1", "1 2 3"},
		{"3", "3", "1 3"}, // what was rolled back is gone
		{"2", "2", "1 3 2"},
		{"rollback", "3", "1 3 2"},
		{"4", "4", "1 3 4"},
		{"5", "5", "1 3 4 5"},
		{"6", "6", "1 3 4 5 6"},
		{"7", "7", "1 4 5 6 7"}, // four, and the slot's own
		{"4", "4", "1 5 6 7 4"}, // one that is kept moves to the end
	} {
		if step.do == "rollback" {
			if _, err := Rollback(slot); err != nil {
				t.Fatal(err)
			}
		} else {
			promote(t, slot, from[step.do])
		}
		s, err := OpenSlot(slot)
		if err != nil {
			t.Fatal(err)
		}
		var kept []string
		for _, v := range s.Versions {
			kept = append(kept, liveVersion(t, s.Folder(v)))
			if sum, err := Digest(s.Folder(v)); v.Folder != "" && (err != nil || sum != v.Digest) {
				t.Errorf("step %d: version %s has the digest %s, %v", i, v.Version, sum, err)
			}
		}
		// The slot's own folder stands for what is live.
		if want := strings.Replace(step.kept, "1", step.live, 1); strings.Join(kept, " ") != want || liveVersion(t, slot) != step.live {
			t.Errorf("step %d, %s: live is %s, kept are %v, want %s", i, step.do, liveVersion(t, slot), kept, want)
		}
		entries, _ := os.ReadDir(filepath.Join(slot, versionsFolder))
		if want := len(strings.Fields(step.kept)) - 1 + len("lj"); step.do != "rollback" && len(entries) != want {
			t.Errorf("step %d: %d entries are left in %s, want %d", i, len(entries), versionsFolder, want)
		}
	}
	if now, _ := Digest(slot); now != own {
		t.Error("the slot's own files were changed")
	}
}

func TestWhatKeepsTheOldBundleLive(t *testing.T) {
	slot := tinyBundle(t, filepath.Join(t.TempDir(), "slot"), "1", 0, false)
	other, err := OpenBundle(tinyBundle(t, t.TempDir(), "2", 1, false), nil)
	if err != nil {
		t.Fatal(err)
	}
	same, err := OpenBundle(slot, nil)
	if err != nil {
		t.Fatal(err)
	}
	fine := func(string) error { return nil }
	for name, c := range map[string]struct {
		bundle  *Bundle
		approve func(string) error
		want    error
	}{
		"it is live already": {same, fine, ErrAlreadyLive},
		"it is not approved": {other, func(string) error { return errors.ErrUnsupported }, errors.ErrUnsupported},
		"another promotion is under way": {other, func(string) error {
			_, err := Rollback(slot)
			return err
		}, ErrBusy},
		"it changed meanwhile": {&Bundle{Dir: other.Dir, Digest: same.Digest[1:] + "0"}, fine, ErrBundle},
		"its folder is gone":   {&Bundle{Dir: other.Dir + "x", Digest: other.Digest}, fine, fs.ErrNotExist},
	} {
		if _, err := Promote(slot, c.bundle, t0, c.approve); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if s, err := OpenSlot(slot); liveVersion(t, slot) != "1" || len(s.Versions) != 0 || err != nil {
			t.Errorf("%s: live is %s, kept %v, %v", name, liveVersion(t, slot), s.Versions, err)
		}
		if left, _ := filepath.Glob(filepath.Join(slot, versionsFolder, "*[0-9a-f]*[0-9]*")); len(left) != 0 {
			t.Errorf("%s: it left %v", name, left)
		}
	}
	if _, err := Rollback(slot); !errors.Is(err, ErrNoPrevious) {
		t.Errorf("rolling back to nothing: %v", err)
	}
	if _, err := Rollback(slot + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rolling back what is not there: %v", err)
	}
}

// TestADamagedVersionIsCopiedAgain when its bundle is promoted once more.
func TestADamagedVersionIsCopiedAgain(t *testing.T) {
	slot := tinyBundle(t, filepath.Join(t.TempDir(), "slot"), "1", 0, false)
	next := tinyBundle(t, t.TempDir(), "2", 1, false)
	v := promote(t, slot, next)
	if _, err := Rollback(slot); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(slot, versionsFolder, v.Folder, "model.safetensors"), 100); err != nil {
		t.Fatal(err)
	}
	promote(t, slot, next)
	if b, err := OpenBundle(slot, nil); err != nil || b.Digest != v.Digest {
		t.Errorf("live is %+v, %v", b, err)
	}
}

// TestAnEmptySlotTakesABundle: the first one need not be there by hand.
func TestAnEmptySlotTakesABundle(t *testing.T) {
	slot := filepath.Join(t.TempDir(), "new")
	promote(t, slot, tinyBundle(t, t.TempDir(), "1", 0, false))
	if liveVersion(t, slot) != "1" {
		t.Error("it does not serve")
	}
	if _, err := Rollback(slot); !errors.Is(err, ErrNoPrevious) {
		t.Errorf("rolling back the only one: %v", err)
	}
}

func TestDamagedSlots(t *testing.T) {
	for name, live := range map[string]string{
		"not JSON":   `{`,
		"no version": `{"live":0,"versions":[]}`,
		"outside":    `{"live":0,"versions":[{"folder":"../../elsewhere"}]}`,
		"negative":   `{"live":-1,"versions":[{"folder":"a"}]}`,
		"a parent":   `{"live":0,"versions":[{"folder":".."}]}`,
	} {
		slot := tinyBundle(t, filepath.Join(t.TempDir(), "slot"), "1", 0, false)
		if err := os.Mkdir(filepath.Join(slot, versionsFolder), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, slot, filepath.Join(versionsFolder, liveFile), live)
		if _, err := OpenBundle(slot, nil); !errors.Is(err, ErrBundle) {
			t.Errorf("%s: got %v, want ErrBundle", name, err)
		}
	}
}

// TestABundleKeepsItsNameWhenItIsPromoted: one from a hub has none in its config.json, but that
// of its folder, which the slot's own is not to take the place of.
func TestABundleKeepsItsNameWhenItIsPromoted(t *testing.T) {
	slot, from := tinyBundle(t, filepath.Join(t.TempDir(), "en"), "1", 0, false), tinyBundle(t, filepath.Join(t.TempDir(), "finbert"), "2", 1, false)
	path := filepath.Join(from, "config.json")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unnamed := regexp.MustCompile(`"name": "[^"]*",`).ReplaceAll(config, nil)
	if err := os.WriteFile(path, unnamed, 0o644); err != nil || bytes.Equal(unnamed, config) {
		t.Fatalf("the tiny bundle's config has no name (%v)", err)
	}
	promote(t, slot, from)
	b, err := OpenBundle(slot, nil)
	if err != nil || b.Model().Name != "finbert" || b.Version != "2" {
		t.Errorf("readings would name it %+v (%v)", b.Model(), err)
	}
}
