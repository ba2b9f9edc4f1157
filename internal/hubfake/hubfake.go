// Package hubfake is a local server that speaks the part of Hugging Face's hub that Barograph
// uses, over real sockets: the listing of a model at a revision, its files, large ones by a
// redirect to a second server, byte ranges, digests in headers, and discussions. It fails on
// demand: downloads cut off, wrong bytes, a range ignored, 401, 404, 429, silence.
package hubfake

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Token is the one that gated models take; Commit is that of every revision.
const (
	Token  = "hf_fakeToken"
	Commit = "4556d13015211d73dccd3fdd39d39232506f3e43"
)

// Model is what the server has of one. The zero value of each field is the usual hub.
type Model struct {
	Files     map[string][]byte // by name
	Large     []string          // names of those that are redirected to the second server
	Revisions []string          // beside main and Commit
	Gated     bool              // without Token: 401

	NoDigests bool  // the listing gives neither sizes nor digests, as mirrors' do
	Bare      bool  // the files' headers give no digests
	Bot       int   // number of the pull request by the hub's bot; 0 is none
	NoRanges  bool  // ranges are ignored
	CutAfter  int   // each answer of a file ends after so many bytes, if above 0
	Cuts      int   // how many answers are cut; below 0 is all
	Busy      int   // how many requests are first answered with 429
	Wrong     bool  // the last byte of every file is another
	Endless   bool  // files go on after their end
	Silent    bool  // files begin and then nothing comes
	Lying     int64 // what the listing says of every file's size, if above 0
}

// Request is one that came.
type Request struct {
	CDN           bool // to the second server
	Method, Path  string
	Range         string
	Authorization string
}

// Server is the hub; Start serves it for a test.
type Server struct {
	URL, CDN string // of the hub and of the second server

	mu       sync.Mutex
	models   map[string]*Model
	requests []Request
	closing  chan struct{}
}

// Start serves models, by ORG/NAME, until the test ends.
func Start(t testing.TB, models map[string]*Model) *Server {
	s := &Server{models: models, closing: make(chan struct{})}
	hub := httptest.NewServer(http.HandlerFunc(s.hub))
	cdn := httptest.NewServer(http.HandlerFunc(s.cdn))
	s.URL, s.CDN = hub.URL, cdn.URL
	t.Cleanup(func() {
		close(s.closing)
		hub.Close()
		cdn.Close()
	})
	return s
}

// Requests are those that came so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[:len(s.requests):len(s.requests)]
}

// Change changes a model while it is served.
func (s *Server) Change(repo string, change func(*Model)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.models[repo])
}

func (s *Server) note(r *http.Request, cdn bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{cdn, r.Method, r.URL.Path, r.Header.Get("Range"), r.Header.Get("Authorization")})
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Error-Code", code)
	w.Header().Set("X-Error-Message", message)
	w.WriteHeader(status)
}

// hub answers /api/models/ORG/NAME/revision/REV, /api/models/ORG/NAME/discussions and
// /ORG/NAME/resolve/REV/FILE.
func (s *Server) hub(w http.ResponseWriter, r *http.Request) {
	s.note(r, false)
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	api := len(parts) > 2 && parts[0] == "api" && parts[1] == "models"
	if api {
		parts = parts[2:]
	}
	if len(parts) < 3 {
		refuse(w, http.StatusNotFound, "", "no such page")
		return
	}
	s.mu.Lock()
	model := s.models[parts[0]+"/"+parts[1]]
	busy := model != nil && model.Busy > 0
	if busy {
		model.Busy--
	}
	s.mu.Unlock()
	switch {
	case busy:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
	case model == nil: // the hub does not tell what is private from what is not there
		refuse(w, http.StatusUnauthorized, "RepoNotFound", "Invalid username or password.")
	case model.Gated && r.Header.Get("Authorization") != "Bearer "+Token:
		refuse(w, http.StatusUnauthorized, "GatedRepo", "Access to this model is restricted.")
	case api && parts[2] == "discussions":
		s.discussions(w, model)
	case len(parts) < 4 || !model.knows(parts[3]):
		refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+parts[3])
	case api:
		model.list(w)
	default:
		s.resolve(w, r, model, parts)
	}
}

func (m *Model) knows(escaped string) bool {
	revision, _ := url.PathUnescape(escaped)
	for _, known := range append([]string{"main", Commit}, m.Revisions...) {
		if revision == known {
			return true
		}
	}
	return false
}

func (m *Model) large(name string) bool {
	for _, l := range m.Large {
		if l == name {
			return true
		}
	}
	return false
}

func (m *Model) list(w http.ResponseWriter) {
	var siblings []map[string]any
	for name, content := range m.Files {
		of := map[string]any{"rfilename": name}
		if !m.NoDigests {
			of["size"], of["blobId"] = len(content), blob(content)
			if m.large(name) {
				of["lfs"] = map[string]any{"sha256": sum(content), "size": len(content), "pointerSize": 134}
			}
		}
		if m.Lying > 0 {
			of["size"] = m.Lying
		}
		siblings = append(siblings, of)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"sha": Commit, "siblings": siblings})
}

func (s *Server) discussions(w http.ResponseWriter, m *Model) {
	list := []map[string]any{{"num": 1, "title": "Adding `safetensors` variant of this model", "status": "open", "isPullRequest": true,
		"author": map[string]any{"name": "somebody"}}}
	if m.Bot > 0 {
		list = append(list, map[string]any{"num": m.Bot, "title": "Adding `safetensors` variant of this model", "status": "open", "isPullRequest": true,
			"author": map[string]any{"name": "SFconvertbot"}})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"discussions": list, "count": len(list), "start": 0})
}

// resolve gives a small file, or says where a large one is.
func (s *Server) resolve(w http.ResponseWriter, r *http.Request, m *Model, parts []string) {
	name := strings.Join(parts[4:], "/")
	content, ok := m.Files[name]
	if !ok {
		refuse(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
		return
	}
	w.Header().Set("X-Repo-Commit", Commit)
	etag := blob(content)
	if m.large(name) {
		etag = sum(content)
	}
	if m.Bare {
		etag = ""
	}
	if m.large(name) {
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(content)))
		w.Header().Set("X-Linked-Etag", `"`+etag+`"`)
		http.Redirect(w, r, s.CDN+"/"+parts[0]+"/"+parts[1]+"/"+name+"?Signature=secret", http.StatusFound)
		return
	}
	w.Header().Set("ETag", `"`+etag+`"`)
	s.send(w, r, m, content)
}

func (s *Server) cdn(w http.ResponseWriter, r *http.Request) {
	s.note(r, true)
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	model := s.models[parts[0]+"/"+parts[1]]
	if r.Header.Get("Authorization") != "" { // as storage behind signed addresses does
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.send(w, r, model, model.Files[parts[2]])
}

// send gives a file's bytes, or does what is asked for instead.
func (s *Server) send(w http.ResponseWriter, r *http.Request, m *Model, content []byte) {
	s.mu.Lock()
	now := *m
	cut := m.CutAfter > 0 && m.Cuts != 0
	if cut && m.Cuts > 0 {
		m.Cuts--
	}
	s.mu.Unlock()
	if now.Wrong {
		content = append(bytes.Clone(content[:len(content)-1]), content[len(content)-1]+1)
	}
	if now.Endless {
		content = append(bytes.Clone(content), make([]byte, 1<<20)...)
		w.Header().Del("Content-Length")
		_, _ = w.Write(content)
		return
	}
	if now.NoRanges {
		r.Header.Del("Range")
	}
	if now.Silent {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:1])
		w.(http.Flusher).Flush()
		select {
		case <-s.closing:
		case <-r.Context().Done():
		}
		return
	}
	if cut {
		w = &cutting{w, now.CutAfter}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// cutting drops the connection after some bytes of the body.
type cutting struct {
	http.ResponseWriter
	left int
}

// Write implements http.ResponseWriter, to where the connection drops.
func (c *cutting) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	c.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}

// blob is git's id of a file.
func blob(content []byte) string {
	s := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(content)), content...))
	return hex.EncodeToString(s[:])
}
