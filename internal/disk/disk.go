// Package disk makes what was written last through a loss of power.
package disk

import (
	"errors"
	"os"
)

// Sync makes what was made, renamed and removed in a folder last.
func Sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
