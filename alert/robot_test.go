package alert

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/internal/robotfake"
	"github.com/barograph/barograph/internal/secret"
)

// robots are a sink of each kind beside the group it posts to.
func robots(t *testing.T, key, keyword, language string) map[string]struct {
	Sink
	group *robotfake.Robot
} {
	t.Helper()
	now := func() time.Time { return noon }
	f, k := robotfake.Feishu(t, key, keyword, now), robotfake.DingTalk(t, key, keyword, now)
	config := func(r *robotfake.Robot) RobotConfig {
		return RobotConfig{URL: secret.Secret(r.URL), Secret: secret.Secret(key), Keyword: keyword, Language: language, Clock: now}
	}
	feishu, err := NewFeishu(config(f))
	if err != nil {
		t.Fatal(err)
	}
	dingtalk, err := NewDingTalk(config(k))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]struct {
		Sink
		group *robotfake.Robot
	}{"feishu": {feishu, f}, "dingtalk": {dingtalk, k}}
}

// What the groups show, in both languages: the robots take it, signature and keyword included.
func TestRobotMessages(t *testing.T) {
	for _, language := range []string{"zh", "en"} {
		for kind, r := range robots(t, "SEC123", "气压", language) {
			for _, name := range []string{"firing", "resolved", "hostile", "bare", "positive", "volume"} {
				if _, err := r.Deliver(t.Context(), moments()[name]); err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
			}
			for _, d := range []Delivery{stormy(true), {Alert: stormy(true).Alert, Action: Annotate}} { // a note is not told
				if _, err := r.Deliver(t.Context(), d); err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
			}
			var shown bytes.Buffer
			for _, body := range r.group.Taken() {
				var m map[string]any
				if err := json.Unmarshal([]byte(body), &m); err != nil {
					t.Fatal(err)
				}
				delete(m, "sign")
				enc := json.NewEncoder(&shown)
				enc.SetEscapeHTML(false)
				enc.SetIndent("", "  ")
				if err := enc.Encode(m); err != nil {
					t.Fatal(err)
				}
			}
			golden(t, kind+"-"+language+".json", shown.Bytes())
			if got := shown.String(); strings.ContainsAny(got, "\u202e\u200b\x1b") || strings.Contains(got, "<@") || strings.Contains(got, "javascript:") {
				t.Errorf("%s lets through what does harm", kind)
			}
		}
	}
}

// What each answer means for the delivery.
func TestRobotAnswers(t *testing.T) {
	tests := []struct {
		robot string
		code  int
		want  DeliveryError
	}{
		{"feishu", 11232, DeliveryError{Refused: true, After: time.Minute}},
		{"feishu", 9499, DeliveryError{Refused: true, After: time.Minute}},
		{"feishu", 19021, DeliveryError{Refused: true, Misplaced: true}},
		{"feishu", 19024, DeliveryError{Refused: true, Misplaced: true}},
		{"feishu", 230099, DeliveryError{Refused: true, Hopeless: true}},
		{"feishu", 1, DeliveryError{Refused: true}},
		{"dingtalk", 130101, DeliveryError{Refused: true, After: 10 * time.Minute}},
		{"dingtalk", 310000, DeliveryError{Refused: true, Misplaced: true}},
		{"dingtalk", 300001, DeliveryError{Refused: true, Misplaced: true}},
		{"dingtalk", 430102, DeliveryError{Refused: true, Hopeless: true}},
		{"dingtalk", -1, DeliveryError{Refused: true}},
	}
	all := robots(t, "", "", "")
	for _, tt := range tests {
		r := all[tt.robot]
		r.group.Answer(tt.code)
		_, err := r.Deliver(t.Context(), moments()["firing"])
		var got *DeliveryError
		if !errors.As(err, &got) {
			t.Fatalf("%s %d: error %v", tt.robot, tt.code, err)
		}
		if tt.want.Err = got.Err; *got != tt.want {
			t.Errorf("%s %d: %+v, want %+v", tt.robot, tt.code, *got, tt.want)
		}
		if strings.Contains(err.Error(), "token") {
			t.Errorf("the error shows the token: %v", err)
		}
		if _, err := r.Deliver(t.Context(), moments()["firing"]); err != nil {
			t.Errorf("%s, once it is taken: %v", tt.robot, err)
		}
	}
}

// A wrong secret, and an address that is no robot's, are people's to mend.
func TestMisplacedRobots(t *testing.T) {
	now := func() time.Time { return noon }
	group := robotfake.DingTalk(t, "SEC123", "", now)
	for _, cfg := range []RobotConfig{
		{URL: secret.Secret(group.URL), Secret: "wrong", Clock: now},
		{URL: secret.Secret(group.URL), Secret: "SEC123", Clock: func() time.Time { return noon.Add(2 * time.Hour) }},
		{URL: secret.Secret(strings.Replace(group.URL, "/robot/send", "/nothing", 1)), Clock: now},
	} {
		sink, err := NewDingTalk(cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = sink.Deliver(t.Context(), moments()["firing"])
		var got *DeliveryError
		if !errors.As(err, &got) || !got.Misplaced || !got.Refused {
			t.Errorf("error %v", err)
		}
	}
	for _, cfg := range []RobotConfig{{}, {URL: "ftp://x/y"}, {URL: "https://x/y", Language: "fr"}, {URL: "https://x/y", Timeout: -1}} {
		if _, err := NewFeishu(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

// Feishu's is the example of its documentation; DingTalk's is what the sample code of its
// documentation (Python) prints for its sample secret.
func TestRobotSignatures(t *testing.T) {
	if got, want := FeishuSignature("demo", "1599360473"), "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="; got != want {
		t.Errorf("feishu signs %q, want %q", got, want)
	}
	if got, want := DingTalkSignature("this is secret", "1599360473000"), "hXZTWifRGHclNuZSKxoXc//sh51SWfVfRIhcdeKs63I="; got != want {
		t.Errorf("dingtalk signs %q, want %q", got, want)
	}
}
