package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
)

// entry is one delivery in the outbox.
type entry struct {
	To       Destination `json:"to"`
	Action   Action      `json:"action"` // Fire, Escalate, Annotate or Resolve
	Revision int         `json:"revision"`
	Alert    news.Alert  `json:"alert"` // as it stood at that revision
	QueuedAt time.Time   `json:"queued_at"`
	Digest   *Digest     `json:"digest,omitempty"` // what is told instead of Alert, which then has its ID and status only
}

// lane names one alert at one destination. None of its parts holds a "|".
func (e entry) lane() string { return e.To.Sink + "/" + e.To.Channel + "/" + e.Alert.ID }

// member sorts by revision within the lane.
func (e entry) member() string { return fmt.Sprintf("%s|%06d", e.lane(), e.Revision) }

// claim is the right to deliver a lane's first entry until the lease ends.
type claim struct {
	entry
	lane, member, token string
	tries               int    // attempts before this one
	unsure              bool   // one of them may have arrived
	ref                 string // what the sink returned for the alert's former message here
	waiting             int    // lanes of the sink, this one included
	passed              int    // failures after which the sink worked for another
}

// errLeaseLost says that another worker has taken the lane over.
var errLeaseLost = errors.New("lease lost")

// claimScript takes the lane that has been due for longest.
//
// KEYS: due set of the sink, queue, out, lease, refs.
// ARGV: now in ms, end of the lease in ms, token.
// Returns {} when nothing is due, or {lane, member, entry, tries before, 1 if one of those
// may have arrived, ref, lanes of the sink, failures after which it worked for another}. The lease is written as unsure: only who knows better says so.
var claimScript = redis.NewScript(`
while true do
  local lane = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1)[1]
  if not lane then return {} end
  local member = redis.call('ZRANGEBYLEX', KEYS[2], '[' .. lane .. '|', '(' .. lane .. '}', 'LIMIT', 0, 1)[1]
  local json = member and redis.call('HGET', KEYS[3], member)
  if json then
    local tries, unsure, passed = 0, 0, 0
    local lease = redis.call('HGET', KEYS[4], lane)
    if lease then
      local was = cjson.decode(lease)
      tries, unsure, passed = was.tries, was.unsure, was.passed or 0
    end
    redis.call('HSET', KEYS[4], lane, cjson.encode({token = ARGV[3], tries = tries + 1, unsure = 1, passed = passed}))
    redis.call('ZADD', KEYS[1], ARGV[2], lane)
    return {lane, member, json, tries, unsure, redis.call('HGET', KEYS[5], lane) or '', redis.call('ZCARD', KEYS[1]), passed}
  end
  if member then redis.call('ZREM', KEYS[2], member) else
    redis.call('ZREM', KEYS[1], lane)
    redis.call('HDEL', KEYS[4], lane)
  end
end`)

// claim takes a due lane of the sink; nil when none is due.
func (s *store) claim(ctx context.Context, sink, token string, now time.Time, lease time.Duration) (*claim, error) {
	reply, err := claimScript.Run(ctx, s.redis, s.keys("due:"+sink, "queue", "out", "lease", "refs"),
		now.UnixMilli(), now.Add(lease).UnixMilli(), token).Slice()
	if err != nil {
		return nil, fmt.Errorf("claiming a delivery for sink %s: %w", sink, err)
	}
	if len(reply) != 8 {
		return nil, nil
	}
	text := make([]string, len(reply))
	for i, part := range reply {
		text[i] = fmt.Sprint(part)
	}
	c := &claim{lane: text[0], member: text[1], token: token, unsure: text[4] != "0", ref: text[5]}
	if c.tries, err = strconv.Atoi(text[3]); err != nil {
		return nil, fmt.Errorf("claiming delivery %s: tries: %w", c.member, err)
	}
	if c.waiting, err = strconv.Atoi(text[6]); err != nil {
		return nil, fmt.Errorf("claiming delivery %s: lanes: %w", c.member, err)
	}
	if c.passed, err = strconv.Atoi(text[7]); err != nil {
		return nil, fmt.Errorf("claiming delivery %s: failures: %w", c.member, err)
	}
	if err := json.Unmarshal([]byte(text[2]), &c.entry); err != nil {
		return nil, fmt.Errorf("claiming delivery %s: %w", c.member, err)
	}
	return c, nil
}

// finishScript removes a delivery that is done, or moves it to the dead list. One that is
// delivered makes those due that failed before: their sink is back. Not yet those whose time
// has not come (see putOff), and of those whose token, channel or address were at fault the
// ones of its own channel only. For each failure of theirs it is counted that the sink worked for
// another since, for then the fault may be their own.
//
// KEYS: due set of the sink, queue, out, lease, refs, dead.
// ARGV: lane, member, token, now in ms, ref to keep ("" = forget), dead JSON ("" = delivered),
// longest dead list, what the lanes of its channel begin with, most lanes to make due.
// Returns 1, or 0 when the lease has gone to another.
var finishScript = redis.NewScript(`
local lease = redis.call('HGET', KEYS[4], ARGV[1])
if not lease or cjson.decode(lease).token ~= ARGV[3] then return 0 end
if ARGV[6] ~= '' then
  redis.call('LPUSH', KEYS[6], ARGV[6])
  redis.call('LTRIM', KEYS[6], 0, ARGV[7] - 1)
end
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[1])
if ARGV[5] == '' then redis.call('HDEL', KEYS[5], ARGV[1]) else redis.call('HSET', KEYS[5], ARGV[1], ARGV[5]) end
if redis.call('ZRANGEBYLEX', KEYS[2], '[' .. ARGV[1] .. '|', '(' .. ARGV[1] .. '}', 'LIMIT', 0, 1)[1] then
  redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
if ARGV[6] ~= '' then return 1 end
for _, lane in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[4], '+inf', 'LIMIT', 0, ARGV[9])) do
  local failed = redis.call('HGET', KEYS[4], lane)
  local was = failed and cjson.decode(failed)
  if was and was.token == '' and (was.misplaced ~= 1 or string.sub(lane, 1, #ARGV[8]) == ARGV[8]) then
    if not was.seen then
      was.seen, was.passed = 1, (was.passed or 0) + 1
      redis.call('HSET', KEYS[4], lane, cjson.encode(was))
    end
    if (was.free or 0) <= tonumber(ARGV[4]) then redis.call('ZADD', KEYS[1], ARGV[4], lane) end
  end
end
return 1`)

// mostFreed bounds how many lanes one delivery makes due; the next makes more due.
const mostFreed = 256

// longestDead bounds the dead list; what falls off has been logged when it was put there.
const longestDead = 10000

// Dead is a delivery that was given up.
type Dead struct {
	To       Destination `json:"to"`
	Action   Action      `json:"action"`
	Revision int         `json:"revision"`
	Alert    news.Alert  `json:"alert"`
	QueuedAt time.Time   `json:"queued_at"`
	DiedAt   time.Time   `json:"died_at"`
	Error    string      `json:"error"`
}

// finish removes the claim's entry together with keeping ref, what the sink calls the
// message. With dead it goes to the dead list instead. errLeaseLost when it is no longer ours.
func (s *store) finish(ctx context.Context, c *claim, ref string, dead *Dead, now time.Time) error {
	if c.Action == Resolve {
		ref = "" // the lane ends here
	}
	var raw []byte
	if dead != nil {
		var err error
		if raw, err = json.Marshal(dead); err != nil {
			return fmt.Errorf("burying delivery %s: %w", c.member, err)
		}
	}
	ours, err := finishScript.Run(ctx, s.redis, s.keys("due:"+c.To.Sink, "queue", "out", "lease", "refs", "dead"),
		c.lane, c.member, c.token, now.UnixMilli(), ref, raw, longestDead, c.To.Sink+"/"+c.To.Channel+"/", mostFreed).Int()
	return leaseError(ours, err, c, "recording")
}

// retryScript puts a delivery off.
//
// KEYS: due set of the sink, lease, refs.
// ARGV: lane, token, when in ms, 1 if the attempt may have arrived, ref to keep ("" = as it was),
// from when in ms another's success may bring it forward, 1 if its place is at fault.
// Returns 1, or 0 when the lease has gone to another.
var retryScript = redis.NewScript(`
local lease = redis.call('HGET', KEYS[2], ARGV[1])
if not lease then return 0 end
local was = cjson.decode(lease)
if was.token ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], cjson.encode({token = '', tries = was.tries, unsure = tonumber(ARGV[4]), passed = was.passed or 0,
  free = tonumber(ARGV[6]), misplaced = tonumber(ARGV[7])}))
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[3], ARGV[1], ARGV[5]) end
return 1`)

// putOff ends the claim without a complete delivery: it is due again after the verdict's pause,
// or when its sink works for another after the verdict's rest, and goes on from ref.
func (s *store) putOff(ctx context.Context, c *claim, ref string, now time.Time, v verdict) error {
	flag := map[bool]int{true: 1}
	ours, err := retryScript.Run(ctx, s.redis, s.keys("due:"+c.To.Sink, "lease", "refs"),
		c.lane, c.token, now.Add(v.pause).UnixMilli(), flag[v.unsure], ref, now.Add(v.rest).UnixMilli(), flag[v.misplaced]).Int()
	return leaseError(ours, err, c, "putting off")
}

func leaseError(ours int, err error, c *claim, doing string) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s delivery %s: %w", doing, c.member, err)
	case ours == 0:
		return fmt.Errorf("%s delivery %s: %w", doing, c.member, errLeaseLost)
	}
	return nil
}

// backlog is how many deliveries wait in each sink's lanes, and the names of all sinks
// that ever had one.
func (s *store) backlog(ctx context.Context) (lanes map[string]int64, dead int64, err error) {
	names, err := s.redis.SMembers(ctx, s.prefix+"sinks").Result()
	if err != nil {
		return nil, 0, fmt.Errorf("listing the outbox's sinks: %w", err)
	}
	counts := make([]*redis.IntCmd, len(names))
	var deadCount *redis.IntCmd
	_, err = s.redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, name := range names {
			counts[i] = p.ZCard(ctx, s.prefix+"due:"+name)
		}
		deadCount = p.LLen(ctx, s.prefix+"dead")
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("counting the outbox: %w", err)
	}
	lanes = make(map[string]int64, len(names))
	for i, name := range names {
		lanes[name] = counts[i].Val()
	}
	return lanes, deadCount.Val(), nil
}

// deadLetters reads the dead list, newest first.
func (s *store) deadLetters(ctx context.Context, limit int64) ([]Dead, error) {
	raws, err := s.redis.LRange(ctx, s.prefix+"dead", 0, limit-1).Result()
	if err != nil {
		return nil, fmt.Errorf("listing dead deliveries: %w", err)
	}
	out := make([]Dead, len(raws))
	for i, raw := range raws {
		if err := json.Unmarshal([]byte(raw), &out[i]); err != nil {
			return nil, fmt.Errorf("listing dead deliveries: %w", err)
		}
	}
	return out, nil
}
