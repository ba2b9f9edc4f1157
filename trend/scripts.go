package trend

import "github.com/redis/go-redis/v9"

// observe counts the readings of one shard, each once, and returns the state of the
// series to judge. It is atomic, and repeating it changes nothing.
//
// KEYS
//
//	I keys of id sets, T keys of text sets, then for each series four keys: counts, base,
//	evidence, sources
//
// ARGV
//
//	I, T, seconds to keep a series, seconds to keep evidence, event time before which
//	evidence goes, first bucket to keep (an older one goes once it is learnt), and the
//	bucket that a series should have learnt up to (one that has not is returned even if
//	not asked for)
//	seconds to keep each of the I + T sets
//	number of readings, then for each: index of its id set, hash of its id, index of its
//	text set (0: no text), hash of its text, bucket, 1 if negative else 0, source, event
//	time in Unix seconds, evidence (event time, space, JSON; for negatives only)
//	number of series, then for each: 1 to return it else 0, bucket from which it learns if
//	it is new, number of its readings, the index of each in rising order
//
// Returns
//
//	a string with a letter for each reading: n(ew), c(opy of a text already counted) or
//	r(epeated id), then for each series its counts and its base, both "" where neither
//	asked for nor due
var observe = redis.NewScript(`
local at = 0
local function text() at = at + 1; return ARGV[at] end
local function number() return tonumber(text()) end

local ids, texts = number(), number()
local keep, keepEvidence, stale, oldest, due = text(), text(), number(), number(), number()
local ttl = {}
for i = 1, ids + texts do ttl[i] = text() end
local readings = {}
for i = 1, number() do
	readings[i] = {idSet = number(), id = text(), textSet = number(), hash = text(), bucket = text(),
		negative = number(), source = text(), time = text(), evidence = text()}
end

-- Whatever could fail is read before anything is written: a script that fails half-way
-- would leave ids that are remembered but not counted.
local series = {}
for i = 1, number() do
	local first = ids + texts + 4 * (i - 1)
	local s = {counts = KEYS[first + 1], base = KEYS[first + 2], evidence = KEYS[first + 3], sources = KEYS[first + 4],
		wanted = number() == 1, readings = {}}
	local start = text()
	s.ring = redis.call('GET', s.counts) or (start .. ';')
	if not string.find(s.ring, '^%-?%d+;') then
		return redis.error_reply('ERR the counts in ' .. s.counts .. ' cannot be read: delete the key to begin anew')
	end
	for j = 1, number() do s.readings[j] = readings[number()] end
	series[i] = s
end

local states = {}
for i, r in ipairs(readings) do
	r.state = 'r'
	if redis.call('SADD', KEYS[r.idSet], r.id) == 1 then
		r.state = 'n'
		if r.textSet > 0 and redis.call('SADD', KEYS[ids + r.textSet], r.hash) == 0 then r.state = 'c' end
	end
	states[i] = r.state
end
for i = 1, ids + texts do redis.call('EXPIRE', KEYS[i], ttl[i]) end

local function add(ring, bucket, c)
	local mark = ';' .. bucket .. ':'
	local from, to = string.find(ring, mark, 1, true)
	if not from then
		return ring .. bucket .. ':' .. table.concat(c, ',') .. ';'
	end
	local stop = string.find(ring, ';', to + 1, true)
	local i = 0
	local sums = string.gsub(string.sub(ring, to + 1, stop - 1), '%d+', function(n)
		i = i + 1
		return string.format('%.0f', n + c[i])
	end)
	return string.sub(ring, 1, to) .. sums .. string.sub(ring, stop)
end

local function prune(ring)
	local stop = string.find(ring, ';', 1, true)
	local limit = math.min(oldest, tonumber(string.sub(ring, 1, stop - 1)))
	local from = stop + 1
	while from <= #ring do
		local colon = string.find(ring, ':', from, true)
		if tonumber(string.sub(ring, from, colon - 1)) >= limit then break end
		from = string.find(ring, ';', colon, true) + 1
	end
	if from == stop + 1 then return ring end
	return string.sub(ring, 1, stop) .. string.sub(ring, from)
end

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
			if r.state == 'c' then
				c[3], c[4] = c[3] + 1, c[4] + r.negative
			else
				c[1], c[2] = c[1] + 1, c[2] + r.negative
			end
		end
	end
	if #order == 0 then return end
	for _, bucket in ipairs(order) do s.ring = add(s.ring, bucket, sums[bucket]) end
	s.ring = prune(s.ring)
	redis.call('SET', s.counts, s.ring, 'EX', keep)
end

local function explain(s)
	local evidence, sources = {}, {}
	for _, r in ipairs(s.readings) do
		if r.state ~= 'r' and r.negative == 1 and tonumber(r.time) >= stale then
			if r.state == 'n' then evidence[#evidence + 1] = r.evidence end
			sources[#sources + 1] = r.time
			sources[#sources + 1] = r.source
		end
	end
	if #evidence > 0 then
		redis.call('LPUSH', s.evidence, unpack(evidence, math.max(1, #evidence - 11)))
		redis.call('LTRIM', s.evidence, 0, 11)
		local last = redis.call('LINDEX', s.evidence, -1)
		while last and tonumber(string.match(last, '^%-?%d+')) < stale do
			redis.call('RPOP', s.evidence)
			last = redis.call('LINDEX', s.evidence, -1)
		end
		redis.call('EXPIRE', s.evidence, keepEvidence)
	end
	if #sources > 0 then
		redis.call('ZADD', s.sources, 'GT', unpack(sources)) -- a late reading does not move its source back
		redis.call('ZREMRANGEBYSCORE', s.sources, '-inf', '(' .. stale)
		redis.call('ZREMRANGEBYRANK', s.sources, 0, -65)
		redis.call('EXPIRE', s.sources, keepEvidence)
	end
end

for _, s in ipairs(series) do count(s) end
for _, s in ipairs(series) do explain(s) end

local answer = {table.concat(states)}
for i, s in ipairs(series) do
	answer[2 * i], answer[2 * i + 1] = '', ''
	if s.wanted or tonumber(string.match(s.ring, '^%-?%d+')) < due then
		answer[2 * i] = s.ring
		answer[2 * i + 1] = redis.call('GET', s.base) or ''
	end
end
return answer
`)

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
