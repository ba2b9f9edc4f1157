package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"github.com/barograph/barograph/news"
)

// described checks requests and answers against openapi.yaml, and remembers which
// operations were seen.
type described struct {
	validator.Validator
	left map[string]bool // operations not seen yet, as "GET /path"
}

func newDescribed(t *testing.T) *described {
	t.Helper()
	document, err := libopenapi.NewDocument(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	v, faults := validator.NewValidator(document)
	if len(faults) > 0 {
		t.Fatal(errors.Join(faults...))
	}
	if valid, faults := v.ValidateDocument(); !valid {
		for _, fault := range faults {
			t.Error(fault.Error())
		}
	}
	built, err := document.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	d := &described{Validator: v, left: map[string]bool{}}
	for path, item := range built.Model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			d.left[strings.ToUpper(method)+" "+path] = true
		}
	}
	return d
}

func TestTheDescriptionIsOfTheHandlers(t *testing.T) {
	s := &Server{}
	d := newDescribed(t)
	routes := map[string]bool{"GET /events": true, "GET /openapi.json": true, "GET /session": true, "POST /session": true, "DELETE /session": true}
	for route := range s.routes() {
		routes[route] = true
	}
	for route := range routes {
		if !d.left[route] {
			t.Errorf("%s is served and not described", route)
		}
	}
	for operation := range d.left {
		if !routes[operation] {
			t.Errorf("%s is described and not served", operation)
		}
	}
}

// TestAnswersAreAsDescribed calls every operation, well and badly, and holds requests and
// answers against the description.
func TestAnswersAreAsDescribed(t *testing.T) {
	w := newWorld()
	w.index.AddReadings([]news.Reading{reading("a", 5, .9, "BA"), reading("b", 50, .1, "BA", "AIR"), reading("c", 500, .1)}, false)
	w.firing = append(w.firing, alertOf("a1", "BA", time.Hour))
	w.index.AddAlert(alertOf("a1", "BA", time.Hour), noon.Add(-time.Hour), "k1", false)
	d := newDescribed(t)
	const bad = false
	for _, c := range []struct {
		request, body string
		status        int
		described     bool // the request is; its answer always is
	}{
		{"GET /overview", "", 200, true},
		{"GET /overview?x=1", "", 400, true},
		{"GET /series", "", 200, true},
		{"GET /series?kind=company&q=b&limit=1&offset=1", "", 200, true},
		{"GET /series?kind=firm", "", 400, bad},
		{"GET /series?limit=0", "", 400, bad},
		{"GET /series?limit=007", "", 400, true},
		{"GET /series/BA/-", "", 200, true},
		{"GET /series/-/M%26A%20%7C%20Investments", "", 200, true},
		{"GET /series/BA/Earnings?range=7d", "", 200, true},
		{"GET /series/BA/Earnings?from=2026-11-24T08:00:00Z&to=2026-11-24T09:00:00%2B00:00", "", 200, true},
		{"GET /series/BA/Earnings?from=2026-11-24T08:00:00Z", "", 400, true},
		{"GET /series/BA/Earnings?from=2026-11-24T08:00:00Z&to=2026-11-24T07:00:00Z", "", 400, true},
		{"GET /series/BA/Earnings?range=1h&to=2026-11-24T07:00:00Z", "", 400, true},
		{"GET /series/BA/-?kind=positive&range=1h", "", 200, true},
		{"GET /series/BA/-?kind=neutral", "", 400, bad},
		{"GET /series/BA/-/spikes?kind=positive", "", 400, true},
		{"GET /series/B%00A/-", "", 404, true},
		{"GET /series/BA/-/windows", "", 200, true},
		{"GET /series/BA/-/spikes", "", 200, true},
		{"GET /series/BA/-/spikes?range=1h", "", 200, true},
		{"GET /alerts", "", 200, true},
		{"GET /alerts?status=firing&entity=ba&limit=1", "", 200, true},
		{"GET /alerts/a1", "", 200, true},
		{"GET /alerts/none", "", 404, true},
		{"POST /alerts/a1/acknowledge", `{}`, 204, true},
		{"POST /alerts/none/acknowledge", `{}`, 404, true},
		{"POST /alerts/a1/mute", `{"for":"1h"}`, 204, true},
		{"POST /alerts/a1/mute", `{"for":"resolved"}`, 204, true},
		{"POST /alerts/a1/mute", `{"for":"ever"}`, 422, bad},
		{"GET /items?entity=ba&sentiment=negative&q=TITLE&limit=1", "", 200, true},
		{"GET /items?after=nonsense", "", 400, true},
		{"GET /items?from=yesterday", "", 400, bad},
		{"POST /silences", `{"entity":"BA","for":"4h","comment":"earnings day"}`, 201, true},
		{"POST /silences", `{"entity":"BA","for":"1s"}`, 422, bad},
		{"POST /silences", `{"for":"1h"}`, 422, bad},
		{"POST /silences", `{"entity":"BA","for":"4h","forever":true}`, 400, bad},
		{"POST /silences", `{"entity":"BA","for":"4h"} {}`, 400, bad},
		{"POST /silences", `{"entity":"` + strings.Repeat("A", maxBody) + `","for":"1h"}`, 413, bad},
		{"GET /silences", "", 200, true},
		{"DELETE /silences/s1", "", 204, true},
		{"DELETE /silences/s1", "", 404, true},
		{"POST /labels", `{"id":"a","source":"wire","task":"sentiment","label":"neutral"}`, 201, true},
		{"POST /labels", `{"id":"a","task":"topic","label":"Legal"}`, 201, true},
		{"POST /labels", `{"id":"a","task":"topic","label":"Gardening"}`, 422, true},
		{"POST /labels", `{"id":"b","task":"entity","label":"not_about","entity":"AIR"}`, 201, true},
		{"POST /labels", `{"id":"b","task":"entity","label":"not_about","entity":"IBM"}`, 422, true},
		{"POST /labels", `{"id":"a","task":"sentiment","label":"glum"}`, 422, true},
		{"POST /labels", `{"id":"zz","task":"sentiment","label":"neutral"}`, 404, true},
		{"GET /labels", "", 200, true},
		{"GET /labels?limit=1", "", 200, true},
		{"GET /models", "", 200, true},
		{"GET /session", "", 200, true},
		{"POST /session", `{"token":"not the token"}`, 401, true},
		{"POST /session", `{"token":"` + testToken + `"}`, 204, true},
		{"DELETE /session", "", 204, true},
		{"GET /openapi.json", "", 200, true},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		newRequest := func() *http.Request {
			r := httptest.NewRequest(method, api+path, strings.NewReader(c.body))
			if c.body != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			return r
		}
		access := Access{}
		if strings.Contains(c.body, testToken) {
			access.Token = testToken
		}
		answer := call(serve(t, w, access), newRequest())
		if answer.Code != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.request, c.body, answer.Code, answer.Body, c.status)
			continue
		}
		d.check(t, newRequest(), answer.Result(), c.described)
	}
	delete(d.left, "GET /events") // a stream: TestEvents
	for operation := range d.left {
		t.Errorf("%s was not called with success", operation)
	}
}

func (d *described) check(t *testing.T, request *http.Request, answer *http.Response, requestToo bool) {
	t.Helper()
	name := request.Method + " " + request.URL.RequestURI()
	if requestToo {
		if valid, faults := d.ValidateHttpRequest(request); !valid {
			for _, fault := range faults {
				t.Errorf("%s: the request: %s: %s", name, fault.Message, fault.Reason)
			}
		}
	}
	if valid, faults := d.ValidateHttpResponse(request, answer); !valid {
		for _, fault := range faults {
			t.Errorf("%s: the answer: %s: %s %v", name, fault.Message, fault.Reason, fault.SchemaValidationErrors)
		}
	}
	if answer.StatusCode < 300 {
		for operation := range d.left {
			method, path, _ := strings.Cut(operation, " ")
			if method == request.Method && sameShape(path, strings.TrimPrefix(request.URL.EscapedPath(), api)) {
				delete(d.left, operation)
			}
		}
	}
}

func sameShape(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	for i := range want {
		if len(want) != len(got) || want[i] != got[i] && !strings.HasPrefix(want[i], "{") {
			return false
		}
	}
	return true
}

func TestTroubleIsNotShown(t *testing.T) {
	w := newWorld()
	w.broken = errors.New("dial tcp 10.1.2.3:6379: connection refused")
	for _, path := range []string{"/overview", "/series/BA/-", "/alerts", "/silences", "/labels"} {
		answer := call(serve(t, w, Access{}), httptest.NewRequest("GET", api+path, nil))
		text, _ := io.ReadAll(answer.Body)
		if answer.Code != 503 || strings.Contains(string(text), "10.1.2.3") || answer.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", path, answer.Code, text)
		}
	}
}

func TestWhatThereIsNot(t *testing.T) {
	for request, want := range map[string]int{"GET /nothing": 404, "PUT /labels": 405, "DELETE /overview": 405, "POST /series/BA/-": 405} {
		method, path, _ := strings.Cut(request, " ")
		if answer := call(serve(t, newWorld(), Access{}), httptest.NewRequest(method, api+path, nil)); answer.Code != want || !strings.Contains(answer.Body.String(), `"status"`) {
			t.Errorf("%s: %d %s, want %d", request, answer.Code, answer.Body, want)
		}
	}
}

// The windows are the rule's, and a day; the fake counts two items in each five minutes.
func TestWindowsAreTheRules(t *testing.T) {
	var got struct {
		Windows []struct {
			Length news.Duration
			Items  int
		}
	}
	answer := call(serve(t, newWorld(), Access{}), httptest.NewRequest("GET", api+"/series/BA/-/windows", nil))
	if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{time.Hour, 8 * time.Hour, 24 * time.Hour}
	if len(got.Windows) != len(want) {
		t.Fatalf("windows %+v, want %v", got.Windows, want)
	}
	for i, w := range got.Windows {
		if time.Duration(w.Length) != want[i] || w.Items != 2*int(want[i]/(5*time.Minute)) {
			t.Errorf("window %+v, want %v", w, want[i])
		}
	}
}

// Beside an alert stand the others of its series, however many others there are; and beside a
// series the alert about bad news.
func TestOtherAlertsOfTheSeries(t *testing.T) {
	w := newWorld()
	w.index.AddReadings([]news.Reading{reading("a", 5, .9, "BA")}, false)
	for i := range 30 {
		w.index.AddAlert(alertOf(fmt.Sprint("new", i), "AIR", time.Duration(i)*time.Minute), noon, "k", false)
	}
	w.index.AddAlert(alertOf("old", "BA", 5*time.Hour), noon, "k", false)
	w.index.AddAlert(alertOf("older", "BA", 9*time.Hour), noon, "k", false)
	good := alertOf("good", "BA", time.Hour)
	good.Kind = news.SpikePositive
	w.firing = append(w.firing, alertOf("bad", "BA", 2*time.Hour), good)
	handler := serve(t, w, Access{})
	var alert struct{ Others []struct{ ID string } }
	if err := json.Unmarshal(call(handler, httptest.NewRequest("GET", api+"/alerts/old", nil)).Body.Bytes(), &alert); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(alert.Others), "[{good} {bad} {older}]"; got != want {
		t.Errorf("others %s, want %s", got, want)
	}
	var series struct{ Outlook struct{ Alert string } }
	if err := json.Unmarshal(call(handler, httptest.NewRequest("GET", api+"/series/BA/-", nil)).Body.Bytes(), &series); err != nil || series.Outlook.Alert != "bad" {
		t.Errorf("alert %q, %v", series.Outlook.Alert, err)
	}
}
