package alert

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/news"
)

func newWebhook(t *testing.T, url string) *Webhook {
	t.Helper()
	w, err := NewWebhook(WebhookConfig{URL: url, Secret: "s3cret", Clock: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A receiver checks the signature over timestamp and body, and drops what it has seen by
// the idempotency key.
func TestWebhookRequest(t *testing.T) {
	var header http.Header
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
	}))
	defer server.Close()
	d := Delivery{Alert: opened(burst(apple, noon, 31, 4), 6).Alert, Action: Fire, Revision: 1}
	if _, err := newWebhook(t, server.URL).Deliver(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	var got news.Alert
	if err := json.Unmarshal(body, &got); err != nil || got.ID != d.Alert.ID || got.Negative != 31 || got.Status != news.Firing {
		t.Errorf("body %s (%v)", body, err)
	}
	stamp := header.Get("Barograph-Timestamp")
	if stamp != "1773144000" || header.Get("Barograph-Signature") != "v1="+Signature("s3cret", stamp, body) {
		t.Errorf("timestamp %s, signature %s", stamp, header.Get("Barograph-Signature"))
	}
	if want := d.Alert.ID + "-firing-1"; header.Get("Idempotency-Key") != want {
		t.Errorf("idempotency key %q, want %q", header.Get("Idempotency-Key"), want)
	}
}

// A signature from another implementation:
// printf '1773144000.{}' | openssl dgst -sha256 -hmac s3cret
func TestSignature(t *testing.T) {
	const want = "b05da57f36703e2c822198fd5fc8a789e58ec051b411019fd8934d3124c6b383"
	if got := Signature("s3cret", "1773144000", []byte("{}")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWebhookAnswers(t *testing.T) {
	tests := []struct {
		status     int
		retryAfter string
		ok         bool
		want       DeliveryError
	}{
		{status: 200, ok: true},
		{status: 204, ok: true},
		{status: 302, want: DeliveryError{Refused: true, Misplaced: true}},
		{status: 400, want: DeliveryError{Refused: true, Hopeless: true}},
		{status: 401, want: DeliveryError{Refused: true, Misplaced: true}},
		{status: 403, want: DeliveryError{Refused: true, Misplaced: true}},
		{status: 404, want: DeliveryError{Refused: true, Misplaced: true}},
		{status: 408, want: DeliveryError{}},
		{status: 410, want: DeliveryError{Refused: true, Hopeless: true}},
		{status: 425, want: DeliveryError{}},
		{status: 429, retryAfter: "7", want: DeliveryError{Refused: true, After: 7 * time.Second}},
		{status: 429, retryAfter: "soon", want: DeliveryError{Refused: true}},
		{status: 500, want: DeliveryError{}},
		{status: 503, want: DeliveryError{}},
	}
	for _, tt := range tests {
		t.Run(http.StatusText(tt.status)+tt.retryAfter, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				w.WriteHeader(tt.status)
			}))
			defer server.Close()
			_, err := newWebhook(t, server.URL).Deliver(t.Context(), Delivery{})
			var got *DeliveryError
			if tt.ok != (err == nil) || (!tt.ok && !errors.As(err, &got)) {
				t.Fatalf("error %v", err)
			}
			if got == nil {
				return
			}
			if tt.want.Err = got.Err; *got != tt.want {
				t.Errorf("got %+v, want %+v", *got, tt.want)
			}
		})
	}
}

// An address may hold a token: no error shows it.
func TestWebhookAddressStaysSecret(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close() // nobody listens
	_, err := newWebhook(t, server.URL+"/hooks/T0KEN").Deliver(t.Context(), Delivery{})
	if err == nil || strings.Contains(err.Error(), "T0KEN") {
		t.Errorf("error %v", err)
	}
	for _, address := range []string{"", "T0KEN", "ftp://x/T0KEN", "http://", "http://a b/T0KEN"} {
		if _, err := NewWebhook(WebhookConfig{URL: address, Secret: secret.Secret("x")}); err == nil || strings.Contains(err.Error(), "T0KEN") {
			t.Errorf("NewWebhook(%q): %v", address, err)
		}
	}
}

// A template makes another shape; what is foreign cannot break out of it.
func TestWebhookTemplate(t *testing.T) {
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { body, _ = io.ReadAll(r.Body) }))
	defer server.Close()
	w, err := NewWebhook(WebhookConfig{URL: server.URL, Body: `{"text": {{json .Title}}, "n": {{.Alert.Negative}}, "action": {{json .Action}},
		"texts": [{{range $i, $e := .Alert.Evidence}}{{if $i}}, {{end}}{{json $e.Title}}{{end}}]}`})
	if err != nil {
		t.Fatal(err)
	}
	a := hostile()
	a.Series.Entity = `", "admin": true, "x": "`
	if _, err := w.Deliver(t.Context(), Delivery{Alert: a, Action: Fire, Revision: 1}); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil || len(got) != 4 || got["n"] != 31. || got["action"] != "fire" || len(got["texts"].([]any)) != 3 {
		t.Errorf("body %s (%v)", body, err)
	}
	for _, wrong := range []string{`{{.Nothing}}`, `{"text": {{.Title}}}`, `{"text": "{{.Series}}"}`, `{{`, `{"n": {{.Alert.Nothing}}}`} {
		if _, err := NewWebhook(WebhookConfig{URL: server.URL, Body: wrong}); err == nil {
			t.Errorf("the template %s is taken", wrong)
		}
	}
}
