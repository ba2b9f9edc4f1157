package slackfake

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

func (s *Server) post(r *http.Request) map[string]any {
	id, c := s.find(r.Form.Get("channel"))
	if c == nil {
		return refused("channel_not_found")
	}
	m := &Message{Channel: id, ThreadTS: r.Form.Get("thread_ts")}
	if m.ThreadTS != "" && !c.has(m.ThreadTS) {
		return refused("thread_not_found")
	}
	if reason := fill(m, r); reason != "" {
		return refused(reason)
	}
	m.TS = s.nextTS()
	c.messages = append(c.messages, m)
	return map[string]any{"ok": true, "channel": id, "ts": m.TS, "message": shown(m)}
}

// has reports whether the channel shows a message.
func (c *channel) has(ts string) bool {
	return slices.ContainsFunc(c.messages, func(m *Message) bool { return m.TS == ts && m.ThreadTS == "" })
}

func (s *Server) update(r *http.Request) map[string]any {
	id := r.Form.Get("channel")
	c := s.channels[id] // an ID only, as in Slack
	if c == nil {
		return refused("channel_not_found")
	}
	i := slices.IndexFunc(c.messages, func(m *Message) bool { return m.TS == r.Form.Get("ts") })
	if i < 0 {
		return refused("message_not_found")
	}
	edited := *c.messages[i]
	if reason := fill(&edited, r); reason != "" {
		return refused(reason)
	}
	edited.Edits++
	c.messages[i] = &edited
	return map[string]any{"ok": true, "channel": id, "ts": edited.TS, "text": edited.Text, "message": shown(&edited)}
}

// fill takes text, blocks and metadata from the form. It returns Slack's error for what
// Slack would refuse.
func fill(m *Message, r *http.Request) string {
	m.Text = r.Form.Get("text")
	raw := r.Form.Get("blocks")
	if m.Text == "" && raw == "" {
		return "no_text"
	}
	if len(m.Text) > 40000 {
		return "msg_too_long"
	}
	if raw != "" {
		var blocks slack.Blocks
		if err := json.Unmarshal([]byte(raw), &blocks); err != nil {
			return "invalid_blocks_format"
		}
		if !withinLimits(blocks.BlockSet) {
			return "invalid_blocks"
		}
		m.Blocks, m.BlocksJSON = blocks.BlockSet, json.RawMessage(raw)
	}
	if raw := r.Form.Get("metadata"); raw != "" {
		if json.Unmarshal([]byte(raw), &m.Metadata) != nil || m.Metadata.EventType == "" {
			return "invalid_metadata_format"
		}
	}
	return ""
}

// withinLimits holds the blocks against docs.slack.dev/reference/block-kit/blocks.
func withinLimits(blocks []slack.Block) bool {
	if len(blocks) > 50 {
		return false
	}
	for _, b := range blocks {
		ok := true
		switch b := b.(type) {
		case *slack.HeaderBlock:
			ok = b.Text != nil && b.Text.Type == slack.PlainTextType && within(b.Text, 150)
		case *slack.SectionBlock:
			ok = (b.Text != nil || len(b.Fields) > 0) && len(b.Fields) <= 10 && (b.Text == nil || within(b.Text, 3000))
			for _, f := range b.Fields {
				ok = ok && within(f, 2000)
			}
		case *slack.ContextBlock:
			n := len(b.ContextElements.Elements)
			ok = n > 0 && n <= 10
			for _, e := range b.ContextElements.Elements {
				if text, is := e.(slack.TextBlockObject); is {
					ok = ok && within(&text, 3000)
				}
				if text, is := e.(*slack.TextBlockObject); is {
					ok = ok && within(text, 3000)
				}
			}
		case *slack.RichTextBlock:
			ok = len(b.Elements) > 0
		case *slack.ActionBlock:
			ok = b.Elements != nil && withinActions(b)
		}
		if !ok {
			return false
		}
	}
	return true
}

func withinActions(b *slack.ActionBlock) bool {
	seen := map[string]bool{}
	for _, e := range b.Elements.ElementSet {
		button, is := e.(*slack.ButtonBlockElement)
		if !is {
			continue
		}
		if seen[button.ActionID] || button.ActionID == "" || len(button.ActionID) > 255 || len(button.Value) > 2000 || !within(button.Text, 75) {
			return false
		}
		seen[button.ActionID] = true
	}
	n := len(b.Elements.ElementSet)
	return n > 0 && n <= 25 && len(b.BlockID) <= 255
}

func within(text *slack.TextBlockObject, limit int) bool {
	n := utf8.RuneCountInString(text.Text)
	return n > 0 && n <= limit
}

func shown(m *Message) map[string]any {
	out := map[string]any{"type": "message", "ts": m.TS, "text": m.Text, "bot_id": "B0001"}
	if m.BlocksJSON != nil {
		out["blocks"] = m.BlocksJSON
	}
	if m.ThreadTS != "" {
		out["thread_ts"] = m.ThreadTS
	}
	for _, f := range m.Files {
		files, _ := out["files"].([]map[string]any)
		out["files"] = append(files, map[string]any{"id": f.ID, "name": f.Name, "title": f.Title})
	}
	return out
}

// history returns the newest first, a page at a time. Like Slack it leaves replies out and
// shows metadata only when asked.
func (s *Server) history(r *http.Request) map[string]any {
	c := s.channels[r.Form.Get("channel")]
	switch {
	case c == nil:
		return refused("channel_not_found")
	case c.unread:
		reply := refused("missing_scope")
		reply["needed"] = "channels:history"
		return reply
	}
	limit, _ := strconv.Atoi(r.Form.Get("limit"))
	if limit <= 0 || limit > 999 {
		limit = 100
	}
	skip, _ := strconv.Atoi(r.Form.Get("cursor"))
	var page []map[string]any
	next := ""
	seen := 0
	for _, m := range slices.Backward(c.messages) {
		if m.ThreadTS != "" || m.TS <= r.Form.Get("oldest") {
			continue
		}
		if seen++; seen <= skip {
			continue
		}
		if len(page) == limit {
			next = strconv.Itoa(skip + limit)
			break
		}
		item := shown(m)
		withMetadata(r, item, m)
		page = append(page, item)
	}
	return map[string]any{"ok": true, "messages": page, "has_more": next != "", "response_metadata": map[string]any{"next_cursor": next}}
}

func withMetadata(r *http.Request, item map[string]any, m *Message) {
	if r.Form.Get("include_all_metadata") == "1" && m.Metadata.EventType != "" {
		item["metadata"] = m.Metadata
	}
}

// replies are the message and its thread, oldest first.
func (s *Server) replies(r *http.Request) map[string]any {
	c, ts := s.channels[r.Form.Get("channel")], r.Form.Get("ts")
	switch {
	case c == nil:
		return refused("channel_not_found")
	case c.unread:
		return refused("missing_scope")
	case !c.has(ts):
		return refused("thread_not_found")
	}
	var all []map[string]any
	for _, m := range c.messages {
		if m.TS == ts || m.ThreadTS == ts {
			item := shown(m)
			withMetadata(r, item, m)
			all = append(all, item)
		}
	}
	return map[string]any{"ok": true, "messages": all, "has_more": false}
}

func (s *Server) list() map[string]any {
	var out []map[string]any
	for id, c := range s.channels {
		out = append(out, map[string]any{"id": id, "name": c.name, "is_channel": true})
	}
	return map[string]any{"ok": true, "channels": out, "response_metadata": map[string]any{"next_cursor": ""}}
}
