package slackfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Socket Mode: docs.slack.dev/apis/events-api/using-socket-mode. An envelope goes to one of
// the connections, and again to one of them when it is not acknowledged in three seconds.

// Who presses a button or gives a command, and where. The zero value is a member in the
// message's channel.
type Who struct {
	User    string // "" = U0KIM
	Team    string // "" = TeamID
	Channel string // "" = the message's; of commands C0001ALERTS
}

// Ephemeral is an answer that one person sees: what was sent to a response_url.
type Ephemeral struct {
	To   string // the response_url's key: the envelope ID
	Text string
	Raw  json.RawMessage
}

type socket struct {
	mu   sync.Mutex // of writes
	conn *websocket.Conn
}

func (k *socket) send(v any) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = k.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	return k.conn.WriteJSON(v)
}

// open answers apps.connections.open.
func (s *Server) open(token string, r *http.Request) map[string]any {
	if token != AppToken {
		return refused("invalid_auth")
	}
	s.serial++
	return map[string]any{"ok": true, "url": fmt.Sprintf("ws://%s/socket?ticket=%d", r.Host, s.serial)}
}

// serveBeside serves what is no method of the Web API.
func (s *Server) serveBeside(w http.ResponseWriter, r *http.Request, path string) bool {
	switch {
	case path == "socket":
		s.serveSocket(w, r)
	case strings.HasPrefix(path, "upload/"):
		s.takeUpload(w, r)
	case strings.HasPrefix(path, "response/"):
		var body struct{ Text string }
		var raw json.RawMessage
		if json.NewDecoder(r.Body).Decode(&raw) != nil || json.Unmarshal(raw, &body) != nil {
			http.Error(w, "invalid_payload", http.StatusBadRequest)
			return true
		}
		s.mu.Lock()
		s.said = append(s.said, Ephemeral{To: strings.TrimPrefix(path, "response/"), Text: body.Text, Raw: raw})
		s.mu.Unlock()
		fmt.Fprint(w, "ok")
	default:
		return false
	}
	s.announce()
	return true
}

func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	k := &socket{conn: conn}
	if k.send(map[string]any{"type": "hello", "num_connections": 1, "connection_info": map[string]any{"app_id": "A0001"}}) != nil {
		return
	}
	s.mu.Lock()
	s.sockets = append(s.sockets, k)
	s.mu.Unlock()
	s.announce()
	defer s.drop(k)
	for {
		var ack struct {
			EnvelopeID string `json:"envelope_id"`
		}
		if conn.ReadJSON(&ack) != nil {
			return
		}
		s.mu.Lock()
		s.acks[ack.EnvelopeID]++
		s.mu.Unlock()
		s.announce()
	}
}

func (s *Server) drop(k *socket) {
	s.mu.Lock()
	for i, other := range s.sockets {
		if other == k {
			s.sockets = append(s.sockets[:i:i], s.sockets[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	s.announce()
}

// Connections is how many sockets are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sockets)
}

// Disconnect asks all connections to come again, as Slack does every few hours. They get no
// more envelopes.
func (s *Server) Disconnect() {
	s.mu.Lock()
	all := s.sockets
	s.sockets = nil
	s.mu.Unlock()
	for _, k := range all {
		_ = k.send(map[string]any{"type": "disconnect", "reason": "refresh_requested"})
	}
}

// Acks is how often an envelope was acknowledged.
func (s *Server) Acks(envelope string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acks[envelope]
}

// Said are the answers to response_urls so far.
func (s *Server) Said() []Ephemeral {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Ephemeral(nil), s.said...)
}

// Press presses a button of a message and returns when the press is acknowledged. The answer
// is the envelope, for Send to repeat.
func (s *Server) Press(t testing.TB, m Message, block, action string, who Who) (envelope map[string]any) {
	t.Helper()
	var pressed map[string]any
	var blocks []struct {
		BlockID  string `json:"block_id"`
		Elements []map[string]any
	}
	if err := json.Unmarshal(m.BlocksJSON, &blocks); err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		for _, e := range b.Elements {
			if b.BlockID == block && e["action_id"] == action {
				pressed = map[string]any{"type": "button", "block_id": block, "action_id": action, "value": e["value"],
					"action_ts": fmt.Sprintf("%d.%06d", s.now().Unix(), s.now().Nanosecond()/1000)}
			}
		}
	}
	if pressed == nil {
		t.Fatalf("the message has no button %s in block %q: %s", action, block, m.BlocksJSON)
	}
	channel := or(who.Channel, m.Channel)
	return s.envelope(t, "interactive", func(id string) map[string]any {
		return map[string]any{
			"type": "block_actions", "team": map[string]any{"id": or(who.Team, TeamID)}, "user": map[string]any{"id": or(who.User, "U0KIM")},
			"channel": map[string]any{"id": channel}, "container": map[string]any{"type": "message", "message_ts": m.TS, "channel_id": channel},
			"message": shown(&m), "actions": []any{pressed}, "response_url": s.URL + "/response/" + id, "api_app_id": "A0001",
		}
	})
}

// Command gives a slash command and returns when it is acknowledged.
func (s *Server) Command(t testing.TB, command, text string, who Who) (envelope map[string]any) {
	t.Helper()
	return s.envelope(t, "slash_commands", func(id string) map[string]any {
		return map[string]any{
			"command": command, "text": text, "team_id": or(who.Team, TeamID), "channel_id": or(who.Channel, "C0001ALERTS"),
			"user_id": or(who.User, "U0KIM"), "response_url": s.URL + "/response/" + id,
		}
	})
}

func (s *Server) envelope(t testing.TB, kind string, payload func(id string) map[string]any) map[string]any {
	t.Helper()
	s.mu.Lock()
	s.serial++
	id := fmt.Sprintf("envelope-%d", s.serial)
	s.mu.Unlock()
	envelope := map[string]any{"type": kind, "envelope_id": id, "payload": payload(id), "accepts_response_payload": kind == "slash_commands"}
	s.Send(t, envelope)
	return envelope
}

// Send sends an envelope to the connection opened last, and waits for its acknowledgement.
func (s *Server) Send(t testing.TB, envelope map[string]any) {
	t.Helper()
	id, _ := envelope["envelope_id"].(string)
	before := s.Acks(id)
	s.Wait(t, 30*time.Second, "a connection in Socket Mode", func() bool { return s.Connections() > 0 })
	s.mu.Lock()
	k := s.sockets[len(s.sockets)-1]
	s.mu.Unlock()
	if err := k.send(envelope); err != nil {
		t.Fatalf("slack: sending %s: %v", id, err)
	}
	s.Wait(t, 30*time.Second, "the acknowledgement of "+id, func() bool { return s.Acks(id) > before })
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
