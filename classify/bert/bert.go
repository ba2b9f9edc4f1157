package bert

import "errors"

// ErrCheckpoint is wrapped by errors about weights that are missing or do not fit.
var ErrCheckpoint = errors.New("cannot use this checkpoint")
