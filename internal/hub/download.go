package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/retry"
)

// Fetch brings the snapshot's files into a folder, which it makes. Called again on the same
// folder it takes up what an earlier call left: whole files are checked and kept, a part is
// gone on with. Errors wrap ErrDigest, ErrSize and what Find's do.
func (c *Client) Fetch(ctx context.Context, s *Snapshot, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range s.Files {
		if err := c.fetch(ctx, s, f, filepath.Join(dir, f.As)); err != nil {
			return fmt.Errorf("%s of %s: %w", f.Name, s.Reference, err)
		}
	}
	return nil
}

// partly ends the name of a file that has not come whole.
const partly = ".part"

func (c *Client) fetch(ctx context.Context, s *Snapshot, f File, path string) error {
	if err := f.check(path); err == nil {
		c.came(f, f.Size)
		return nil
	}
	resumed := sizeOf(path+partly) > 0
	for {
		before := sizeOf(path + partly)
		c.came(f, before)
		err := retry.Do(ctx, c.config.Retry, func(ctx context.Context) error { return c.goOn(ctx, s, f, path+partly) })
		if err != nil && ctx.Err() == nil && !isPermanent(err) && sizeOf(path+partly) > before {
			c.config.Log.Warn("a download is cut off again and again; it goes on as long as some of it comes", "file", f.Name, "error", err)
			continue
		}
		if err != nil {
			return err
		}
		err = f.check(path + partly)
		if err == nil {
			return os.Rename(path+partly, path)
		}
		if removed := os.Remove(path + partly); removed != nil || !resumed || !errors.Is(err, ErrDigest) {
			return errors.Join(err, removed)
		}
		resumed = false // what an earlier call left may be to blame: once more, from the start
		c.came(f, -before)
	}
}

// isPermanent tells what more bytes would not mend.
func isPermanent(err error) bool {
	for _, final := range []error{ErrAccess, ErrNotFound, ErrEndpoint, ErrSize, fs.ErrPermission} {
		if errors.Is(err, final) {
			return true
		}
	}
	return false
}

func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func (c *Client) came(f File, n int64) {
	if c.config.Progress != nil && n != 0 {
		c.config.Progress(f.Name, n)
	}
}

// goOn makes one request for the bytes that are missing and appends what comes.
func (c *Client) goOn(ctx context.Context, s *Snapshot, f File, path string) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return retry.Permanent(err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if have == f.Size {
		return nil
	}
	if have > f.Size {
		have = 0
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	header := http.Header{}
	if have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	response, err := c.do(ctx, http.MethodGet, c.fileAddress(s, f), header)
	if err != nil {
		if errors.Is(err, errRange) {
			return errors.Join(err, out.Truncate(0))
		}
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusPartialContent || !strings.HasPrefix(response.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)) {
		have = 0 // it sends the whole file
	}
	if err := out.Truncate(have); err != nil {
		return err
	}
	if _, err := out.Seek(have, io.SeekStart); err != nil {
		return err
	}
	body := &watched{reader: response.Body, timer: time.AfterFunc(c.config.Stall, func() { cancel(errStalled) }), stall: c.config.Stall,
		came: func(n int) { c.came(f, int64(n)) }}
	defer body.timer.Stop()
	n, err := io.Copy(out, io.LimitReader(body, f.Size-have+1))
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		err = errStalled
	}
	switch {
	case have+n > f.Size:
		return retry.Permanent(fmt.Errorf("%w: more than its %d bytes come", ErrSize, f.Size))
	case err != nil:
		return fmt.Errorf("after %d of %d bytes: %w", have+n, f.Size, withoutAddress(err))
	case have+n < f.Size:
		return fmt.Errorf("after %d of %d bytes: %w", have+n, f.Size, io.ErrUnexpectedEOF)
	}
	return out.Sync()
}

var errStalled = errors.New("no more bytes come")

// watched ends a request whose bytes stop coming.
type watched struct {
	reader io.Reader
	timer  *time.Timer
	stall  time.Duration
	came   func(int)
}

// Read puts the end off for as long as bytes come.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.reader.Read(p)
	if n > 0 {
		w.timer.Reset(w.stall)
		w.came(n)
	}
	return n, err
}

// check holds a file against its size and digest.
func (f File) check(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	sum, want := hash.Hash(sha256.New()), f.SHA256
	if want == "" {
		sum, want = sha1.New(), f.Blob
		fmt.Fprintf(sum, "blob %d\x00", f.Size)
	}
	n, err := io.Copy(sum, in)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != f.Size || got != want {
		return fmt.Errorf("%w: it has %d bytes and digest %s, but should have %d and %s", ErrDigest, n, got, f.Size, want)
	}
	return nil
}
