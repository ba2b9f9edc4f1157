package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/barograph/barograph/internal/retry"
)

// Errors of a poll.
var (
	ErrStatus   = errors.New("unexpected HTTP status")
	ErrTooLarge = errors.New("feed larger than is read")
)

// fetched is a server's answer.
type fetched struct {
	unchanged          bool // 304: nothing since the validators were given out
	body               []byte
	etag, lastModified string
}

// fetch asks for the feed unless it is the one we have (RFC 9110, section 13.1).
func (p *Poller) fetch(ctx context.Context, url string, before feedState) (fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fetched{}, retry.Permanent(fmt.Errorf("feed %s: %w", Shown(url), withoutURL(err)))
	}
	request.Header.Set("User-Agent", "barograph")
	request.Header.Set("Accept", "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5")
	if before.ETag != "" {
		request.Header.Set("If-None-Match", before.ETag)
	}
	if before.LastModified != "" {
		request.Header.Set("If-Modified-Since", before.LastModified)
	}
	response, err := p.cfg.Client.Do(request)
	if err != nil {
		return fetched{}, fmt.Errorf("feed %s: %w", Shown(url), withoutURL(err))
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotModified:
		return fetched{unchanged: true}, nil
	case response.StatusCode != http.StatusOK:
		return fetched{}, statusError(response, url)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, p.cfg.MaxBytes+1))
	if err != nil {
		return fetched{}, fmt.Errorf("feed %s: reading: %w", Shown(url), withoutURL(err))
	}
	if int64(len(body)) > p.cfg.MaxBytes {
		return fetched{}, retry.Permanent(fmt.Errorf("feed %s: more than %d bytes: %w", Shown(url), p.cfg.MaxBytes, ErrTooLarge))
	}
	return fetched{body: body, etag: response.Header.Get("ETag"), lastModified: response.Header.Get("Last-Modified")}, nil
}

// statusError says whether another attempt makes sense.
func statusError(response *http.Response, url string) error {
	err := fmt.Errorf("feed %s: %w %s", Shown(url), ErrStatus, response.Status)
	switch code := response.StatusCode; {
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable:
		if seconds, e := strconv.Atoi(response.Header.Get("Retry-After")); e == nil && seconds > 0 {
			if seconds > 60 {
				return retry.Permanent(err) // the next turn will do
			}
			return retry.After(time.Duration(seconds)*time.Second, err)
		}
		return err
	case code >= 500 || code == http.StatusRequestTimeout:
		return err
	}
	return retry.Permanent(err)
}
