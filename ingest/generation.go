package ingest

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

// generation reads the partitions that this member has in one generation of the group and
// commits what is done, through the generation only: Kafka refuses a commit of a generation
// that is over, so a partition that was taken away cannot be committed by its old owner.
//
// alive ends when the group rebalances or the broker is lost; kafka-go joins again when
// this function returns. It reports false when the topics that exist are not those of the
// group any more.
func (g *group) generation(ctx, alive context.Context, generation *kafka.Generation, topics map[string]int, deliver deliver) (sameTopics bool) {
	work, finish := context.WithCancel(context.WithoutCancel(ctx))
	defer finish()
	fetching, stop := context.WithCancel(alive)
	defer stop()

	progress := make(chan struct{}, 1)
	partitions := g.assigned(work, generation, progress)
	if len(partitions) > 0 {
		g.log.Info("joined", "generation", generation.ID, "partitions", len(partitions))
	} else {
		g.log.Warn("joined, but no partition is left: this replica reads nothing until the topics get more partitions or another replica leaves",
			"generation", generation.ID, "partitions", topics)
	}
	for _, p := range partitions {
		g.spawn(func() { p.read(fetching, deliver) })
	}

	commits := &committer{generation: generation, partitions: partitions, metrics: g.metrics, log: g.log}
	sameTopics = g.tend(ctx, alive, commits, topics)
	stop()
	g.settle(ctx, alive, commits, progress)
	finish()
	commits.commit()
	g.left = 0
	for _, p := range partitions {
		g.left += p.inFlight()
		p.share.retire()
		g.metrics.dropLag(p)
	}
	if g.left > 0 {
		g.log.Warn("generation ended with messages in flight; they will be read again", "generation", generation.ID, "messages", g.left)
	}
	return sameTopics
}

// mostBehind is how many times MaxItems a partition may be ahead of its first message that is not
// done: 16 MB of marks for each partition at 1,024 items.
const mostBehind = 1024

// assigned makes the partitions of a generation.
func (g *group) assigned(work context.Context, generation *kafka.Generation, progress chan<- struct{}) []*partition {
	var partitions []*partition
	for _, topic := range slices.Sorted(maps.Keys(generation.Assignments)) {
		for _, a := range generation.Assignments[topic] {
			partitions = append(partitions, &partition{group: g, ctx: work, topic: topic, id: a.ID, begin: a.Offset, committed: a.Offset,
				most: mostBehind * g.budget.max.items, room: make(chan struct{}, 1), progress: progress,
				count: g.metrics.messages.WithLabelValues(topic)})
		}
	}
	for i, share := range g.budget.divide(len(partitions)) {
		partitions[i].share = share
		partitions[i].chunk = min(max(g.budget.max.bytes/int64(4*len(partitions)), 64<<10), 1<<20)
	}
	return partitions
}

// tend commits from time to time until the generation or ctx ends or the partitions of the
// topics are not those that were assigned.
func (g *group) tend(ctx, alive context.Context, commits *committer, topics map[string]int) (sameTopics bool) {
	commit := time.NewTicker(g.commitInterval)
	defer commit.Stop()
	look := time.NewTicker(topicsInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return true
		case <-alive.Done():
			return true
		case <-commit.C:
			commits.commit()
		case <-look.C:
			now, err := g.partitions(ctx)
			if err == nil && !maps.Equal(now, topics) {
				g.log.Info("the topics' partitions have changed; joining again", "before", topics, "now", now)
				return slices.Equal(slices.Sorted(maps.Keys(now)), slices.Sorted(maps.Keys(topics)))
			}
		}
	}
}

// settle waits for what is in flight: for DrainTimeout when ctx has ended (heartbeats go on
// meanwhile), for RevokeWait when the generation has.
func (g *group) settle(ctx, alive context.Context, commits *committer, progress <-chan struct{}) {
	revoked := alive.Done()
	limit := g.revokeWait
	if ctx.Err() != nil {
		limit = g.drainTimeout
	}
	end := time.NewTimer(limit)
	defer end.Stop()
	commit := time.NewTicker(g.commitInterval)
	defer commit.Stop()
	for !commits.idle() {
		select {
		case <-progress:
		case <-commit.C:
			commits.commit()
		case <-revoked:
			revoked = nil
			end.Reset(min(limit, g.revokeWait))
		case <-end.C:
			return
		}
	}
}

// committer commits a generation's offsets.
type committer struct {
	generation *kafka.Generation
	partitions []*partition
	metrics    *metrics
	log        *slog.Logger
}

// commit commits each partition's first offset that is not done, where it has moved. What
// fails is tried again at the next call.
func (c *committer) commit() {
	offsets := map[string]map[int]int64{}
	for _, p := range c.partitions {
		position, lag, moved := p.position()
		if lag >= 0 {
			c.metrics.setLag(p, lag)
		}
		if moved {
			if offsets[p.topic] == nil {
				offsets[p.topic] = map[int]int64{}
			}
			offsets[p.topic][p.id] = position
		}
	}
	if len(offsets) == 0 {
		return
	}
	if err := c.generation.CommitOffsets(offsets); err != nil {
		c.metrics.commits.WithLabelValues("error").Inc()
		c.log.Warn("committing offsets failed", "generation", c.generation.ID, "error", err)
		return
	}
	c.metrics.commits.WithLabelValues("ok").Inc()
	for _, p := range c.partitions {
		if position, ok := offsets[p.topic][p.id]; ok {
			p.setCommitted(position)
		}
	}
}

// idle reports whether nothing is in flight.
func (c *committer) idle() bool {
	for _, p := range c.partitions {
		if p.inFlight() > 0 {
			return false
		}
	}
	return true
}
