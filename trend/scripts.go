package trend

import (
	"math/bits"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// observe counts the readings of one shard, each once, and returns the state of the
// series to judge. It is atomic, and repeating it changes nothing.
//
// KEYS
//
//	I keys of id sets, T keys of text sets, N keys of lists of sketches, then for each series
//	four keys: counts, base, evidence, sources
//
// ARGV
//
//	I, T, N, seconds to keep a series, seconds to keep evidence, event time before which
//	evidence goes, first bucket to keep (an older one goes once it is learnt), the
//	bucket that a series should have learnt up to (one that has not is returned even if
//	not asked for), today as a day of 256 and seconds to keep sketches
//	seconds to keep each of the I + T sets
//	number of readings, then for each: index of its id set, hash of its id, index of its
//	text set (0: no text), hash of its text, index of its list of sketches (0: no sketch), its
//	sketch with the day (near.go), bucket, marks (kinds.go), source, event
//	time in Unix seconds, evidence (see evidence.go; "" for those that are none)
//	number of series, then for each: 1 to return it else 0, the mark that it counts, bucket from
//	which it learns if it is new, number of its readings, the index of each in rising order
//
// Returns
//
//	a string with a letter for each reading: n(ew), c(opy of a text already counted), a (nearly
//	such a copy) or r(epeated id), then for each series its counts and its base, both "" where
//	neither asked for nor due
var observe = redis.NewScript(strings.NewReplacer(
	"NEAR_BITS", strconv.Itoa(nearBits), "NEAR_KEPT", strconv.Itoa(nearKept), "NEAR_SLACK", strconv.Itoa(nearSlack),
	"NEAR_DAYS", strconv.Itoa(nearDays), "NIBBLES", nibbles(),
).Replace(`
local find, sub, byte, match = string.find, string.sub, string.byte, string.match
local at = 0
local function text() at = at + 1; return ARGV[at] end
local function number() at = at + 1; return tonumber(ARGV[at]) end

local ids, texts, nears = number(), number(), number()
local keep, keepEvidence, stale, oldest, due = text(), text(), number(), number(), number()
local today, keepNear = number(), text()
local ttl = {}
for i = 1, ids + texts do ttl[i] = text() end
local readings = {}
for i = 1, number() do
	readings[i] = {idSet = number(), id = text(), textSet = number(), hash = text(), near = number(), sketch = text(),
		bucket = text(), marks = number(), source = text(), time = text(), evidence = text()}
end

-- Whatever could fail is read before anything is written: a script that fails half-way
-- would leave ids that are remembered but not counted.
local series = {}
for i = 1, number() do
	local first = ids + texts + nears + 4 * (i - 1)
	local s = {counts = KEYS[first + 1], base = KEYS[first + 2], evidence = KEYS[first + 3], sources = KEYS[first + 4],
		wanted = number() == 1, mark = number(), readings = {}}
	local start = text()
	s.ring = redis.call('GET', s.counts) or (start .. ';')
	s.learnt = tonumber(match(s.ring, '^(%-?%d+);'))
	if not s.learnt then
		return redis.error_reply('ERR the counts in ' .. s.counts .. ' cannot be read: delete the key to begin anew')
	end
	for j = 1, number() do s.readings[j] = readings[number()] end
	series[i] = s
end

-- A list is kept by columns: all days, then all first bytes of the sketches, and so on.
local lists = {}
for i = 1, nears do
	local v = redis.pcall('GET', KEYS[ids + texts + i])
	if type(v) ~= 'string' or #v % 9 ~= 0 then v = '' end
	local n = #v / 9
	local list = {n = n}
	for c = 1, 9 do list[c] = sub(v, (c - 1) * n + 1, c * n) end
	lists[i] = list
end

-- remember adds what the readings have in a field to a set, and marks those it was new of.
local function remember(key, seconds, group, field)
	local added = false
	if #group == 1 then
		local r = group[1]
		r.fresh = redis.call('SADD', key, r[field]) == 1
		added = r.fresh
	else
		local values, seen, new = {}, {}, {}
		for i, r in ipairs(group) do values[i] = r[field] end
		local known = redis.call('SMISMEMBER', key, unpack(values))
		for i, r in ipairs(group) do
			r.fresh = known[i] == 0 and not seen[values[i]]
			if r.fresh then
				seen[values[i]] = true
				new[#new + 1] = values[i]
			end
		end
		if #new > 0 then
			redis.call('SADD', key, unpack(new))
			added = true
		end
	end
	if added then redis.call('EXPIRE', key, seconds) end
end

local groups = {}
for i = 1, ids + texts do groups[i] = {} end
for _, r in ipairs(readings) do
	local group = groups[r.idSet]
	group[#group + 1] = r
end
for i = 1, ids do remember(KEYS[i], ttl[i], groups[i], 'id') end
for _, r in ipairs(readings) do
	r.state = r.fresh and 'n' or 'r'
	if r.fresh and r.textSet > 0 then
		local group = groups[ids + r.textSet]
		group[#group + 1] = r
	end
end
for i = ids + 1, ids + texts do
	if #groups[i] > 0 then
		remember(KEYS[i], ttl[i], groups[i], 'hash')
		for _, r in ipairs(groups[i]) do
			if not r.fresh then r.state = 'c' end
		end
	end
end

local nibbles = 'NIBBLES' -- in how many bits two half bytes differ
local function differ(a, b)
	local low, under = a % 16, b % 16
	return byte(nibbles, 16 * low + under + 1) + byte(nibbles, a - low + (b - under) / 16 + 1) - 96
end

-- Of a near copy one byte of words is equal at least: only those are looked at.
local function near(list, sketch)
	local day, fact1, fact2 = byte(sketch, 1, 3)
	for c = 4, 9 do
		local one = sub(sketch, c, c)
		local i = find(list[c], one, 1, true)
		while i do
			if byte(list[3], i) == fact2 and byte(list[2], i) == fact1 and byte(list[1], i) == day then
				local bits = 0
				for k = 4, 9 do
					bits = bits + differ(byte(list[k], i), byte(sketch, k))
					if bits > NEAR_BITS then break end
				end
				if bits <= NEAR_BITS then return true end
			end
			i = find(list[c], one, i + 1, true)
		end
	end
	return false
end

local function append(list, sketch)
	for c = 1, 9 do list[c] = list[c] .. sub(sketch, c, c) end
	list.n, list.changed = list.n + 1, true
	local drop = 0
	if list.n >= NEAR_KEPT + NEAR_SLACK then drop = list.n - NEAR_KEPT end
	while drop < list.n - 1 do
		local age = (today - byte(list[1], drop + 1)) % 256
		if age < NEAR_DAYS or age >= 128 then break end
		drop = drop + 1
	end
	if drop > 0 then
		for c = 1, 9 do list[c] = sub(list[c], drop + 1) end
		list.n = list.n - drop
	end
end

local states = {}
for i, r in ipairs(readings) do
	if r.state == 'n' and r.near > 0 then
		local list = lists[r.near]
		if near(list, r.sketch) then r.state = 'a' else append(list, r.sketch) end
	end
	states[i] = r.state
end
for i, list in ipairs(lists) do
	if list.changed then redis.call('SET', KEYS[ids + texts + i], table.concat(list), 'EX', keepNear) end
end

local function add(ring, bucket, c)
	local mark = ';' .. bucket .. ':'
	local from, to = find(ring, mark, math.max(1, #ring - 60), true) -- most are of the last buckets
	if not from then from, to = find(ring, mark, 1, true) end
	if not from then
		return ring .. bucket .. ':' .. table.concat(c, ',') .. ';'
	end
	local items, marked, copies, echoes, stop = match(ring, '^(%d+),(%d+),(%d+),(%d+);()', to + 1)
	return sub(ring, 1, to) .. (items + c[1]) .. ',' .. (marked + c[2]) .. ',' .. (copies + c[3]) .. ',' .. (echoes + c[4]) ..
		';' .. sub(ring, stop)
end

local function prune(s)
	local ring = s.ring
	local stop = find(ring, ';', 1, true)
	local limit = math.min(oldest, s.learnt)
	local from = stop + 1
	while from <= #ring do
		local colon = find(ring, ':', from, true)
		if tonumber(sub(ring, from, colon - 1)) >= limit then break end
		from = find(ring, ';', colon, true) + 1
	end
	if from == stop + 1 then return ring end
	return sub(ring, 1, stop) .. sub(ring, from)
end

local function marked(s, r) return r.marks % (2 * s.mark) >= s.mark end

local function count(s)
	local order, sums = {}, {}
	for _, r in ipairs(s.readings) do
		if r.state ~= 'r' then
			local c = sums[r.bucket]
			if not c then
				c = {0, 0, 0, 0}
				sums[r.bucket] = c
				order[#order + 1] = r.bucket
			end
			local one = marked(s, r) and 1 or 0
			if r.state == 'n' then
				c[1], c[2] = c[1] + 1, c[2] + one
			elseif r.state == 'c' then
				c[3], c[4] = c[3] + 1, c[4] + one
			else
				c[3] = c[3] + 1
			end
		end
	end
	if #order == 0 then return end
	for _, bucket in ipairs(order) do s.ring = add(s.ring, bucket, sums[bucket]) end
	s.ring = prune(s)
	redis.call('SET', s.counts, s.ring, 'EX', keep)
end

local function explain(s)
	local evidence, sources = {}, {}
	for _, r in ipairs(s.readings) do
		if r.state ~= 'r' and marked(s, r) and tonumber(r.time) >= stale then
			if r.state == 'n' then evidence[#evidence + 1] = r.evidence end
			sources[#sources + 1] = r.time
			sources[#sources + 1] = r.source
		end
	end
	if #evidence > 0 then
		if redis.call('LPUSH', s.evidence, unpack(evidence, math.max(1, #evidence - 11))) > 12 then
			redis.call('LTRIM', s.evidence, 0, 11)
		end
		local last = redis.call('LINDEX', s.evidence, -1)
		while last and tonumber(match(last, '^%-?%d+')) < stale do
			redis.call('RPOP', s.evidence)
			last = redis.call('LINDEX', s.evidence, -1)
		end
		redis.call('EXPIRE', s.evidence, keepEvidence)
	end
	if #sources > 0 then
		-- A late reading does not move its source back.
		if redis.call('ZADD', s.sources, 'GT', unpack(sources)) > 0 then
			redis.call('ZREMRANGEBYSCORE', s.sources, '-inf', '(' .. stale)
			redis.call('ZREMRANGEBYRANK', s.sources, 0, -65)
		end
		redis.call('EXPIRE', s.sources, keepEvidence)
	end
end

for _, s in ipairs(series) do count(s) end
for _, s in ipairs(series) do explain(s) end

local answer = {table.concat(states)}
for i, s in ipairs(series) do
	answer[2 * i], answer[2 * i + 1] = '', ''
	if s.wanted or s.learnt < due then
		answer[2 * i] = s.ring
		answer[2 * i + 1] = redis.call('GET', s.base) or ''
	end
end
return answer
`))

// nibbles says, as a digit, in how many bits each half byte differs from each other.
func nibbles() string {
	var table [256]byte
	for i := range table {
		table[i] = '0' + byte(bits.OnesCount(uint(i>>4^i&15)))
	}
	return string(table[:])
}

// learn replaces a series' baseline if nobody else has.
//
// KEYS: counts, base
//
// ARGV: the base that was read ("": none), the new base, the first bucket it has not
// learnt, seconds to keep both
//
// Returns nothing where it was replaced, else the counts and the base as they are now.
var learn = redis.NewScript(`
local counts, base = redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[2]) or ''
if base ~= ARGV[1] then return {counts, base} end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[4])
local stop = string.find(counts, ';', 1, true)
if stop then
	redis.call('SET', KEYS[1], ARGV[3] .. string.sub(counts, stop), 'EX', ARGV[4])
end
return {}
`)
