// Package hub pulls models from a Hugging Face-compatible endpoint: only the files that a
// bundle needs, checked by their digests, whole or not at all. A download that was cut off
// goes on where it ended.
//
// The token goes to the endpoint alone, whatever it redirects to.
package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/internal/secret"
)

// What an endpoint or a repository can have wrong.
var (
	ErrReference = errors.New("not a model's name: write ORG/NAME or ORG/NAME@REVISION")
	ErrEndpoint  = errors.New("cannot use this endpoint")
	ErrAccess    = errors.New("the endpoint gives no access") // 401, 403
	ErrNotFound  = errors.New("there is no such model, revision or file")
	ErrFiles     = errors.New("the repository cannot become a bundle")
	ErrDigest    = errors.New("the file is not what the endpoint says it is")
	ErrSize      = errors.New("the file is too large")
)

// Config says where to pull from. The zero value is Hugging Face's hub, without a token.
type Config struct {
	Endpoint string        // "" is https://huggingface.co
	Token    secret.Secret // for private and gated models
	MaxFile  int64         // bytes of one file at most; 0 is 4 GiB
	Stall    time.Duration // longest wait for the next byte; 0 is 30 s
	Retry    retry.Policy  // of a request that gets nothing; Attempts 0 is 5

	Progress func(file string, bytes int64) // told of every stretch that came; may be nil
	Log      *slog.Logger                   // nil is slog.Default()
}

const (
	defaultEndpoint = "https://huggingface.co"
	maxAnswer       = 16 << 20 // bytes of JSON
	maxErrorText    = 300
)

// Client pulls models. It is safe for concurrent use.
type Client struct {
	config   Config
	endpoint *url.URL
	http     *http.Client
}

// New checks the endpoint. A token is not sent over plain HTTP to another machine.
func New(c Config) (*Client, error) {
	c.Endpoint = strings.TrimRight(cmp.Or(c.Endpoint, defaultEndpoint), "/")
	c.MaxFile, c.Stall, c.Log = cmp.Or(c.MaxFile, 4<<30), cmp.Or(c.Stall, 30*time.Second), cmp.Or(c.Log, slog.Default())
	c.Retry.Attempts = cmp.Or(c.Retry.Attempts, 5)
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("%w: it is an https address without user or query", ErrEndpoint)
	}
	if c.Token != "" && u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("%w: %s: a token is not sent over plain http: use https, or unset HF_TOKEN", ErrEndpoint, c.Endpoint)
	}
	dialer := &net.Dialer{Timeout: 15 * time.Second}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: 15 * time.Second,
		ResponseHeaderTimeout: c.Stall, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 1 << 20}
	client := &Client{config: c, endpoint: u}
	client.http = &http.Client{Transport: withToken{u, c.Token, transport}, CheckRedirect: client.mayFollow}
	return client, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// withToken adds the token to requests to the endpoint and to no other, so that no redirect
// can carry it away: http.Client would send it on to subdomains.
type withToken struct {
	endpoint *url.URL
	token    secret.Secret
	next     http.RoundTripper
}

// RoundTrip implements http.RoundTripper. It adds no token and no Referer where they do not belong.
func (t withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	r.Header.Del("Referer")
	if t.token != "" && r.URL.Scheme == t.endpoint.Scheme && r.URL.Host == t.endpoint.Host {
		r.Header.Set("Authorization", "Bearer "+t.token.Reveal())
	}
	return t.next.RoundTrip(r)
}

// mayFollow refuses to leave https, and to be led around without end.
func (c *Client) mayFollow(r *http.Request, via []*http.Request) error {
	if len(via) >= 8 {
		return retry.Permanent(fmt.Errorf("%w: more than 8 redirects", ErrEndpoint))
	}
	if r.URL.Scheme != "https" && c.endpoint.Scheme == "https" {
		return retry.Permanent(fmt.Errorf("%w: it redirects from https to %s", ErrEndpoint, r.URL.Scheme))
	}
	return nil
}

// Reference names a model at a revision: a branch, tag, commit or pull request (refs/pr/1).
type Reference struct{ Repo, Revision string }

var repoName = regexp.MustCompile(`^[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?$`)
var revisionName = regexp.MustCompile(`^[A-Za-z0-9][\w./+-]{0,199}$`)

// ParseReference reads ORG/NAME or ORG/NAME@REVISION; without a revision it is main.
func ParseReference(s string) (Reference, error) {
	repo, revision, given := strings.Cut(s, "@")
	if !given {
		revision = "main"
	}
	if !repoName.MatchString(repo) || !revisionName.MatchString(revision) || strings.Contains(s, "..") {
		return Reference{}, fmt.Errorf("%q: %w", s, ErrReference)
	}
	return Reference{repo, revision}, nil
}

// String is what ParseReference reads, the revision named.
func (r Reference) String() string { return r.Repo + "@" + r.Revision }

// Name is the repository's without its owner.
func (r Reference) Name() string { return r.Repo[strings.LastIndexByte(r.Repo, '/')+1:] }

// address is a URL of the endpoint; parts are path segments, slashes in them included.
func (c *Client) address(repo string, parts ...string) string {
	path := c.config.Endpoint
	for _, part := range append(strings.Split(repo, "/"), parts...) {
		path += "/" + url.PathEscape(part)
	}
	return path
}

// getJSON asks until it gets an answer.
func (c *Client) getJSON(ctx context.Context, address string, into any) error {
	return retry.Do(ctx, c.config.Retry, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*c.config.Stall)
		defer cancel()
		response, err := c.do(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
		if err != nil {
			return fmt.Errorf("reading %s: %w", address, err)
		}
		if len(body) > maxAnswer {
			return retry.Permanent(fmt.Errorf("%s: %w: the answer has more than %d bytes", address, ErrSize, maxAnswer))
		}
		if err := json.Unmarshal(body, into); err != nil {
			return retry.Permanent(fmt.Errorf("%s: %w: it does not answer in the hub's JSON: %w", address, ErrEndpoint, err))
		}
		return nil
	})
}

// do makes one request. What is no success is an error, permanent where asking again is vain.
func (c *Client) do(ctx context.Context, method, address string, header http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, retry.Permanent(err)
	}
	request.Header = header.Clone()
	if request.Header == nil {
		request.Header = http.Header{}
	}
	request.Header.Set("User-Agent", "barograph")
	request.Header.Set("Accept-Encoding", "identity") // sizes and ranges are of the file
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, withoutAddress(err))
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, c.refusal(address, response)
}

// withoutAddress drops the address of a *url.Error: after a redirect it may carry a signature.
func withoutAddress(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// refusal says what an answer other than success means and what to do.
func (c *Client) refusal(address string, response *http.Response) error {
	code, text := response.Header.Get("X-Error-Code"), response.Header.Get("X-Error-Message")
	if text == "" {
		raw, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorText))
		text = string(raw)
	}
	said := fmt.Sprintf("%s: %s %.*q", address, response.Status, maxErrorText, text)
	switch status := response.StatusCode; {
	case code == "GatedRepo":
		return retry.Permanent(fmt.Errorf("%s: %w: accept the model's terms on its page, and set HF_TOKEN", said, ErrAccess))
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return retry.Permanent(fmt.Errorf("%s: %w: the name may be wrong, or the model private: set HF_TOKEN to a token that may read it", said, ErrAccess))
	case status == http.StatusNotFound:
		return retry.Permanent(fmt.Errorf("%s: %w", said, ErrNotFound))
	case status == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%s: %w", said, errRange)
	case status == http.StatusTooManyRequests, status >= 500:
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
			return retry.After(time.Duration(min(seconds, 600))*time.Second, errors.New(said))
		}
		return errors.New(said)
	}
	return retry.Permanent(fmt.Errorf("%w: %s", ErrEndpoint, said))
}

// errRange says that the endpoint has no bytes where the download is to go on.
var errRange = errors.New("the file does not go on there")
