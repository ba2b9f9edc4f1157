package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// store is the alert state in Redis. All keys share the hash tag {alert}, so that scripts
// over them run on one node of a cluster; the volume is low.
//
//	P:{alert}:version    counter: one up with every change of what decisions depend on
//	P:{alert}:open       hash: series key → record
//	P:{alert}:closed     hash: series key → closed
//	P:{alert}:silences   hash: ID → Silence
//	P:{alert}:groups     hash: ID → group
//	P:{alert}:out        hash: member of queue → entry
//	P:{alert}:queue      sorted set of lane|revision, all of score 0: a lane's entries in order
//	P:{alert}:lease      hash: lane → who delivers its first entry, how often that was tried
//	P:{alert}:refs       hash: lane → what the sink calls the message it has (Slack: channel and ts)
//	P:{alert}:sinks      set: names of sinks that ever had a delivery
//	P:{alert}:due:SINK   sorted set: lane → when it is next to be looked at, ms
//	P:{alert}:dead       list: deliveries given up, newest first
//
// A lane is one alert at one destination: its entries are delivered in order, one at a
// time; lanes are independent of each other.
type store struct {
	redis  redis.UniversalClient
	prefix string
	clock  func() time.Time // of this machine; tests replace it
	ahead  atomic.Int64     // how far Redis' clock was ahead of it at the last load, ns
}

func newStore(client redis.UniversalClient, prefix string) *store {
	return &store{redis: client, prefix: prefix + ":{alert}:", clock: time.Now}
}

// now is the time by Redis' clock, as far as the last load told: replicas compare the times of
// leases, and their own clocks may differ by more than a lease lasts.
func (s *store) now() time.Time { return s.clock().Add(time.Duration(s.ahead.Load())) }

// keepTime takes Redis' time, which was told between two times of this machine's clock.
func (s *store) keepTime(told any, asked, answered time.Time) error {
	parts, _ := told.([]any)
	if len(parts) != 2 {
		return fmt.Errorf("reading Redis' time: %v", told)
	}
	seconds, err := strconv.ParseInt(fmt.Sprint(parts[0]), 10, 64)
	if err != nil {
		return fmt.Errorf("reading Redis' time: %w", err)
	}
	micros, err := strconv.ParseInt(fmt.Sprint(parts[1]), 10, 64)
	if err != nil {
		return fmt.Errorf("reading Redis' time: %w", err)
	}
	middle := asked.Add(answered.Sub(asked) / 2)
	s.ahead.Store(int64(time.Unix(seconds, micros*1000).Sub(middle)))
	return nil
}

func (s *store) keys(names ...string) []string {
	keys := make([]string, len(names))
	for i, n := range names {
		keys[i] = s.prefix + n
	}
	return keys
}

// loadScript reads one consistent state.
//
// KEYS: version, open, closed, silences, groups. No ARGV.
// Returns {version, open, closed, silences, groups, time as TIME gives it}, the hashes flat.
var loadScript = redis.NewScript(`
return {
  redis.call('GET', KEYS[1]) or '0',
  redis.call('HGETALL', KEYS[2]),
  redis.call('HGETALL', KEYS[3]),
  redis.call('HGETALL', KEYS[4]),
  redis.call('HGETALL', KEYS[5]),
  redis.call('TIME'),
}`)

// load reads the state that decisions depend on, and what now goes by.
func (s *store) load(ctx context.Context) (*state, error) {
	asked := s.clock()
	reply, err := loadScript.Run(ctx, s.redis, s.keys("version", "open", "closed", "silences", "groups")).Slice()
	if err != nil {
		return nil, fmt.Errorf("reading the alert state: %w", err)
	}
	if len(reply) != 6 {
		return nil, fmt.Errorf("reading the alert state: %d parts in the reply, want 6", len(reply))
	}
	if err := s.keepTime(reply[5], asked, s.clock()); err != nil {
		return nil, err
	}
	fresh := newState()
	st := &fresh
	if _, err := fmt.Sscan(fmt.Sprint(reply[0]), &st.version); err != nil {
		return nil, fmt.Errorf("reading the alert state's version: %w", err)
	}
	if st.open, err = decoded[record](reply[1]); err != nil {
		return nil, fmt.Errorf("reading open alerts: %w", err)
	}
	if st.closed, err = decoded[closed](reply[2]); err != nil {
		return nil, fmt.Errorf("reading resolved alerts: %w", err)
	}
	if st.groups, err = decoded[group](reply[4]); err != nil {
		return nil, fmt.Errorf("reading digests: %w", err)
	}
	silences, err := decoded[Silence](reply[3])
	if err != nil {
		return nil, fmt.Errorf("reading silences: %w", err)
	}
	for _, id := range sortedKeys(silences) {
		st.silences = append(st.silences, silences[id])
	}
	return st, nil
}

// decoded is a flat hash of JSON values as a map.
func decoded[V any](flat any) (map[string]V, error) {
	list, _ := flat.([]any)
	out := make(map[string]V, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		key, raw := fmt.Sprint(list[i]), fmt.Sprint(list[i+1])
		var v V
		if err := json.Unmarshal([]byte(raw), &v); err != nil {
			return nil, fmt.Errorf("field %q: %w", key, err)
		}
		out[key] = v
	}
	return out, nil
}

// commitScript applies what was decided on a version of the state, or nothing when that
// is no longer the state's version.
//
// KEYS: version, open, closed, silences, groups, out, queue, sinks, then the due set of each
// delivery.
// ARGV: version, now in ms, number of changes of open, closed, silences and groups, and of
// deliveries; then key and JSON of each change of these hashes ("" = remove); then lane,
// member, sink and JSON of each delivery.
// Returns 1 when applied, 0 when the version has moved on.
var commitScript = redis.NewScript(`
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then return 0 end
local i = 8
for part = 1, 4 do
  for _ = 1, tonumber(ARGV[2 + part]) do
    if ARGV[i + 1] == '' then
      redis.call('HDEL', KEYS[1 + part], ARGV[i])
    else
      redis.call('HSET', KEYS[1 + part], ARGV[i], ARGV[i + 1])
    end
    i = i + 2
  end
end
for n = 1, tonumber(ARGV[7]) do
  redis.call('HSET', KEYS[6], ARGV[i + 1], ARGV[i + 3])
  redis.call('ZADD', KEYS[7], 0, ARGV[i + 1])
  redis.call('SADD', KEYS[8], ARGV[i + 2])
  redis.call('ZADD', KEYS[8 + n], 'NX', ARGV[2], ARGV[i])
  i = i + 4
end
redis.call('INCR', KEYS[1])
return 1`)

// commit writes the changes of st and the deliveries of the outcomes in one step. It
// reports false when another commit came first: nothing is written then.
func (s *store) commit(ctx context.Context, st *state, outcomes []outcome, now time.Time) (bool, error) {
	if len(st.changed) == 0 && len(st.reclosed) == 0 && len(st.resilenced) == 0 && len(st.regrouped) == 0 {
		return true, nil
	}
	silences := map[string]Silence{}
	for _, m := range st.silences {
		silences[m.ID] = m
	}
	keys := s.keys("version", "open", "closed", "silences", "groups", "out", "queue", "sinks")
	tail, err := changes(nil, st.changed, st.open)
	if err == nil {
		tail, err = changes(tail, st.reclosed, st.closed)
	}
	if err == nil {
		tail, err = changes(tail, st.resilenced, silences)
	}
	if err == nil {
		tail, err = changes(tail, st.regrouped, st.groups)
	}
	if err != nil {
		return false, err
	}
	deliveries := 0
	for _, o := range outcomes {
		for _, e := range o.deliveries {
			e.QueuedAt = now
			raw, err := json.Marshal(e)
			if err != nil {
				return false, fmt.Errorf("encoding the delivery of alert %s: %w", e.Alert.ID, err)
			}
			keys = append(keys, s.prefix+"due:"+e.To.Sink)
			tail = append(tail, e.lane(), e.member(), e.To.Sink, raw)
			deliveries++
		}
	}
	args := append([]any{st.version, now.UnixMilli(), len(st.changed), len(st.reclosed), len(st.resilenced), len(st.regrouped), deliveries}, tail...)
	applied, err := commitScript.Run(ctx, s.redis, keys, args...).Int()
	if err != nil {
		return false, fmt.Errorf("writing alert decisions: %w", err)
	}
	return applied == 1, nil
}

// changes appends the keys that changed, each with its JSON, or "" where m has it no more:
// the script removes it then.
func changes[V any](args []any, changed map[string]bool, m map[string]V) ([]any, error) {
	for _, key := range sortedKeys(changed) {
		v, there := m[key]
		if !there {
			args = append(args, key, "")
			continue
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encoding the state of %q: %w", key, err)
		}
		args = append(args, key, raw)
	}
	return args, nil
}

// setSilence stores one silence and drops others, and makes decisions under way start again.
func (s *store) setSilence(ctx context.Context, id string, raw []byte, drop []string) error {
	_, err := s.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, s.prefix+"silences", id, raw)
		if len(drop) > 0 {
			p.HDel(ctx, s.prefix+"silences", drop...)
		}
		p.Incr(ctx, s.prefix+"version")
		return nil
	})
	return err
}

// removeSilence reports whether there was one.
func (s *store) removeSilence(ctx context.Context, id string) (bool, error) {
	var removed *redis.IntCmd
	_, err := s.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		removed = p.HDel(ctx, s.prefix+"silences", id)
		p.Incr(ctx, s.prefix+"version")
		return nil
	})
	if err != nil {
		return false, err
	}
	return removed.Val() > 0, nil
}

func (s *store) silences(ctx context.Context) ([]Silence, error) {
	fields, err := s.redis.HGetAll(ctx, s.prefix+"silences").Result()
	if err != nil {
		return nil, err
	}
	var out []Silence
	for id, raw := range fields {
		var m Silence
		if err := json.Unmarshal([]byte(raw), &m); err != nil {
			return nil, fmt.Errorf("silence %s: %w", id, err)
		}
		out = append(out, m)
	}
	return out, nil
}
