package main

import (
	"fmt"
	"os"
	"time"
)

// measureScale times a backlog of n texts with one replica and with two, each of one thread,
// in a world of its own each time.
func measureScale(data string, n int) error {
	rates := make([]float64, 2)
	for i := range rates {
		var err error
		if rates[i], err = replicaRate(data, n, i+1); err != nil {
			return err
		}
		fmt.Printf("replicas of one thread: %d  %7.0f texts/s   %.2f times one\n", i+1, rates[i], rates[i]/rates[0])
	}
	return nil
}

func replicaRate(data string, n, replicas int) (float64, error) {
	dir, err := os.MkdirTemp("", "barograph-bench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	items, err := sample(data, n)
	if err != nil {
		return 0, err
	}
	b := &bench{dir: dir}
	if err := b.start(); err != nil {
		return 0, err
	}
	defer b.stop()
	for range replicas {
		if err := b.launch(1); err != nil {
			return 0, err
		}
	}
	if err := b.shared(partitions / replicas); err != nil {
		return 0, err
	}
	if err := b.append(items, time.Now(), 0); err != nil {
		return 0, err
	}
	rate, _, err := b.drained(len(items))
	return rate, err
}

// shared waits until every replica has its share of the partitions.
func (b *bench) shared(share int) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		have := 0
		for _, url := range b.metrics {
			its, err := scrape(url)
			if err != nil {
				return err
			}
			if len(its["barograph_ingest_lag"].GetMetric()) == share {
				have++
			}
		}
		if have == len(b.metrics) {
			return nil
		}
	}
	return fmt.Errorf("the partitions were not shared within %s", patience)
}
