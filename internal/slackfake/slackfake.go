// Package slackfake is a local server that speaks the part of Slack's Web API that
// Barograph uses, over a real socket: auth.test, chat.postMessage, chat.update,
// conversations.history, .replies and .list, uploads of files, and Socket Mode with buttons
// and slash commands. It refuses what Slack refuses (wrong token, unknown channel or thread,
// blocks over the limits) and fails on demand: 429, 5xx, errors, delays, a connection dropped
// before or after the message was taken.
package slackfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slack-go/slack"
)

// Token and AppToken are the ones that the server takes; TeamID is its workspace.
const (
	Token    = "xoxb-fake-token"
	AppToken = "xapp-fake-token"
	TeamID   = "T0001"
)

// Server is an http.Handler; Start serves it for a test. All methods may be called while
// it serves.
type Server struct {
	URL string // of the API, after Start; without a slash at the end

	mu       sync.Mutex
	channels map[string]*channel // by ID
	faults   []Fault
	calls    []Call
	clock    int64 // the last ts, microseconds
	now      func() time.Time
	changed  chan struct{} // closed and replaced when anything is recorded

	files   map[string]*File
	sockets []*socket
	acks    map[string]int // envelope ID → how often it was acknowledged
	said    []Ephemeral
	serial  int
}

type channel struct {
	name     string
	unread   bool // the bot may not read its history
	messages []*Message
}

// Message is what a channel shows.
type Message struct {
	Channel, TS, ThreadTS string
	Text                  string
	Blocks                []slack.Block
	BlocksJSON            json.RawMessage
	Metadata              slack.SlackMetadata
	Edits                 int    // how often chat.update changed it
	Files                 []File // shared with it
}

// File is what was uploaded.
type File struct {
	ID, Name, Title, AltText string
	Content                  []byte
}

// Call is one request to the API.
type Call struct {
	Method string // "chat.postMessage"
	Form   map[string]string
	At     time.Time
}

// Fault makes the next calls of a method fail.
type Fault struct {
	Method     string        // "" = any
	Channel    string        // "" = any
	Thread     bool          // replies in threads only
	Times      int           // how many calls; 0 = 1; -1 = until Heal
	Status     int           // an HTTP status instead of an answer, e.g. 503; 429 with RetryAfter
	RetryAfter time.Duration // of a 429, whole seconds
	Error      string        // {"ok":false,"error":…}
	Delay      time.Duration // before the answer, or until the client gives up
	Drop       bool          // the call takes effect, then the connection ends without an answer
	Hold       chan struct{} // the call takes effect, then waits for Hold to be closed before the answer
}

// New returns a server with the channels C0001ALERTS (#alerts) and C0002DESK (#desk),
// for serving by other means than Start.
func New() *Server {
	return &Server{
		channels: map[string]*channel{"C0001ALERTS": {name: "alerts"}, "C0002DESK": {name: "desk"}},
		now:      time.Now, changed: make(chan struct{}), files: map[string]*File{}, acks: map[string]int{},
	}
}

// Start serves a New server on a free loopback port until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s := New()
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	s.URL = server.URL
	return s
}

// Fail adds a fault. Faults are used up in the order they were added.
func (s *Server) Fail(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = 1
	}
	s.faults = append(s.faults, f)
}

// Heal takes all faults away.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// AddChannel makes a channel.
func (s *Server) AddChannel(id, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels[id] = &channel{name: name}
}

// HideHistory refuses conversations.history for the channel, as for a bot without the scope.
func (s *Server) HideHistory(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels[id].unread = true
}

// Messages are the channel's, oldest first, as they are now, without replies in threads.
func (s *Server) Messages(id string) []Message { return s.messages(id, "") }

// Thread are the replies to a message, oldest first, as they are now.
func (s *Server) Thread(id, ts string) []Message { return s.messages(id, ts) }

func (s *Server) messages(id, thread string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Message
	if c := s.channels[id]; c != nil {
		for _, m := range c.messages {
			if m.ThreadTS == thread {
				out = append(out, *m)
			}
		}
	}
	return out
}

// Delete removes a message, as a person would.
func (s *Server) Delete(id, ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[id]
	c.messages = slices.DeleteFunc(c.messages, func(m *Message) bool { return m.TS == ts })
}

// Calls are the requests so far of the method ("" = all), also those that failed.
func (s *Server) Calls(method string) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Call
	for _, c := range s.calls {
		if method == "" || c.Method == method {
			out = append(out, c)
		}
	}
	return out
}

// Wait blocks until done reports true, looking again after every call. It fails the test
// after limit.
func (s *Server) Wait(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if done() {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("slack: still waiting for %s after %s; %d calls", what, limit, len(s.Calls("")))
		}
	}
}

// ServeHTTP answers POST /METHOD and /api/METHOD.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/"), "api/")
	if s.serveBeside(w, r, method) {
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fault, faulty := s.record(method, r)
	defer s.announce()
	if faulty && fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-r.Context().Done():
			return
		}
	}
	if faulty && fault.Status != 0 {
		if fault.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(fault.RetryAfter/time.Second)))
		}
		w.WriteHeader(fault.Status)
		return
	}
	if faulty && fault.Error != "" {
		answer(w, refused(fault.Error))
		return
	}
	reply := s.do(method, r)
	if faulty && fault.Hold != nil {
		s.announce()
		select {
		case <-fault.Hold:
		case <-r.Context().Done():
		}
	}
	if faulty && fault.Drop {
		panic(http.ErrAbortHandler)
	}
	answer(w, reply)
}

func (s *Server) record(method string, r *http.Request) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	form := map[string]string{}
	for key := range r.Form {
		if key != "token" {
			form[key] = r.Form.Get(key)
		}
	}
	s.calls = append(s.calls, Call{Method: method, Form: form, At: s.now()})
	for i := range s.faults {
		f := &s.faults[i]
		if f.Times == 0 || (f.Method != "" && f.Method != method) || (f.Channel != "" && f.Channel != r.Form.Get("channel")) ||
			(f.Thread && r.Form.Get("thread_ts") == "") {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return *f, true
	}
	return Fault{}, false
}

func (s *Server) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

func answer(w http.ResponseWriter, reply map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply)
}

func refused(reason string) map[string]any { return map[string]any{"ok": false, "error": reason} }

func (s *Server) do(method string, r *http.Request) map[string]any {
	token := r.Form.Get("token")
	if token == "" {
		token = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	if method == "apps.connections.open" {
		return s.open(token, r)
	}
	if token != Token {
		return refused("invalid_auth")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch method {
	case "auth.test":
		return map[string]any{"ok": true, "team": "Fake Desk", "user": "barograph", "team_id": TeamID, "user_id": "U0001"}
	case "chat.postMessage":
		return s.post(r)
	case "chat.update":
		return s.update(r)
	case "conversations.history":
		return s.history(r)
	case "conversations.list":
		return s.list()
	case "conversations.replies":
		return s.replies(r)
	case "files.getUploadURLExternal":
		return s.uploadURL(r)
	case "files.completeUploadExternal":
		return s.completeUpload(r)
	}
	return refused("unknown_method")
}

// find takes an ID, or for chat.postMessage a name.
func (s *Server) find(id string) (string, *channel) {
	if c := s.channels[id]; c != nil {
		return id, c
	}
	for known, c := range s.channels {
		if "#"+c.name == id {
			return known, c
		}
	}
	return "", nil
}

func (s *Server) nextTS() string {
	s.clock = max(s.clock+1, s.now().UnixMicro())
	return fmt.Sprintf("%d.%06d", s.clock/1e6, s.clock%1e6)
}
