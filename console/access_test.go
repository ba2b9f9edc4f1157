package console

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/internal/secret"
)

const testToken = "correct horse battery staple"

func TestAnOpenConsoleIsRefused(t *testing.T) {
	for listen, open := range map[string]bool{"127.0.0.1:0": false, "localhost:0": false, "[::1]:0": false, "0.0.0.0:0": true, ":0": true, "192.0.2.1:0": true} {
		_, err := newGate(Access{}, listen, nil)
		if errors.Is(err, ErrOpen) != open {
			t.Errorf("%s: %v, want refused: %t", listen, err, open)
		}
		for _, access := range []Access{{Token: testToken}, {TrustedHeader: "X-Forwarded-User"}} {
			if _, err := newGate(access, listen, nil); err != nil {
				t.Errorf("%s with %+v: %v", listen, access, err)
			}
		}
	}
	if _, err := newGate(Access{Token: "short"}, "127.0.0.1:0", nil); err == nil {
		t.Error("a token of five characters was taken")
	}
}

func TestWhoIsLetIn(t *testing.T) {
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	token := Access{Token: testToken}
	proxy := Access{TrustedHeader: "X-Forwarded-User"}
	distant := Access{TrustedHeader: "X-Forwarded-User", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	for name, c := range map[string]struct {
		access Access
		from   string // address; "" = 127.0.0.1
		host   string // "" = 127.0.0.1:8095
		header http.Header
		want   int
	}{
		"loopback":                       {want: 200},
		"by the name localhost":          {host: "localhost:8095", want: 200},
		"by [::1]":                       {host: "[::1]:8095", want: 200},
		"a name that leads to loopback":  {host: "rebound.example:8095", want: 403},
		"a name without a port":          {host: "rebound.example", want: 403},
		"no token":                       {access: token, want: 401},
		"the token":                      {access: token, host: "barograph.example", header: header("Authorization", "Bearer "+testToken), want: 200},
		"another token":                  {access: token, header: header("Authorization", "Bearer x"+testToken), want: 401},
		"a made-up session":              {access: token, header: header("Cookie", sessionCookie+"=9999999999.00"), want: 401},
		"a header without a proxy":       {access: token, header: header("X-Forwarded-User", "jane"), want: 401},
		"the proxy's header":             {access: proxy, header: header("X-Forwarded-User", "jane"), want: 200},
		"the proxy without a name":       {access: proxy, want: 401},
		"the header from elsewhere":      {access: proxy, from: "192.0.2.7:1234", header: header("X-Forwarded-User", "jane"), want: 401},
		"the header from a proxy far":    {access: distant, from: "10.1.2.3:1234", header: header("X-Forwarded-User", "jane"), want: 200},
		"the header from beside it":      {access: distant, from: "10.2.2.3:1234", header: header("X-Forwarded-User", "jane"), want: 401},
		"a name with control characters": {access: proxy, header: header("X-Forwarded-User", "jane\x01"), want: 401},
		"a name beside the proxy's":      {access: proxy, header: http.Header{"X-Forwarded-User": {"the boss", "jane"}}, want: 401},
	} {
		r := httptest.NewRequest("GET", api+"/labels", nil)
		r.Host, r.RemoteAddr = "127.0.0.1:8095", "127.0.0.1:1234"
		if c.host != "" {
			r.Host = c.host
		}
		if c.from != "" {
			r.RemoteAddr = c.from
		}
		for key, values := range c.header {
			r.Header[key] = values
		}
		if got := call(serve(t, newWorld(), c.access), r); got.Code != c.want {
			t.Errorf("%s: %d %s, want %d", name, got.Code, got.Body, c.want)
		}
	}
}

func TestSession(t *testing.T) {
	handler := serve(t, newWorld(), Access{Token: testToken})
	log := httptest.NewRequest("POST", api+"/session", strings.NewReader(`{"token":"`+testToken+`"}`))
	log.Header.Set("Content-Type", "application/json")
	log.Header.Set("X-Forwarded-Proto", "https")
	log.RemoteAddr = "127.0.0.1:1234"
	cookies := call(handler, log).Result().Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || !cookies[0].Secure || cookies[0].SameSite != http.SameSiteStrictMode || strings.Contains(cookies[0].Value, testToken) {
		t.Fatalf("cookies %v", cookies)
	}
	ask := httptest.NewRequest("GET", api+"/labels", nil)
	ask.AddCookie(cookies[0])
	if answer := call(handler, ask); answer.Code != 200 {
		t.Errorf("with the cookie: %d %s", answer.Code, answer.Body)
	}
	g, err := newGate(Access{Token: testToken}, "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	session := g.newSession(noon.Add(SessionLength))
	for at, want := range map[time.Time]bool{noon: true, noon.Add(SessionLength): false} {
		if g.clock = func() time.Time { return at }; g.isSession(session) != want {
			t.Errorf("at %s: valid is %t", at, !want)
		}
	}
	g.clock = func() time.Time { return noon }
	other := *g
	other.Token = secret.Secret("another token altogether")
	if other.isSession(session) {
		t.Error("a session outlives a change of the token")
	}
	// Pages send people to log in; the page for that is open.
	if page := call(handler, httptest.NewRequest("GET", "/s/BA", nil)); page.Code != http.StatusSeeOther || page.Header().Get("Location") != "/login" {
		t.Errorf("a page without a session: %d %s", page.Code, page.Header())
	}
	if page := call(handler, httptest.NewRequest("GET", "/login", nil)); page.Code != 200 {
		t.Errorf("the log-in page: %d", page.Code)
	}
}

// A page of another site can make a browser send requests; they are refused.
func TestWritesFromOtherSites(t *testing.T) {
	w := newWorld()
	for name, c := range map[string]struct {
		origin, site, kind string
		want               int
	}{
		"this site":                     {origin: "http://127.0.0.1:8095", site: "same-origin", kind: "application/json", want: 201},
		"a program":                     {kind: "application/json; charset=utf-8", want: 201},
		"another site":                  {origin: "https://evil.example", site: "cross-site", kind: "application/json", want: 403},
		"another port":                  {origin: "http://127.0.0.1:9999", site: "same-site", kind: "application/json", want: 403},
		"an old browser elsewhere":      {origin: "https://evil.example", kind: "application/json", want: 403},
		"a form":                        {kind: "application/x-www-form-urlencoded", want: 415},
		"a form that looks like text":   {kind: "text/plain", want: 415},
		"nothing said of what it is":    {want: 415},
		"a form of another site, plain": {site: "cross-site", kind: "text/plain", want: 403},
	} {
		r := httptest.NewRequest("POST", api+"/silences", strings.NewReader(`{"entity":"BA","for":"1h"}`))
		for key, value := range map[string]string{"Origin": c.origin, "Sec-Fetch-Site": c.site, "Content-Type": c.kind} {
			if value != "" {
				r.Header.Set(key, value)
			}
		}
		if got := call(serve(t, w, Access{}), r); got.Code != c.want {
			t.Errorf("%s: %d %s, want %d", name, got.Code, got.Body, c.want)
		}
	}
	for _, m := range w.silences {
		if m.Author != "console:anonymous" || !m.Until.Equal(noon.Add(time.Hour)) {
			t.Errorf("silence %+v", m)
		}
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	handler := serve(t, newWorld(), Access{})
	for _, path := range []string{"/", "/s/BA", "/static/main.js", api + "/labels", api + "/nothing", "/healthz"} {
		h := call(handler, httptest.NewRequest("GET", path, nil)).Header()
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", path, h)
		}
	}
	page := call(handler, httptest.NewRequest("GET", "/", nil)).Body.String()
	if strings.Contains(page, "style=") || strings.Contains(page, "onclick") || strings.Contains(page, "<script>") || strings.Contains(page, "//") && strings.Contains(page, "http") {
		t.Error("the page has inline script or style, or refers to elsewhere")
	}
}

func TestLanguageOfAPage(t *testing.T) {
	handler := serve(t, newWorld(), Access{})
	for _, c := range []struct{ accept, cookie, want string }{
		{"", "", "en"}, {"zh-CN,zh;q=0.9,en;q=0.8", "", "zh-CN"}, {"zh-TW", "", "zh-CN"}, {"fr, en;q=0.5", "", "en"}, {"de", "", "en"}, {"en", "zh-CN", "zh-CN"}, {"zh", "en", "en"}, {"zh", "nonsense", "zh-CN"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Language", c.accept)
		if c.cookie != "" {
			r.AddCookie(&http.Cookie{Name: languageCookie, Value: c.cookie})
		}
		if page := call(handler, r).Body.String(); !strings.Contains(page, `<html lang="`+c.want+`">`) {
			t.Errorf("Accept-Language %q, cookie %q: not %s:\n%.80s", c.accept, c.cookie, c.want, page)
		}
	}
}
