package classify

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/disk"
)

// Where a bundle's folder keeps the bundles that were promoted into its place.
const (
	versionsFolder = ".versions"
	liveFile       = "live.json"
)

// Slot is the folder of a bundle as the configuration names it, and the bundles that were
// promoted into its place. Its own files are never changed:
//
//	models/en/                     the bundle that was there first
//	models/en/.versions/live.json  what is kept, and which of it serves
//	models/en/.versions/0a1ddd8b…/ promoted bundles, by digest
//
// A switch renames one small file, so it needs no symbolic links, works on network and
// Kubernetes volumes, and leaves the old or the new live wherever it is cut short. The
// folder can be copied as a whole.
type Slot struct {
	Dir      string    `json:"-"`
	Live     int       `json:"live"`     // index into Versions
	Versions []Version `json:"versions"` // in the order of promotion
}

// Version is a bundle that a slot keeps.
type Version struct {
	Folder   string    `json:"folder"` // under .versions; "" is the slot's own files
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Digest   string    `json:"digest"`
	Promoted time.Time `json:"promoted_at,omitzero"`
}

// OpenSlot reads what a folder keeps. A folder into which nothing was promoted has no
// versions; its own files are live then. Errors wrap ErrBundle where live.json is damaged.
func OpenSlot(dir string) (Slot, error) {
	s := Slot{Dir: dir}
	path := filepath.Join(dir, versionsFolder, liveFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("%w: reading %s: %w", ErrBundle, path, err)
	}
	if s.Live < 0 || s.Live >= len(s.Versions) {
		return s, fmt.Errorf("%w: %s: live is %d of %d versions", ErrBundle, path, s.Live, len(s.Versions))
	}
	for _, v := range s.Versions {
		if strings.ContainsAny(v.Folder, `/\`) || v.Folder == "." || v.Folder == ".." {
			return s, fmt.Errorf("%w: %s: folder %q is not a plain name", ErrBundle, path, v.Folder)
		}
	}
	return s, nil
}

// Live is the folder of the bundle that serves in dir's place: dir itself, or a bundle
// promoted into it.
func Live(dir string) (string, error) {
	s, err := OpenSlot(dir)
	if err != nil || len(s.Versions) == 0 {
		return dir, err
	}
	return s.Folder(s.Versions[s.Live]), nil
}

// Folder is where a version's files are.
func (s Slot) Folder(v Version) string {
	if v.Folder == "" {
		return s.Dir
	}
	return filepath.Join(s.Dir, versionsFolder, v.Folder)
}

// Open reads what a version says of itself, whether or not it is live. Errors are OpenBundle's.
func (s Slot) Open(v Version, bases []string) (*Bundle, error) {
	return openFolder(s.Folder(v), cmp.Or(v.Name, filepath.Base(filepath.Clean(s.Dir))), bases)
}

// write makes what s says true, all at once.
func (s Slot) write() error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Join(s.Dir, versionsFolder)
	if err := writeWhole(dir, liveFile, append(raw, '\n')); err != nil {
		return fmt.Errorf("switching %s: %w", s.Dir, err)
	}
	return disk.Sync(dir)
}

// prune removes the folders of versions that are no longer kept, and what a promotion that
// was cut short left behind. Failing is no error: the next promotion tries again.
func (s Slot) prune() {
	dir := filepath.Join(s.Dir, versionsFolder)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		kept := slices.ContainsFunc(s.Versions, func(v Version) bool { return v.Folder == entry.Name() })
		if entry.IsDir() && !kept {
			_ = os.RemoveAll(filepath.Join(dir, entry.Name()))
		}
	}
}
