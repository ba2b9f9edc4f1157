package main

import (
	"fmt"
	"time"

	"github.com/barograph/barograph/bench/summary"
	"github.com/barograph/barograph/news"
)

// halfLoad appends texts at an even rate and reports how long each took to its decision.
func (b *bench) halfLoad(items []news.Item, rate float64, steady time.Duration) error {
	before, err := b.scrape()
	if err != nil {
		return err
	}
	count := min(int(rate*steady.Seconds()), len(items))
	start := time.Now()
	const tick = 10 * time.Millisecond
	for sent := 0; sent < count; {
		due := min(int(rate*time.Since(start).Seconds()), count)
		if due > sent {
			apart := time.Duration(float64(time.Second) / rate)
			if err := b.append(items[sent:due], start.Add(time.Duration(sent)*apart), apart); err != nil {
				return err
			}
			sent = due
		}
		time.Sleep(tick)
	}
	took := time.Since(start)
	const name = "barograph_append_to_decision_seconds"
	var after families
	for deadline := time.Now().Add(patience); after.count(name) < before.count(name)+float64(count); {
		if time.Now().After(deadline) {
			return fmt.Errorf("the half load was not read within %s", patience)
		}
		time.Sleep(50 * time.Millisecond)
		if after, err = b.scrape(); err != nil {
			return err
		}
	}
	fmt.Printf("half load: %d texts at %.0f a second\n", count, float64(count)/took.Seconds())
	for _, q := range []float64{0.5, 0.9, 0.99} {
		fmt.Printf("  append to decision, p%-2.0f  %6.0f ms\n", 100*q, 1000*quantile(before[name], after[name], q))
	}
	return summary.Row("Kafka to decision, half load, p99", fmt.Sprintf("%.0f ms", 1000*quantile(before[name], after[name], 0.99)), "250 ms are asked for", "")
}
