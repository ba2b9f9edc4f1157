package main

import (
	"fmt"
	"time"

	"github.com/barograph/barograph/news"
)

// lookAtMarket says whose days the week follows, and how long they are known. That they end
// soon is a finding; that they have ended is an error.
func lookAtMarket(code string, now time.Time) (string, error) {
	m, err := marketOf(code)
	if err != nil {
		return "", err
	}
	end := m.KnownUntil()
	if !now.Before(end) {
		return "", fmt.Errorf("%s: holidays were known to the end of %d; the week has had weekends only since", m, m.Known())
	}
	finding := fmt.Sprintf("%s, %s, holidays known to the end of %d", m, m.Zone(), m.Known())
	if m.RunsOut(now) {
		days := int(end.Sub(now).Hours()/24) + 1
		finding += fmt.Sprintf("\nthat is %s from now, and then the week has weekends only: take a newer version of Barograph before", news.Counted(days, "day"))
	}
	return finding, nil
}
