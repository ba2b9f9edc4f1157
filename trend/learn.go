package trend

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Counts are made short once they have so many entries beyond one and a half for each bucket, or
// some are by so much too old. A series that nothing asks for is looked at once its counts have so
// many bytes: more than they may keep of a week in buckets of their own.
const (
	tooMany = 16
	tooOld  = 30 * time.Minute
	tooLong = 64 << 10
)

func (s *Store) wantsShortening(state *stored, now time.Time) bool {
	return 2*(state.entries-tooMany) > 3*len(state.ring) ||
		len(state.ring) > 0 && state.ring[0].bucket < s.kept(state, now.Add(-tooOld))
}

// kept is the first bucket of a series that is to be kept at a time: those that are older go once
// they are learnt.
func (s *Store) kept(state *stored, at time.Time) int64 {
	return min(bucketOf(at.Add(-s.history)), state.base.needed())
}

// learn stores baselines. Those series that were changed meanwhile are beaten: it gives them as they
// are now.
func (s *Store) learn(ctx context.Context, series map[subject]*stored, now time.Time) (beaten map[subject]*stored, err error) {
	beaten = map[subject]*stored{}
	calls := make([]call, 0, len(series))
	for of, state := range series {
		calls = append(calls, s.learnCall(of, state, now, beaten))
	}
	return beaten, s.run(ctx, learn, calls)
}

func (s *Store) learnCall(of subject, state *stored, now time.Time, beaten map[subject]*stored) call {
	oldest := ""
	if s.wantsShortening(state, now) {
		oldest = strconv.FormatInt(s.kept(state, now), 10)
	}
	return call{
		keys: []string{s.keys.ofSubject(of, "counts"), s.keys.ofSubject(of, "base")},
		argv: []any{state.packed, state.base.encode(), state.base.next * bucketsPerChunk, int64(keepSeries.Seconds()), oldest},
		take: func(answer []any) error {
			if len(answer) == 0 {
				return nil
			}
			counts, _ := answer[0].(string)
			base, _ := answer[1].(string)
			if counts == "" {
				return nil // expired meanwhile: there is nothing to learn from
			}
			winner, err := s.decode(of, counts, base, now)
			if err != nil {
				return err
			}
			winner.judge = state.judge
			beaten[of] = winner
			return nil
		},
	}
}

// addUp is a function of scripts: counts from a bucket on, with one entry a bucket, without LEARNT.
const addUp = `
local function addUp(counts, oldest)
	local order, sums = {}, {}
	for bucket, numbers in string.gmatch(counts, '(%-?%d+):([%d,]*);') do
		if tonumber(bucket) >= oldest then
			local sum = sums[bucket]
			if not sum then
				sum = {0, 0, 0, 0, 0}
				sums[bucket] = sum
				order[#order + 1] = bucket
			end
			local i = 1
			for number in string.gmatch(numbers .. ',', '(%d*),') do
				if number ~= '' then sum[i] = sum[i] + number end
				i = i + 1
			end
		end
	end
	for i, bucket in ipairs(order) do
		local sum = sums[bucket]
		order[i] = bucket .. ':' .. table.concat(sum, ',', 1, sum[5] > 0 and 5 or sum[3] > 0 and 4 or 2) .. ';'
	end
	return table.concat(order)
end
`

// learn replaces a series' baseline if nobody else has, and may then make its counts short. They are
// added up here, so that nothing that was counted meanwhile is lost.
//
// KEYS: counts, base
//
// ARGV: the base that was read ("": none), the new base, the first bucket that it has not learnt,
// seconds to keep both, the first bucket to keep ("": the counts stay as they are)
//
// Returns nothing where it was replaced, else the counts and the base as they are now.
var learn = redis.NewScript(addUp + `
local call, keep = redis.call, ARGV[4]
local base = call('GET', KEYS[2]) or ''
if base ~= ARGV[1] then return {call('GET', KEYS[1]) or '', base} end
local learnt, oldest = ARGV[3] .. ';', tonumber(ARGV[5])
local known = call('GETRANGE', KEYS[1], 0, #learnt - 1)
if known == '' then -- they expired meanwhile
	call('SET', KEYS[2], ARGV[2], 'EX', keep)
elseif not oldest and string.find(known, ';', 1, true) == #learnt then
	call('SET', KEYS[2], ARGV[2], 'EX', keep)
	call('SETRANGE', KEYS[1], 0, learnt)
	call('EXPIRE', KEYS[1], keep)
else
	local counts = addUp(call('GET', KEYS[1]), oldest or -math.huge)
	call('SET', KEYS[2], ARGV[2], 'EX', keep)
	call('SET', KEYS[1], learnt .. counts, 'EX', keep)
end
return {}
`)
