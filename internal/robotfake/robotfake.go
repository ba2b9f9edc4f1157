// Package robotfake serves what a robot of a Feishu or a DingTalk group serves: over a real
// socket, with the checks and answers that their documentation describes.
package robotfake

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Robot is a group's robot. Its methods may be called while it serves.
type Robot struct {
	URL string

	secret, keyword string
	now             func() time.Time

	mu      sync.Mutex
	answers []int // codes to answer with instead of taking the next messages
	taken   []string
}

func start(t testing.TB, path, secret, keyword string, now func() time.Time, serve func(*Robot, http.ResponseWriter, *http.Request)) *Robot {
	t.Helper()
	r := &Robot{secret: secret, keyword: keyword, now: now}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, req *http.Request) { serve(r, w, req) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	r.URL = server.URL + path
	return r
}

// Answer makes the robot answer the next messages with these codes instead of taking them.
func (r *Robot) Answer(codes ...int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = append(r.answers, codes...)
}

// Taken are the bodies of the messages that the group shows.
func (r *Robot) Taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.taken...)
}

// decide is the code for a message: one that was asked for, what the checks say, or 0.
func (r *Robot) decide(body string, checked int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.answers) > 0 {
		code := r.answers[0]
		r.answers = r.answers[1:]
		return code
	}
	if checked == 0 {
		r.taken = append(r.taken, body)
	}
	return checked
}

// within reports whether a time is not more than an hour off, as both want it.
func (r *Robot) within(at time.Time) bool {
	off := r.now().Sub(at)
	return off < time.Hour && off > -time.Hour
}

// Feishu starts a Feishu robot that signs with secret and wants keyword ("" = neither).
func Feishu(t testing.TB, secret, keyword string, now func() time.Time) *Robot {
	return start(t, "/open-apis/bot/v2/hook/token", secret, keyword, now, func(r *Robot, w http.ResponseWriter, req *http.Request) {
		var m struct {
			Timestamp, Sign string
			MsgType         string `json:"msg_type"`
			Card            json.RawMessage
		}
		var raw json.RawMessage
		code := 0
		switch {
		case json.NewDecoder(http.MaxBytesReader(w, req.Body, 20<<10)).Decode(&raw) != nil || json.Unmarshal(raw, &m) != nil:
			code = 9499
		case m.MsgType != "interactive" || len(m.Card) == 0:
			code = 19002
		case r.secret != "" && !r.signedForFeishu(m.Timestamp, m.Sign):
			code = 19021
		case !strings.Contains(string(m.Card), r.keyword):
			code = 19024
		}
		code = r.decide(string(raw), code)
		answer(w, map[string]any{"code": code, "msg": message(code), "data": map[string]any{}})
	})
}

// The key is the timestamp, a line feed and the secret; the message is empty.
func (r *Robot) signedForFeishu(timestamp, sign string) bool {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	h := hmac.New(sha256.New, []byte(timestamp+"\n"+r.secret))
	return err == nil && r.within(time.Unix(seconds, 0)) && sign == base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// DingTalk starts a DingTalk robot likewise.
func DingTalk(t testing.TB, secret, keyword string, now func() time.Time) *Robot {
	r := start(t, "/robot/send", secret, keyword, now, func(r *Robot, w http.ResponseWriter, req *http.Request) {
		var m struct {
			MsgType  string `json:"msgtype"`
			Markdown struct{ Title, Text string }
		}
		var raw json.RawMessage
		code := 0
		switch {
		case req.Header.Get("Content-Type") != "application/json; charset=utf-8":
			code = 43004
		case json.NewDecoder(http.MaxBytesReader(w, req.Body, 20<<10)).Decode(&raw) != nil || json.Unmarshal(raw, &m) != nil,
			m.MsgType != "markdown", m.Markdown.Title == "", m.Markdown.Text == "":
			code = 40035
		case req.URL.Query().Get("access_token") != "token":
			code = 300001
		case r.secret != "" && !r.signedForDingTalk(req.URL.Query().Get("timestamp"), req.URL.Query().Get("sign")),
			!strings.Contains(m.Markdown.Text, r.keyword):
			code = 310000
		}
		code = r.decide(string(raw), code)
		answer(w, map[string]any{"errcode": code, "errmsg": message(code)})
	})
	r.URL += "?access_token=token"
	return r
}

// The key is the secret; the message is the timestamp, a line feed and the secret.
func (r *Robot) signedForDingTalk(timestamp, sign string) bool {
	millis, err := strconv.ParseInt(timestamp, 10, 64)
	h := hmac.New(sha256.New, []byte(r.secret))
	h.Write([]byte(timestamp + "\n" + r.secret))
	return err == nil && r.within(time.UnixMilli(millis)) && sign == base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func message(code int) string {
	if code == 0 {
		return "ok"
	}
	return "refused"
}

func answer(w http.ResponseWriter, reply map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply)
}
