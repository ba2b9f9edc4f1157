package alert

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/internal/mailfake"
	"github.com/barograph/barograph/news"
)

func newEmail(t *testing.T, server *mailfake.Server, change func(*EmailConfig)) *Email {
	t.Helper()
	cfg := EmailConfig{Host: server.Host, Port: server.Port, CAFile: server.CAFile, Username: mailfake.User, Password: mailfake.Password,
		From: "Barograph <barograph@example.com>", To: []string{"desk@example.com", "Kim <kim@example.com>"}}
	if change != nil {
		change(&cfg)
	}
	e, err := NewEmail(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// An alert is a thread: its later messages answer the first one, under its subject.
func TestEmailThread(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		server := mailfake.Start(t, implicit)
		e := newEmail(t, server, func(c *EmailConfig) {
			if implicit {
				c.TLS = "implicit"
			}
		})
		ref := ""
		for _, name := range []string{"firing", "escalated", "resolved"} {
			d := moments()[name]
			d.Ref, d.QueuedAt = ref, noon
			var err error
			if ref, err = e.Deliver(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		note := moments()["escalated"]
		note.Action, note.Ref = Annotate, ref
		if got, err := e.Deliver(t.Context(), note); err != nil || got != ref {
			t.Errorf("a note: %q, %v", got, err)
		}
		got := server.Messages()
		if len(got) != 3 || len(got[0].To) != 2 {
			t.Fatalf("%d messages: %+v", len(got), got)
		}
		first := got[0].Header
		ids := map[string]bool{}
		for i, m := range got {
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			want := "Barograph: AAPL · Lawsuit (warning)"
			if i > 0 {
				want = "Re: " + want
				if m.Header.Get("In-Reply-To") != first.Get("Message-ID") || m.Header.Get("References") != first.Get("Message-ID") {
					t.Errorf("message %d answers %q", i+1, m.Header.Get("In-Reply-To"))
				}
			}
			if err != nil || subject != want {
				t.Errorf("subject %q, %v; want %q", subject, err, want)
			}
			ids[m.Header.Get("Message-ID")] = true
		}
		if len(ids) != 3 || got[1].Header.Get("Importance") != "high" || first.Get("Importance") != "" || first.Get("Auto-Submitted") != "auto-generated" {
			t.Errorf("ids %v, headers %+v", ids, got[1].Header)
		}
	}
}

// What people read, in both parts.
func TestEmailMessages(t *testing.T) {
	server := mailfake.Start(t, false)
	e := newEmail(t, server, nil)
	names := []string{"firing", "resolved", "hostile", "positive", "volume"}
	for _, name := range names {
		if _, err := e.Deliver(t.Context(), moments()[name]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Deliver(t.Context(), stormy(true)); err != nil {
		t.Fatal(err)
	}
	for i, m := range server.Messages() {
		text, html := parts(t, m)
		name := append(names, "digest")[i]
		golden(t, "email-"+name+".txt", []byte(text))
		golden(t, "email-"+name+".html", []byte(html))
		if strings.Contains(html, "<!here>") || strings.Contains(html, "javascript:") || strings.ContainsAny(html+text, "\x1b\u202e") {
			t.Errorf("%s lets through what does harm", name)
		}
	}
}

// parts are the text and the HTML of a message.
func parts(t *testing.T, m mailfake.Message) (text, html string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type %q, %v", kind, err)
	}
	reader := multipart.NewReader(strings.NewReader(m.Content), params["boundary"])
	for _, part := range []*string{&text, &html} {
		p, err := reader.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil || p.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
			t.Fatalf("encoding %q, %v", p.Header.Get("Content-Transfer-Encoding"), err)
		}
		*part = string(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")))
	}
	return text, html
}

// What each failure means for the delivery.
func TestEmailFailures(t *testing.T) {
	server := mailfake.Start(t, false)
	tests := []struct {
		name    string
		change  func(*EmailConfig)
		refuse  int
		channel string
		want    DeliveryError
	}{
		{"a wrong password", func(c *EmailConfig) { c.Password = "guess" }, 0, "", DeliveryError{Refused: true, Misplaced: true}},
		{"a certificate that nobody vouches for", func(c *EmailConfig) { c.CAFile = "" }, 0, "", DeliveryError{Refused: true}},
		{"nobody there", func(c *EmailConfig) { c.Port = 1 }, 0, "", DeliveryError{Refused: true}},
		{"no such mailbox", nil, 0, "nobody@example.com", DeliveryError{Refused: true, Misplaced: true}},
		{"a mailbox that takes it later, beside one that takes it now", nil, 0, "desk@example.com, later@example.com", DeliveryError{Refused: true}},
		{"a full disk", nil, 452, "", DeliveryError{Refused: true}},
		{"a text that is not taken", nil, 554, "", DeliveryError{Refused: true, Hopeless: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEmail(t, server, tt.change)
			if tt.refuse > 0 {
				server.Refuse(tt.refuse)
			}
			d := moments()["firing"]
			d.Channel = tt.channel
			_, err := e.Deliver(t.Context(), d)
			var got *DeliveryError
			if !errors.As(err, &got) {
				t.Fatalf("error %v", err)
			}
			if tt.want.Err = got.Err; *got != tt.want {
				t.Errorf("%+v, want %+v", *got, tt.want)
			}
		})
	}
	if n := len(server.Messages()); n != 0 {
		t.Errorf("%d messages were taken", n)
	}
}

// A recipient whose mailbox is gone keeps the message from nobody else, and is named in the log.
func TestEmailOneRecipientIsGone(t *testing.T) {
	server := mailfake.Start(t, false)
	var log bytes.Buffer
	e := newEmail(t, server, func(c *EmailConfig) {
		c.To = []string{"desk@example.com", "nobody@example.com", "Kim <kim@example.com>"}
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	d := moments()["firing"]
	d.QueuedAt = noon
	if ref, err := e.Deliver(t.Context(), d); err != nil || ref == "" {
		t.Fatalf("ref %q, %v", ref, err)
	}
	got := server.Messages()
	if len(got) != 1 || !slices.Equal(got[0].To, []string{"desk@example.com", "kim@example.com"}) {
		t.Errorf("messages %+v", got)
	}
	if !strings.Contains(log.String(), "nobody@example.com") || strings.Contains(log.String(), "kim@") {
		t.Errorf("log %q", log.String())
	}
}

func TestEmailConfig(t *testing.T) {
	valid := EmailConfig{Host: "mail.example", From: "a@example.com", To: []string{"b@example.com"}}
	for name, change := range map[string]func(*EmailConfig){
		"no host":            func(c *EmailConfig) { c.Host = "" },
		"no from":            func(c *EmailConfig) { c.From = "nobody" },
		"no such to":         func(c *EmailConfig) { c.To = []string{"x"} },
		"no such TLS":        func(c *EmailConfig) { c.TLS = "ssl" },
		"a bare password":    func(c *EmailConfig) { c.TLS, c.Username, c.Password = "none", "u", "p" },
		"half of a login":    func(c *EmailConfig) { c.Username = "u" },
		"no such CA":         func(c *EmailConfig) { c.CAFile = "none.pem" },
		"a negative timeout": func(c *EmailConfig) { c.Timeout = news.Duration(-time.Second) },
	} {
		cfg := valid
		change(&cfg)
		if _, err := NewEmail(cfg); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	e, err := NewEmail(valid)
	if err != nil {
		t.Fatal(err)
	}
	if e.Check("") != nil || e.Check("c@example.com, D <d@example.com>") != nil || e.Check("#alerts") == nil {
		t.Error("channels are not checked as addresses")
	}
}
