package slackfake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// An upload is a URL, a POST to it, and a call that shares the file:
// docs.slack.dev/messaging/working-with-files#uploading_files

func (s *Server) uploadURL(r *http.Request) map[string]any {
	length, _ := strconv.Atoi(r.Form.Get("length"))
	if r.Form.Get("filename") == "" || length <= 0 {
		return refused("invalid_arguments")
	}
	s.serial++
	f := &File{ID: fmt.Sprintf("F%04d", s.serial), Name: r.Form.Get("filename"), AltText: r.Form.Get("alt_txt"), Content: make([]byte, 0, length)}
	s.files[f.ID] = f
	return map[string]any{"ok": true, "upload_url": "http://" + r.Host + "/upload/" + f.ID, "file_id": f.ID}
}

// takeUpload takes the file's bytes: as many as were announced.
func (s *Server) takeUpload(w http.ResponseWriter, r *http.Request) {
	part, _, err := r.FormFile("file")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer part.Close()
	content, err := io.ReadAll(part)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[strings.TrimPrefix(r.URL.Path, "/upload/")]
	if err != nil || f == nil || len(content) != cap(f.Content) {
		http.Error(w, "not the file that was announced", http.StatusBadRequest)
		return
	}
	f.Content = content
	fmt.Fprintf(w, "OK - %d", len(content))
}

// completeUpload posts the files as a message. As in Slack it wants the channel's ID.
func (s *Server) completeUpload(r *http.Request) map[string]any {
	var files []struct{ ID, Title string }
	if json.Unmarshal([]byte(r.Form.Get("files")), &files) != nil || len(files) == 0 {
		return refused("invalid_arguments")
	}
	id, thread := r.Form.Get("channel_id"), r.Form.Get("thread_ts")
	c := s.channels[id]
	if c == nil {
		return refused("channel_not_found")
	}
	if thread != "" && !c.has(thread) {
		return refused("thread_not_found")
	}
	m := &Message{Channel: id, ThreadTS: thread, TS: s.nextTS()}
	var shared []map[string]any
	for _, f := range files {
		known := s.files[f.ID]
		if known == nil || len(known.Content) == 0 {
			return refused("file_not_found")
		}
		known.Title = f.Title
		m.Files = append(m.Files, *known)
		shared = append(shared, map[string]any{"id": known.ID, "title": known.Title})
	}
	c.messages = append(c.messages, m)
	return map[string]any{"ok": true, "files": shared}
}
