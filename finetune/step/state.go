package step

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
)

// A saved state is a header, the flat vectors as float32, and the SHA-256 of both.
// Numbers are little endian.
const stateMagic = "barograph training state 1\n"

type stateHeader struct {
	Config  [sha256.Size]byte // see configDigest
	Batches uint64
	Updates uint64
	Pending uint64
	Void    uint64 // 1 if a waiting batch had no finite loss
	Length  uint64 // of each vector
}

// Save writes all that Restore needs to go on to the same end, bit for bit: weights, their
// average, AdamW's moments, gradients not yet used, and the counters of updates and of dropout.
func (t *Trainer) Save(w io.Writer) error {
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<20)
	h := stateHeader{t.configDigest(), t.batches, t.updates, uint64(t.pending), 0, uint64(len(t.values))}
	if t.void {
		h.Void = 1
	}
	out.WriteString(stateMagic) // the writer keeps its first error for Flush
	if err := binary.Write(out, binary.LittleEndian, h); err != nil {
		return fmt.Errorf("save the training state: %w", err)
	}
	for _, v := range t.vectors(t.pending > 0) {
		if err := binary.Write(out, binary.LittleEndian, v); err != nil {
			return fmt.Errorf("save the training state: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("save the training state: %w", err)
	}
	if _, err := w.Write(sum.Sum(nil)); err != nil {
		return fmt.Errorf("save the training state: %w", err)
	}
	return nil
}

// vectors are what a state holds; the gradients only if some wait.
func (t *Trainer) vectors(grads bool) [][]float32 {
	v := [][]float32{t.values, t.first, t.second}
	if t.c.Average > 0 {
		v = append(v, t.average)
	}
	if grads {
		v = append(v, t.grads)
	}
	return v
}

// Restore takes up what Save wrote, into a Trainer of the same Config. If it fails
// (ErrState), the Trainer is as it was.
func (t *Trainer) Restore(r io.Reader) error {
	sum := sha256.New()
	in := io.TeeReader(bufio.NewReaderSize(r, 1<<20), sum)
	h, err := t.readHeader(in)
	if err != nil {
		return err
	}
	read := *t
	read.values, read.first = make([]float32, len(t.values)), make([]float32, len(t.values))
	read.second, read.grads = make([]float32, len(t.values)), make([]float32, len(t.values))
	read.average = make([]float32, len(t.average))
	for _, v := range read.vectors(h.Pending > 0) {
		if err := binary.Read(in, binary.LittleEndian, v); err != nil {
			return fmt.Errorf("%w: %w", ErrState, err)
		}
	}
	if err := checkSum(in, sum); err != nil {
		return err
	}
	t.values, t.first, t.second, t.grads, t.average = read.values, read.first, read.second, read.grads, read.average
	t.batches, t.updates, t.pending, t.void = h.Batches, h.Updates, int(h.Pending), h.Void == 1
	return t.closeInference()
}

func (t *Trainer) readHeader(in io.Reader) (h stateHeader, err error) {
	magic := make([]byte, len(stateMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != stateMagic {
		return h, fmt.Errorf("%w: it is no training state of this version", errors.Join(ErrState, err))
	}
	if err := binary.Read(in, binary.LittleEndian, &h); err != nil {
		return h, fmt.Errorf("%w: %w", ErrState, err)
	}
	if h.Config != t.configDigest() || h.Length != uint64(len(t.values)) {
		return h, fmt.Errorf("%w: it is of another base or another configuration", ErrState)
	}
	return h, nil
}

func checkSum(in io.Reader, sum hash.Hash) error {
	want := sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(in, got); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: its checksum differs", ErrState)
	}
	return nil
}

// configDigest covers all that the course of training depends on but for batches and
// rates: settings, trained weights and the base.
func (t *Trainer) configDigest() [sha256.Size]byte {
	if t.digest != nil {
		return *t.digest
	}
	sum := sha256.New()
	c := t.c
	fmt.Fprintln(sum, c.Mode, c.Rank, c.Alpha, c.Targets, c.Embeddings, c.Dropout, c.Heads, c.Seed,
		c.ClipNorm, c.WeightDecay, c.Average, c.Beta1, c.Beta2, c.Epsilon, c.Base.Config.Pooling())
	if c.LoRADropout > 0 { // without it, states of before it was there are gone on from
		fmt.Fprintln(sum, "LoRA dropout", c.LoRADropout)
	}
	for _, w := range t.weights {
		fmt.Fprintln(sum, w.file, w.shape)
	}
	for _, name := range c.Base.EncoderNames() {
		base, _ := c.Base.Tensor(name)
		fmt.Fprintln(sum, name)
		binary.Write(sum, binary.LittleEndian, base.Data) // a hash takes every write
	}
	t.digest = new([sha256.Size]byte)
	sum.Sum(t.digest[:0])
	return *t.digest
}
