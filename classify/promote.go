package classify

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/disk"
	"github.com/barograph/barograph/internal/lockfile"
)

// What a promotion or a rollback finds not to do.
var (
	ErrAlreadyLive = errors.New("this bundle is live already")
	ErrNoPrevious  = errors.New("no earlier bundle is kept")
	ErrBusy        = errors.New("another promotion is under way")
)

// keptVersions is how many promoted bundles a slot keeps, the live one included. The slot's
// own files are kept besides.
const keptVersions = 4

// Promote copies the bundle b beside the one that serves in dir's place, asks approve about
// the copy, and puts it live. Where approve gives an error, or anything else fails, what was
// live stays live. Monitors that run notice by themselves (see Config.Reload).
//
// What is promoted after a rollback takes the place of what was rolled back.
func Promote(dir string, b *Bundle, now time.Time, approve func(copied string) error) (Version, error) {
	s, unlock, err := lockSlot(dir)
	if err != nil {
		return Version{}, err
	}
	defer unlock()
	s.prune()
	if len(s.Versions) == 0 {
		if s.Versions, err = ownFiles(dir); err != nil {
			return Version{}, err
		}
	}
	v := Version{Folder: b.Digest[:16], Name: b.Name, Version: b.Version, Digest: b.Digest, Promoted: now}
	if len(s.Versions) > 0 && s.Versions[s.Live].Digest == b.Digest {
		return v, fmt.Errorf("%w: %s in %s", ErrAlreadyLive, b.Digest[:16], dir)
	}
	if err := s.add(b, v, approve); err != nil {
		return v, err
	}
	if len(s.Versions) > 0 {
		s.Versions = s.Versions[:s.Live+1]
	}
	s.Versions = slices.DeleteFunc(s.Versions, func(have Version) bool { return have.Folder == v.Folder })
	s.Versions = append(s.Versions, v)
	for len(s.Versions) > keptVersions+1 || len(s.Versions) > keptVersions && s.Versions[0].Folder != "" {
		oldest := 0
		if s.Versions[0].Folder == "" {
			oldest = 1
		}
		s.Versions = slices.Delete(s.Versions, oldest, oldest+1)
	}
	s.Live = len(s.Versions) - 1
	if err := s.write(); err != nil {
		return v, err
	}
	s.prune()
	return v, nil
}

// Rollback puts the bundle live again that was before the one that is.
func Rollback(dir string) (Version, error) {
	if _, err := os.Stat(dir); err != nil {
		return Version{}, err
	}
	s, unlock, err := lockSlot(dir)
	if err != nil {
		return Version{}, err
	}
	defer unlock()
	if s.Live == 0 {
		return Version{}, fmt.Errorf("%w in %s", ErrNoPrevious, dir)
	}
	s.Live--
	v := s.Versions[s.Live]
	if _, err := os.Stat(filepath.Join(s.Folder(v), "config.json")); err != nil {
		return v, fmt.Errorf("%w: the bundle before in %s is gone: %w", ErrBundle, dir, err)
	}
	return v, s.write()
}

// ownFiles is the version that a slot is before anything was promoted into it: none where
// there is no bundle yet.
func ownFiles(dir string) ([]Version, error) {
	if _, err := os.Stat(filepath.Join(dir, "config.json")); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	sum, err := Digest(dir)
	return []Version{{Digest: sum}}, err
}

// add copies the bundle into its version's folder, where it must be whole and approved.
func (s Slot) add(b *Bundle, v Version, approve func(string) error) error {
	folder := s.Folder(v)
	if sum, err := Digest(folder); err == nil && sum == b.Digest { // kept from an earlier promotion
		return approve(folder)
	}
	if err := os.RemoveAll(folder); err != nil { // kept, but damaged
		return err
	}
	partly := filepath.Join(s.Dir, versionsFolder, partial+v.Folder)
	defer os.RemoveAll(partly)
	if err := copyBundle(partly, b.Dir); err != nil {
		return fmt.Errorf("copying %s: %w", b.Dir, err)
	}
	sum, err := Digest(partly)
	if err != nil {
		return err
	}
	if sum != b.Digest {
		return fmt.Errorf("%w: %s was changed while it was promoted", ErrBundle, b.Dir)
	}
	if err := os.Rename(partly, folder); err != nil {
		return err
	}
	if err := approve(folder); err != nil {
		_ = os.RemoveAll(folder)
		return err
	}
	return disk.Sync(filepath.Dir(folder))
}

// copyBundle copies a bundle's files, links followed; folders and hidden files are no part
// of it.
func copyBundle(to, from string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(from, entry.Name())
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if strings.HasPrefix(entry.Name(), ".") || !info.Mode().IsRegular() {
			continue
		}
		if err := copyFile(filepath.Join(to, entry.Name()), path); err != nil {
			return err
		}
	}
	return disk.Sync(to)
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// lockSlot reads a slot that nobody else changes until unlock. The lock ends with the process.
func lockSlot(dir string) (_ Slot, unlock func(), err error) {
	versions := filepath.Join(dir, versionsFolder)
	if err := os.MkdirAll(versions, 0o755); err != nil {
		return Slot{}, nil, err
	}
	unlock, err = lockfile.Take(filepath.Join(versions, "lock"))
	if errors.Is(err, lockfile.ErrHeld) {
		err = fmt.Errorf("%w in %s", ErrBusy, dir)
	}
	if err != nil {
		return Slot{}, nil, err
	}
	s, err := OpenSlot(dir)
	if err != nil {
		unlock()
		return Slot{}, nil, err
	}
	return s, unlock, nil
}
