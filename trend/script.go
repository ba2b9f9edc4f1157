package trend

import (
	_ "embed"
	"math/bits"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed observe.lua
var observeSource string

// observe counts the readings of one shard: see observe.lua.
var observe = redis.NewScript(strings.NewReplacer(
	"NEAR_BITS", strconv.Itoa(nearBits), "NEAR_KEPT", strconv.Itoa(nearKept), "NEAR_SLACK", strconv.Itoa(nearSlack),
	"NEAR_SHORT", strconv.Itoa(nearShort), "NEAR_DAYS", strconv.Itoa(nearDays),
	"NIBBLES", nibbles(), "SHORT_COUNTS", "128", "SHORT_LIST", "600", // bytes
).Replace(observeSource))

// nibbles says, as a digit, in how many bits each half byte differs from each other.
func nibbles() string {
	var table [256]byte
	for i := range table {
		table[i] = '0' + byte(bits.OnesCount(uint(i>>4^i&15)))
	}
	return string(table[:])
}

// learn replaces a series' baseline if nobody else has, and may then make its counts short: one
// entry a bucket, and none that is old. They are added up here, so that nothing that was counted
// meanwhile is lost.
//
// KEYS: counts, base
//
// ARGV: the base that was read ("": none), the new base, the first bucket that it has not learnt,
// seconds to keep both, the first bucket to keep ("": the counts stay as they are)
//
// Returns nothing where it was replaced, else the counts and the base as they are now.
var learn = redis.NewScript(`
local call, keep = redis.call, ARGV[4]
local base = call('GET', KEYS[2]) or ''
if base ~= ARGV[1] then return {call('GET', KEYS[1]) or '', base} end
call('SET', KEYS[2], ARGV[2], 'EX', keep)
local learnt, oldest = ARGV[3] .. ';', tonumber(ARGV[5])
local known = call('GETRANGE', KEYS[1], 0, #learnt - 1)
if known == '' then return {} end -- expired meanwhile
if not oldest and string.find(known, ';', 1, true) == #learnt then
	call('SETRANGE', KEYS[1], 0, learnt)
	call('EXPIRE', KEYS[1], keep)
	return {}
end
local order, sums = {}, {}
for bucket, numbers in string.gmatch(call('GET', KEYS[1]), '(%-?%d+):([%d,]*);') do
	if tonumber(bucket) >= (oldest or -math.huge) then
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
call('SET', KEYS[1], learnt .. table.concat(order), 'EX', keep)
return {}
`)
