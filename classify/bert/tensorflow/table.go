package tensorflow

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// A table is LevelDB's (https://github.com/google/leveldb/blob/main/doc/table_format.md):
// blocks of sorted keys with their values, an index block that says where they are, and
// a footer that says where the index is.
const (
	footerSize   = 48
	tableMagic   = 0xdb4775248b80fb57
	blockTrailer = 5 // a byte for the compression, then the masked CRC-32C of block and byte

	// maxKey bounds a name: three bytes can repeat all of the one before.
	maxKey = 1 << 10
)

// readTable calls each for every key and value, in the keys' order. The values are parts
// of table.
func readTable(table []byte, each func(key string, value []byte) error) error {
	if len(table) < footerSize {
		return fmt.Errorf("%w: %d bytes are too few for a table", ErrMalformed, len(table))
	}
	footer := table[len(table)-footerSize:]
	if binary.LittleEndian.Uint64(footer[footerSize-8:]) != tableMagic {
		return fmt.Errorf("%w: it does not end as a table does", ErrMalformed)
	}
	_, rest, err := handle(footer) // of the meta-index, which TensorFlow leaves empty
	if err != nil {
		return err
	}
	at, _, err := handle(rest)
	if err != nil {
		return err
	}
	index, err := at.block(table)
	if err != nil {
		return fmt.Errorf("the table's index: %w", err)
	}
	last, first := "", true
	return readBlock(index, func(_ string, value []byte) error {
		at, _, err := handle(value)
		if err != nil {
			return err
		}
		block, err := at.block(table)
		if err != nil {
			return err
		}
		return readBlock(block, func(key string, value []byte) error {
			if !first && key <= last {
				return fmt.Errorf("%w: key %q comes after %q", ErrMalformed, key, last)
			}
			last, first = key, false
			return each(key, value)
		})
	})
}

// blockHandle says where a block is: its trailer comes after it.
type blockHandle struct{ offset, size uint64 }

func handle(b []byte) (h blockHandle, rest []byte, err error) {
	var n, m int
	if h.offset, n = binary.Uvarint(b); n > 0 {
		h.size, m = binary.Uvarint(b[n:])
	}
	if n <= 0 || m <= 0 {
		return h, nil, fmt.Errorf("%w: no block handle in % x", ErrMalformed, b)
	}
	return h, b[n+m:], nil
}

// block is the block's content, when its sum is right.
func (h blockHandle) block(table []byte) ([]byte, error) {
	length := uint64(len(table))
	if h.size > length || h.offset > length-h.size || length-h.size-h.offset < blockTrailer {
		return nil, fmt.Errorf("%w: a block of %d bytes at %d in a table of %d", ErrMalformed, h.size, h.offset, length)
	}
	end := h.offset + h.size
	content, trailer := table[h.offset:end], table[end:end+blockTrailer]
	if maskedSum(table[h.offset:end+1]) != binary.LittleEndian.Uint32(trailer[1:]) {
		return nil, fmt.Errorf("%w: the block at %d does not have the sum that it should", ErrMalformed, h.offset)
	}
	if trailer[0] != 0 {
		return nil, fmt.Errorf("%w: the block at %d is compressed (%d)", ErrUnsupported, h.offset, trailer[0])
	}
	return content, nil
}

// readBlock calls each for every entry: how much of the key before it begins with, the
// length of the rest, that of the value, then both. The places where a key is whole come
// after the entries, and are not needed to read them all.
func readBlock(block []byte, each func(key string, value []byte) error) error {
	if len(block) < 4 {
		return fmt.Errorf("%w: a block of %d bytes", ErrMalformed, len(block))
	}
	restarts := uint64(binary.LittleEndian.Uint32(block[len(block)-4:]))
	if restarts > uint64(len(block)-4)/4 {
		return fmt.Errorf("%w: %d restarts in a block of %d bytes", ErrMalformed, restarts, len(block))
	}
	entries := block[:uint64(len(block))-4-4*restarts]
	var key []byte
	for len(entries) > 0 {
		var lengths [3]uint64 // shared, the rest of the key, the value
		for i := range lengths {
			v, n := binary.Uvarint(entries)
			if n <= 0 {
				return fmt.Errorf("%w: an entry is cut off", ErrMalformed)
			}
			lengths[i], entries = v, entries[n:]
		}
		left := uint64(len(entries))
		if lengths[0] > uint64(len(key)) || lengths[1] > left || lengths[2] > left-lengths[1] {
			return fmt.Errorf("%w: an entry of %v bytes where %d are left", ErrMalformed, lengths, left)
		}
		if lengths[0]+lengths[1] > maxKey {
			return fmt.Errorf("%w: a key of %d bytes", ErrMalformed, lengths[0]+lengths[1])
		}
		key = append(bytes.Clone(key[:lengths[0]]), entries[:lengths[1]]...)
		value := entries[lengths[1] : lengths[1]+lengths[2]]
		entries = entries[lengths[1]+lengths[2]:]
		if err := each(string(key), value); err != nil {
			return err
		}
	}
	return nil
}
