package finetune

import (
	"fmt"
	"slices"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
)

// maxLoss is how much macro-F1 int8, or fp16, may cost before the bundle asks for fp32.
const maxLoss = 0.005

// Cost is what a precision costs a head, on all of its validation rows. Its Gain is the
// precision's over fp32: a cost is below 0.
type Cost struct {
	Precision bert.Precision
	Task      string
	classify.Comparison
}

// costs compares what the bundle says in a precision and in fp32, for each head with rows.
func (j *job) costs(p bert.Precision, exact, said []classify.Prediction) (costs []Cost, err error) {
	for h, head := range j.heads {
		truth, first := labelledRows(j.data.valid, h, all, said)
		_, other := labelledRows(j.data.valid, h, all, exact)
		if len(truth) == 0 {
			continue
		}
		c, err := classify.Compare(head.Labels, truth, first, other)
		if err != nil {
			return nil, err
		}
		costs = append(costs, Cost{p, head.Task, c})
	}
	return costs, nil
}

// instead is what a bundle must run in where a precision has these costs: fp32 where it costs a
// head too much, else "". The figure seen decides, and not its interval: on the usual thousand rows
// that is wider than what is allowed, and either way of reading it would decide all bundles alike.
func instead(costs []Cost) bert.Precision {
	if slices.ContainsFunc(costs, func(c Cost) bool { return -c.Gain > maxLoss }) {
		return bert.FP32
	}
	return ""
}

// Unsure says that the rows are too few to tell whether a precision costs more than is allowed:
// that is within the interval of the paired bootstrap. Where it got no row wrong that fp32 has right,
// resamples show no loss, and there may be one of 3 in so many rows all the same (the rule of
// three; Hanley and Lippman-Hand 1983, "If nothing goes wrong, is everything all right?").
func (c Cost) Unsure() bool {
	low := c.Low
	if c.OnlyOther == 0 {
		low = min(low, -3/float64(c.Rows))
	}
	return low < -maxLoss && c.High >= -maxLoss
}

// String is the cost in points of macro-F1, its interval, and whether the rows can tell.
func (c Cost) String() string {
	points := func(gain float64) string { return fmt.Sprintf("%+.1f", 100*gain) }
	doubt := ""
	if c.Unsure() {
		doubt = fmt.Sprintf(": too few rows to tell whether it costs more than %.1f", 100*maxLoss)
	}
	return fmt.Sprintf("%s: %s points of macro-F1 by %s, in 95 %% of resamples of the %d rows %s to %s%s",
		c.Task, points(c.Gain), c.Precision, c.Rows, points(c.Low), points(c.High), doubt)
}
