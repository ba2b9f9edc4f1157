// Package lockfile keeps two processes of one machine from changing the same files.
package lockfile

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrHeld says that another has the lock.
var ErrHeld = errors.New("the lock is held")

// Take takes the lock that the file stands for, and makes the file where there is none. It does
// not wait: where another has the lock, the error wraps ErrHeld. The lock ends with release, or
// with the process; the file stays.
func Take(path string) (release func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrHeld
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return func() { file.Close() }, nil
}
