package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/barograph/barograph/trend"
)

// A quiet series of two days and then ten negative events in ten minutes: one alert, at
// the arrival of the event that tipped it.
func TestReplayWritesOneAlertForASpike(t *testing.T) {
	var events strings.Builder
	line := func(i int, at, neg float64) {
		fmt.Fprintf(&events, `{"id":"n%d","ts":%.1f,"arrival":%.1f,"entity":"E1","topic":"legal","neg":%g,"neu":%g,"pos":0,"text":"t%d"}`+"\n", i, at, at+5, neg, 1-neg, i)
	}
	const start = 1772409600
	for i := range 48 {
		line(i, start+3600*float64(i), .1)
	}
	for i := range 10 {
		line(100+i, start+48*3600+60*float64(i), .9)
	}
	var out bytes.Buffer
	if err := replay(strings.NewReader(events.String()), json.NewEncoder(&out), trend.NewReplay(trend.Rule{})); err != nil {
		t.Fatal(err)
	}
	var got alert
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	if got.Key != "E1/legal" || got.T < start+48*3600 || got.T > start+48*3600+600 {
		t.Errorf("alert %+v", got)
	}
}

func TestReplayRefusesHalfALine(t *testing.T) {
	err := replay(strings.NewReader(`{"id":"n1"}`+"\n"+`{"id":`), json.NewEncoder(&bytes.Buffer{}), trend.NewReplay(trend.Rule{}))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want that of half a line", err)
	}
}
