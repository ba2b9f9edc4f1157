package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/barograph/barograph/news"
)

// bare is the peer: the same texts through the models alone. cpu is what they take of it, in
// seconds, without what it takes to load the models.
func (b *bench) bare(items []news.Item) (perSecond, cpu float64, err error) {
	_, loading, err := peer(items[:1])
	if err != nil {
		return 0, 0, err
	}
	perSecond, cpu, err = peer(items)
	return perSecond, cpu - loading, err
}

func peer(items []news.Item) (perSecond, cpu float64, err error) {
	var lines bytes.Buffer
	for _, item := range items {
		if err := json.NewEncoder(&lines).Encode(item); err != nil {
			return 0, 0, err
		}
	}
	command := exec.Command("bin/barograph", "classify")
	command.Stdin = &lines
	var report bytes.Buffer
	command.Stderr = &report
	if err := command.Run(); err != nil {
		return 0, 0, fmt.Errorf("barograph classify: %w\n%s", err, report.String())
	}
	var count int
	var texts string // or text
	var seconds float64
	if _, err := fmt.Sscanf(strings.TrimSpace(report.String()), "%d %s in %f s", &count, &texts, &seconds); err != nil {
		return 0, 0, fmt.Errorf("barograph classify said %q", report.String())
	}
	used := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	return float64(count) / seconds, used.Seconds(), nil
}

// warm has a monitor read some texts, so that Kafka has compiled what it runs.
func (b *bench) warm(items []news.Item) error {
	if _, _, err := b.backlog(items); err != nil {
		return err
	}
	b.stopMonitors()
	return nil
}

// drain is a backlog read to its end, from the first decision seen to the last.
type drain struct {
	rate       float64 // texts a second
	elapsed    float64 // seconds
	begin, end families
	servers    map[string]float64 // CPU seconds of each server, and of this program
}

// backlog appends all texts, starts the monitor and times it. cpu is what the monitor took in
// all, in seconds, without what it took to load the models.
func (b *bench) backlog(items []news.Item) (d drain, cpu float64, err error) {
	if err := b.append(items, time.Now(), 0); err != nil {
		return d, 0, err
	}
	if err := b.launch(0); err != nil {
		return d, 0, err
	}
	loaded, err := b.scrape()
	if err != nil {
		return d, 0, err
	}
	d, err = b.drained(len(items))
	return d, d.end.value("process_cpu_seconds_total") - loaded.value("process_cpu_seconds_total"), err
}

// drained waits until n texts have been decided about.
func (b *bench) drained(n int) (d drain, err error) {
	const decided = "barograph_append_to_decision_seconds"
	var first time.Time
	var before map[string]float64
	pause := look
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(pause) {
		now, err := b.scrape()
		if err != nil {
			return d, err
		}
		at := time.Now()
		done := now.count(decided)
		if first.IsZero() && done > 0 {
			first, d.begin, before = at, now, serverTimes()
		}
		if done >= float64(n) {
			d.elapsed, d.end, d.servers = at.Sub(first).Seconds(), now, serverTimes()
			for name := range d.servers {
				d.servers[name] -= before[name]
			}
			d.rate = (done - d.begin.count(decided)) / d.elapsed
			return d, nil
		}
		if since := at.Sub(first); !first.IsZero() && done > d.begin.count(decided) {
			left := time.Duration((float64(n) - done) / (done - d.begin.count(decided)) * float64(since))
			pause = min(max(left/2, look), longLook)
		}
	}
	return d, fmt.Errorf("the backlog was not read within %s", patience)
}

// look is how often the metrics are read near the beginning and the end of a backlog, longLook in
// between: each time takes the monitor and this program some milliseconds of the cores that are
// measured.
const (
	look     = 50 * time.Millisecond
	longLook = time.Second
)

// where prints how busy each part was over the backlog's time. The parts overlap: they are
// shares of the elapsed time, not of a whole.
func (d drain) where() {
	sum := func(metric, label string) float64 {
		return d.end.seconds(metric, label) - d.begin.seconds(metric, label)
	}
	fmt.Printf("  where the time goes, of %.1f s elapsed (parts overlap)\n", d.elapsed)
	const busy = "barograph_classify_busy_seconds_total"
	for _, part := range []struct {
		name    string
		seconds float64
	}{
		{"a model runs (at least one batch)", d.end.value(busy) - d.begin.value(busy)},
		{"batches, summed over cores", sum("barograph_classify_seconds", "infer")},
		{"tokenise", sum("barograph_classify_seconds", "tokenise")},
		{"readings to Kafka", sum("barograph_settle_seconds", "readings")},
		{"counts and decisions in Redis", sum("barograph_settle_seconds", "trend")},
		{"CPU: the monitor", d.end.value("process_cpu_seconds_total") - d.begin.value("process_cpu_seconds_total")},
		{"CPU: Kafka", d.servers["java"]},
		{"CPU: Redis", d.servers["redis-server"]},
		{"CPU: this program", d.servers["self"]},
	} {
		fmt.Printf("    %-34s %7.2f s  %5.1f %%\n", part.name, part.seconds, 100*part.seconds/d.elapsed)
	}
	settled := d.end["barograph_settle_seconds"].GetMetric()[0].GetHistogram().GetSampleCount()
	fmt.Printf("  %.0f readings in each write to Kafka\n", d.end.count("barograph_append_to_decision_seconds")/float64(settled))
	text, padding := d.end.tokens()
	fmt.Printf("  tokens: %.0f of text, %.0f of padding (%.1f %%)\n", text, padding, 100*padding/(text+padding))
}
