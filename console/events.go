package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/barograph/barograph/news"
)

const (
	maxWatchers = 256
	eventsApart = time.Second      // a watcher is told at most so often
	pingEvery   = 15 * time.Second // so that proxies keep the stream open
	mostNamed   = 50               // companies and topics named in one event
)

// hub tells watchers what came in. What a watcher has not been told yet adds up to one
// event of each kind, so that a slow one costs no memory and holds nobody up.
type hub struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{}
}

// watcher is what one client is yet to be told.
type watcher struct {
	wake    chan struct{} // capacity 1
	heard   heard
	alerts  []news.Alert
	touched map[string]bool // "labels", "silences"
}

// heard sums readings up.
type heard struct {
	Items    int      `json:"items"`
	Negative int      `json:"negative"`
	Entities []string `json:"entities"` // some of them
	Topics   []string `json:"topics"`

	named map[string]bool
}

func newHub() *hub { return &hub{watchers: map[*watcher]struct{}{}} }

// watch adds a watcher; nil where there are too many.
func (h *hub) watch() *watcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) >= maxWatchers {
		return nil
	}
	w := &watcher{wake: make(chan struct{}, 1)}
	h.watchers[w] = struct{}{}
	return w
}

func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
}

func (h *hub) each(tell func(*watcher)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		tell(w)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (h *hub) readings(readings []news.Reading) {
	h.each(func(w *watcher) {
		for i := range readings {
			w.heard.add(&readings[i])
		}
	})
}

func (h *hub) alert(a news.Alert) {
	h.each(func(w *watcher) {
		if len(w.alerts) < maxTold {
			w.alerts = append(w.alerts, a)
		}
	})
}

// touch tells of a change of "labels" or "silences".
func (h *hub) touch(what string) {
	h.each(func(w *watcher) {
		if w.touched == nil {
			w.touched = map[string]bool{}
		}
		w.touched[what] = true
	})
}

func (s *heard) add(r *news.Reading) {
	s.Items++
	if r.Negative() {
		s.Negative++
	}
	if s.named == nil {
		s.named = map[string]bool{}
	}
	for _, e := range r.Entities {
		if len(s.Entities) < mostNamed && !s.named["e"+e] {
			s.named["e"+e] = true
			s.Entities = append(s.Entities, e)
		}
	}
	if t := r.Topic.Label; t != "" && len(s.Topics) < mostNamed && !s.named["t"+t] {
		s.named["t"+t] = true
		s.Topics = append(s.Topics, t)
	}
}

// take gives what the watcher is to be told as server-sent events, and forgets it.
func (h *hub) take(w *watcher) []byte {
	h.mu.Lock()
	said, alerts, touched := w.heard, w.alerts, w.touched
	w.heard, w.alerts, w.touched = heard{}, nil, nil
	h.mu.Unlock()
	var out bytes.Buffer
	event := func(name string, data any) {
		text, err := json.Marshal(data)
		if err == nil { // a model's NaN cannot be in JSON: the page asks again later
			fmt.Fprintf(&out, "event: %s\ndata: %s\n\n", name, text)
		}
	}
	for _, a := range alerts {
		event("alert", a)
	}
	for what := range touched {
		event(what, struct{}{})
	}
	if said.Items > 0 {
		if said.Entities == nil {
			said.Entities = []string{}
		}
		if said.Topics == nil {
			said.Topics = []string{}
		}
		event("readings", said)
	}
	return out.Bytes()
}

// events streams what comes in until the client or the server goes.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	watcher := s.sources.Index.hub.watch()
	if watcher == nil {
		s.fail(w, r, &problem{Status: http.StatusServiceUnavailable, Title: "Too many watch", Detail: fmt.Sprintf("%d streams are open already", maxWatchers)})
		return
	}
	defer s.sources.Index.hub.leave(watcher)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	control := http.NewResponseController(w)
	write := func(text []byte) bool {
		_ = control.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := w.Write(text); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	if !write([]byte("retry: 2000\n: barograph\n\n")) {
		return
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select { // never two events within eventsApart
		case <-pause.C:
		case <-r.Context().Done():
			return
		case <-s.ending:
			return
		}
		var text []byte
		select {
		case <-watcher.wake:
			text = s.sources.Index.hub.take(watcher)
		case <-ping.C:
			text = []byte(": ping\n\n")
		case <-r.Context().Done():
			return
		case <-s.ending:
			return
		}
		if len(text) > 0 && !write(text) {
			return
		}
		pause.Reset(eventsApart)
	}
}
