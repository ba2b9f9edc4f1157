package classify

import (
	"context"
	"iter"

	"github.com/barograph/barograph/news"
)

// Classify reads items in their order, at the speed of full batches: each turn of the loop
// gets the next item's readings, or its error and what is known without a model. When the
// context ends or the stage closes, the last turn gets that error. Breaking off the loop is
// fine; items in flight are read for nobody then.
//
// The items are drawn in another goroutine than the loop's, at most Queue ahead of it.
func (s *Stage) Classify(ctx context.Context, items iter.Seq[news.Item]) iter.Seq2[[]news.Reading, error] {
	type result struct {
		readings []news.Reading
		err      error
	}
	return func(yield func([]news.Reading, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		pending := make(chan chan result, s.config.Queue)
		defer cancel()
		go func() {
			defer close(pending)
			for it := range items {
				one := make(chan result, 1)
				select {
				case pending <- one:
				case <-ctx.Done():
					return
				}
				err := s.Submit(ctx, it, func(r []news.Reading, err error) { one <- result{r, err} })
				if err != nil {
					one <- result{[]news.Reading{(&job{item: it}).reading()}, err}
					return
				}
			}
		}()
		for {
			select {
			case <-ctx.Done(): // also while items wait for more input
				yield(nil, ctx.Err())
				return
			case one, more := <-pending:
				if !more {
					return
				}
				if r := <-one; !yield(r.readings, r.err) {
					return
				}
			}
		}
	}
}
