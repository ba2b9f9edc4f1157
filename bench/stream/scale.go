package main

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// A replica runs for share of every period. Two of them never run at the same time, and take
// four fifths of one core: what is left of two is Kafka's, Redis' and this program's.
const (
	period = 25 * time.Millisecond
	share  = 10 * time.Millisecond
)

// measureScale times a backlog of n texts with one replica and with two, each of one thread
// on a slice of a core, in a world of its own each time.
func measureScale(data string, n int) error {
	fmt.Printf("replicas of one group, each of one thread that is let run for %s of every %s\n", share, period)
	var one float64
	for replicas := 1; replicas <= 2; replicas++ {
		d, err := replicaRate(data, n, replicas)
		if err != nil {
			return err
		}
		if replicas == 1 {
			one = d.rate
		}
		fmt.Printf("  %d  %7.0f texts/s   %.2f times one   CPU of two cores: replicas %.0f %%, Kafka %.0f %%, Redis %.0f %%, this program %.0f %%\n",
			replicas, d.rate, d.rate/one, d.percent("barograph"), d.percent("java"), d.percent("redis-server"), d.percent("self"))
	}
	return nil
}

// percent is what a server took of the elapsed time of two cores.
func (d drain) percent(server string) float64 { return 100 * d.servers[server] / (2 * d.elapsed) }

func replicaRate(data string, n, replicas int) (d drain, err error) {
	dir, err := os.MkdirTemp("", "barograph-bench-")
	if err != nil {
		return d, err
	}
	defer os.RemoveAll(dir)
	items, err := sample(data, n)
	if err != nil {
		return d, err
	}
	b := &bench{dir: dir}
	if err := b.start(2); err != nil {
		return d, err
	}
	defer b.stop()
	for range replicas {
		if err := b.launch(1); err != nil {
			return d, err
		}
	}
	if err := b.shared(2 / replicas); err != nil {
		return d, err
	}
	defer b.slice()()
	if err := b.append(items, time.Now(), 0); err != nil {
		return d, err
	}
	return b.drained(len(items))
}

// slice lets the replicas run in turn, each for its share of a period, until the function that
// it returns is called.
func (b *bench) slice() (end func()) {
	ended := make(chan struct{})
	var slicers sync.WaitGroup
	start := time.Now()
	for i, monitor := range b.monitors {
		slicers.Go(func() {
			phase := period * time.Duration(i) / time.Duration(len(b.monitors))
			for n := time.Duration(1); ; n++ {
				begin := start.Add(n*period + phase)
				time.Sleep(time.Until(begin))
				_ = monitor.Process.Signal(syscall.SIGCONT)
				select {
				case <-ended:
					return
				case <-time.After(time.Until(begin.Add(share))):
				}
				_ = monitor.Process.Signal(syscall.SIGSTOP)
			}
		})
	}
	return func() {
		close(ended)
		slicers.Wait() // each has let its replica go on
	}
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
