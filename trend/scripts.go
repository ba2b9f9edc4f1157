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
//	its counts and base, and where a reading has its mark, its evidence and sources
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
//	number of series, then for each: 1 to return it else 0, the mark that it counts, 1 where a
//	reading has it else 0, bucket from which it learns if it is new, number of its readings, the
//	index of each in rising order
//
// Returns
//
//	a string with a letter for each reading: n(ew), c(opy of a text already counted), a (nearly
//	such a copy) or r(epeated id), then for each series its counts and its base, both "" where
//	neither asked for nor due
var observe = redis.NewScript(strings.NewReplacer(
	"NEAR_BITS", strconv.Itoa(nearBits), "NEAR_KEPT", strconv.Itoa(nearKept), "NEAR_SLACK", strconv.Itoa(nearSlack),
	"NEAR_SHORT", strconv.Itoa(nearShort),
	"NEAR_DAYS", strconv.Itoa(nearDays), "NIBBLES", nibbles(),
).Replace(`
local find, sub, byte, match, call = string.find, string.sub, string.byte, string.match, redis.call
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
	local id, hash, sketch, bucket, source, time, evidence = ARGV[at + 2], ARGV[at + 4], ARGV[at + 6], ARGV[at + 7],
		ARGV[at + 9], ARGV[at + 10], ARGV[at + 11]
	readings[i] = {idSet = tonumber(ARGV[at + 1]), id = id, textSet = tonumber(ARGV[at + 3]), hash = hash,
		near = tonumber(ARGV[at + 5]), sketch = sketch, bucket = bucket, marks = tonumber(ARGV[at + 8]),
		source = source, time = time, evidence = evidence}
	at = at + 11
end

-- Whatever could fail is read before anything is written: a script that fails half-way
-- would leave ids that are remembered but not counted.
local series = {}
-- get reads strings, false where there is none. One command for many costs much less than
-- one for each.
local function get(keys)
	local all = {}
	for from = 1, #keys, 500 do
		local some = call('MGET', unpack(keys, from, math.min(#keys, from + 499)))
		for i = 1, #some do all[from + i - 1] = some[i] end
	end
	return all
end

local key = ids + texts + nears
for i = 1, number() do
	local s = {counts = KEYS[key + 1], base = KEYS[key + 2], wanted = text() == '1', mark = number(), readings = {}}
	key = key + 2
	if text() == '1' then
		s.evidence, s.sources = KEYS[key + 1], KEYS[key + 2]
		key = key + 2
	end
	s.start = text()
	for j = 1, number() do s.readings[j] = readings[number()] end
	series[i] = s
end

local names = {}
for i = 1, nears do names[i] = KEYS[ids + texts + i] end
for i, s in ipairs(series) do names[nears + i] = s.counts end
local stored = get(names)
for i, s in ipairs(series) do
	s.ring = stored[nears + i] or (s.start .. ';')
	s.learnt = tonumber(match(s.ring, '^(%-?%d+);'))
	if not s.learnt then
		return redis.error_reply('ERR the counts in ' .. s.counts .. ' cannot be read: delete the key to begin anew')
	end
end

-- A list is two bytes that say how many of its sketches stand in columns, these columns (all
-- days, then all first bytes of the sketches, and so on), and the sketches that came since. A
-- string of Lua costs by its length, so a list is searched as it is, and changed at its end.
local lists = {}
for i = 1, nears do
	local v, n = stored[i], 0
	if v and #v % 9 == 2 then n = 256 * byte(v, 1) + byte(v, 2) else v = '\0\0' end
	if 9 * n + 2 > #v then v, n = '\0\0', 0 end
	lists[i] = {v = v, n = n, all = (#v - 2) / 9, new = {}}
end

-- A set is given its end when it is made: it never changes.
local found = 0
for from = 1, ids + texts, 500 do
	found = found + call('EXISTS', unpack(KEYS, from, math.min(ids + texts, from + 499)))
end
local expire = found < ids + texts

-- remember adds what the readings have in a field to a set, and marks those it was new of.
local function remember(key, seconds, group, field)
	local added = false
	if #group == 1 then
		local r = group[1]
		r.fresh = call('SADD', key, r[field]) == 1
		added = r.fresh
	else
		local values, seen, new = {}, {}, {}
		for i, r in ipairs(group) do values[i] = r[field] end
		local known = call('SMISMEMBER', key, unpack(values))
		for i, r in ipairs(group) do
			r.fresh = known[i] == 0 and not seen[values[i]]
			if r.fresh then
				seen[values[i]] = true
				new[#new + 1] = values[i]
			end
		end
		if #new > 0 then
			call('SADD', key, unpack(new))
			added = true
		end
	end
	if added and expire then call('EXPIRE', key, seconds) end
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

-- among says whether a sketch is near one of those that are rows of a string from a place on.
local function among(rows, from, sketch)
	local day, fact1, fact2 = byte(sketch, 1, 3)
	for i = from, #rows, 9 do
		local d, f1, f2 = byte(rows, i, i + 2)
		if f2 == fact2 and f1 == fact1 and d == day then
			local bits, shared = 0, false
			for k = 4, 9 do
				local a, b = byte(rows, i + k - 1), byte(sketch, k)
				if a == b then shared = true else bits = bits + differ(a, b) end
				if bits > NEAR_BITS then break end
			end
			if shared and bits <= NEAR_BITS then return true end
		end
	end
	return false
end

-- Of a near copy one byte of words is equal at least: in the columns only those are looked at.
local function near(list, sketch)
	local v, n = list.v, list.n
	local day, fact1, fact2 = byte(sketch, 1, 3)
	for c = 4, 9 do
		local one, first = sub(sketch, c, c), 2 + (c - 1) * n
		local i = find(v, one, first + 1, true)
		while i and i <= first + n do
			local row = 2 + i - first
			if byte(v, row + 2 * n) == fact2 and byte(v, row + n) == fact1 and byte(v, row) == day then
				local bits = 0
				for k = 4, 9 do
					bits = bits + differ(byte(v, row + (k - 1) * n), byte(sketch, k))
					if bits > NEAR_BITS then break end
				end
				if bits <= NEAR_BITS then return true end
			end
			i = find(v, one, i + 1, true)
		end
	end
	if among(v, 3 + 9 * n, sketch) then return true end
	for _, row in ipairs(list.new) do
		if among(row, 1, sketch) then return true end
	end
	return false
end

local function isStale(day)
	local age = (today - day) % 256
	return age >= NEAR_DAYS and age < 128
end

-- settle puts all of a list into columns, without those that are too many or stale.
local function settle(list)
	local v, n = list.v, list.n
	local rows = sub(v, 3 + 9 * n) .. table.concat(list.new)
	local columns = {}
	for c = 1, 9 do
		local column = {}
		for i = c, #rows, 9 do column[#column + 1] = sub(rows, i, i) end
		columns[c] = table.concat(column)
	end
	local drop = math.max(0, list.all - NEAR_KEPT)
	while drop < list.all - 1 do
		local day = drop < n and byte(v, 3 + drop) or byte(columns[1], drop - n + 1)
		if not isStale(day) then break end
		drop = drop + 1
	end
	local kept = list.all - drop
	local parts = {string.char(math.floor(kept / 256), kept % 256)}
	for c = 1, 9 do
		parts[#parts + 1] = sub(v, 3 + (c - 1) * n + math.min(drop, n), 2 + c * n)
		parts[#parts + 1] = sub(columns[c], math.max(0, drop - n) + 1)
	end
	list.v, list.n, list.all, list.new, list.whole = table.concat(parts), kept, kept, {}, true
end

-- A list that is written only at its end lives on by the day of what is new in it: what is kept
-- of a day is of use until soon after it.
local function save(key, list)
	local new = table.concat(list.new)
	if list.whole or #list.v < 600 then -- Redis leaves room behind a string that grows
		call('SET', key, list.v .. new, 'EX', keepNear)
		return
	end
	call('APPEND', key, new)
	local last = #list.v > 2 + 9 * list.n and byte(list.v, -9) or byte(list.v, 2 + list.n)
	for _, row in ipairs(list.new) do
		if byte(row) ~= last then
			call('EXPIRE', key, keepNear)
			break
		end
	end
end

local states = {}
for i, r in ipairs(readings) do
	if r.state == 'n' and r.near > 0 then
		local list = lists[r.near]
		if near(list, r.sketch) then
			r.state = 'a'
		else
			list.new[#list.new + 1] = r.sketch
			list.all = list.all + 1
			local first = byte(list.v, 3) or byte(list.new[1]) -- the day, in columns as in rows
			if list.all - list.n >= NEAR_SLACK or list.all <= NEAR_SHORT and isStale(first) then settle(list) end
		end
	end
	states[i] = r.state
end
for i, list in ipairs(lists) do
	if list.whole or #list.new > 0 then save(KEYS[ids + texts + i], list) end
end

local function add(ring, bucket, c)
	local mark = ';' .. bucket .. ':'
	local from, to = find(ring, mark, math.max(1, #ring - 60), true) -- most are of the last buckets
	if not from then from, to = find(ring, mark, 1, true) end
	if not from then
		return ring .. bucket .. ':' .. table.concat(c, ',') .. ';'
	end
	local counted = {match(ring, '^(%d+),(%d+),(%d+),(%d+)()', to + 1)}
	for i = 1, 4 do
		if c[i] > 0 then counted[i] = counted[i] + c[i] end
	end
	return sub(ring, 1, to) .. table.concat(counted, ',', 1, 4) .. sub(ring, counted[5])
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
	call('SET', s.counts, s.ring, 'EX', keep)
end

local function explain(s)
	if not s.evidence then return end
	local evidence, sources = {}, {}
	for _, r in ipairs(s.readings) do
		if r.state ~= 'r' and marked(s, r) and tonumber(r.time) >= stale then
			if r.state == 'n' then evidence[#evidence + 1] = r.evidence end
			sources[#sources + 1] = r.time
			sources[#sources + 1] = r.source
		end
	end
	if #evidence > 0 then
		local length = call('LPUSH', s.evidence, unpack(evidence, math.max(1, #evidence - 11)))
		if length > 12 then call('LTRIM', s.evidence, 0, 11) end
		local last = length > #evidence and call('LINDEX', s.evidence, -1)
		while last and tonumber(match(last, '^%-?%d+')) < stale do
			call('RPOP', s.evidence)
			last = call('LINDEX', s.evidence, -1)
		end
		call('EXPIRE', s.evidence, keepEvidence)
	end
	if #sources > 0 then
		-- A late reading does not move its source back.
		if call('ZADD', s.sources, 'GT', unpack(sources)) > 0 then
			call('ZREMRANGEBYSCORE', s.sources, '-inf', '(' .. stale)
			call('ZREMRANGEBYRANK', s.sources, 0, -65)
		end
		call('EXPIRE', s.sources, keepEvidence)
	end
end

for _, s in ipairs(series) do count(s) end
for _, s in ipairs(series) do explain(s) end

local answer, bases, places = {table.concat(states)}, {}, {}
for i, s in ipairs(series) do
	answer[2 * i], answer[2 * i + 1] = '', ''
	if s.wanted or s.learnt < due then
		answer[2 * i] = s.ring
		bases[#bases + 1], places[#places + 1] = s.base, 2 * i + 1
	end
end
for i, base in ipairs(get(bases)) do answer[places[i]] = base or '' end
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
