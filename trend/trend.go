// Package trend counts readings in windows of event time and says which series stand
// out: a rule on negative readings against what the series' own past, at today's volume,
// leads one to expect.
//
// The rule is made of pure functions (rule.go, baseline.go); Store keeps their state in
// Redis for any number of replicas, Replay keeps it in memory for history.
package trend

import "time"

// DefaultHistory is how long buckets are kept, and how old an item may be to be counted.
const DefaultHistory = 24 * time.Hour
