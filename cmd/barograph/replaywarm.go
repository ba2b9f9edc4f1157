package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// warming gives the Redis of the configuration the past that a replay learns.
type warming struct {
	client  redis.UniversalClient
	store   *trend.Store
	history time.Duration
	warmUp  time.Duration
	prefix  string
	began   time.Time
	said    io.Writer

	recent []news.Reading // not counted yet
	ahead  int            // readings that arrive after now
}

// countAtOnce is how many of the recent readings are counted together.
const countAtOnce = 2048

// openWarming makes sure that Redis is there before history is read.
func openWarming(ctx context.Context, cfg config, said io.Writer) (*warming, error) {
	client, err := openRedis(cfg.Redis)
	if err != nil {
		return nil, err
	}
	store, err := trend.New(trend.Config{Redis: client, Prefix: cfg.Redis.Prefix, History: cfg.Trend.History,
		Rule: ruleOf(cfg.Trend), Log: newLogger(logConfig{Level: slog.LevelWarn})})
	if err == nil {
		_, err = store.Since(ctx)
	}
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("Redis, which is to be warmed: %w", err)
	}
	w := &warming{client: client, store: store, history: cfg.Trend.History, prefix: cfg.Redis.Prefix, began: time.Now(), said: said}
	if w.warmUp = cfg.Trend.WarmUp; w.warmUp < 0 {
		w.warmUp = 0
	}
	return w, nil
}

// takes tells whether the moment is of the past. What arrives after now would take the
// baselines to a time that is to come.
func (w *warming) takes(m moment) bool {
	if m.at.After(w.began.Add(time.Minute)) {
		w.ahead++
		return false
	}
	return true
}

// add counts the reading if the monitor could have counted it, too.
func (w *warming) add(ctx context.Context, r *news.Reading) error {
	if r.PublishedAt.Before(w.began.Add(-w.history)) {
		return nil
	}
	if w.recent = append(w.recent, *r); len(w.recent) < countAtOnce {
		return nil
	}
	return w.flush(ctx)
}

func (w *warming) flush(ctx context.Context) error {
	if err := w.store.Count(ctx, w.recent); err != nil {
		return err
	}
	w.recent = w.recent[:0]
	return nil
}

// finish lets the store adopt what history has learnt.
func (w *warming) finish(ctx context.Context, h *trend.History) error {
	if err := w.flush(ctx); err != nil {
		return err
	}
	if w.ahead > 0 {
		fmt.Fprintf(w.said, "%s after now: not taken\n", news.Counted(w.ahead, "reading"))
	}
	last := time.Now()
	adopted, err := w.store.Adopt(ctx, h, func(done, of int) {
		if time.Since(last) >= 2*time.Second {
			last = time.Now()
			fmt.Fprintf(w.said, "warming: %d of %d series\n", done, of)
		}
	})
	if errors.Is(err, trend.ErrGrown) {
		return fmt.Errorf("nothing was changed: %w, which is longer than trend.history: their warm-up is over, or begin anew with another redis.prefix", err)
	}
	if err != nil {
		return fmt.Errorf("warming (run it again, it goes on from there): %w", err)
	}
	fmt.Fprintf(w.said, "%s\n", w.outcome(adopted))
	return nil
}

func (w *warming) outcome(a trend.Adopted) string {
	since := a.Since.Format("2006-01-02 15:04")
	if a.Series == 0 {
		return fmt.Sprintf("nothing to do: the series under %s know the past since %s UTC already", w.prefix, since)
	}
	text := fmt.Sprintf("warmed: %d series under %s know the past since %s UTC", a.Series, w.prefix, since)
	if ready := a.Since.Add(w.warmUp); ready.After(time.Now()) {
		return text + fmt.Sprintf("; trend.warm_up is over at %s UTC", ready.Format("2006-01-02 15:04"))
	}
	return text + "; a monitor speaks from its next reading on"
}
