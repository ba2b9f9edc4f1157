-- observe counts the readings of one shard, each once, and returns the state of the series to
-- judge. It is atomic, and repeating it changes nothing.
--
-- KEYS
--
--	the sets of ids, the sets of texts, the lists of sketches, then for each series its counts
--	and base and, where a reading explains it, its evidence and sources
--
-- ARGV
--
--	the plan as JSON (arguments.go), in which readings are numbered from 1:
--	  keep, keepEvidence, keepNear   seconds to keep series, evidence and sketches
--	  stale    event time before which sources go, in Unix seconds
--	  due      the bucket that a series should have learnt up to
--	  old      the bucket before which its counts are too old
--	  long     bytes of counts above which they are too long
--	  ids      for each set: seconds to keep it, readings, hashes of their ids
--	  texts    for each set: seconds to keep it, readings, hashes of their texts
--	  nears    for each list of sketches: the bytes and the cuts that the client saw, how many of
--	           its first sketches are stale, its readings, and the places among these of those
--	           that are near a sketch of the list
--	  buckets  for each reading "BUCKET:"
--	  marks    for each reading (kinds.go)
--	  shown    readings that explain a series
--	  times    for each of them: event time in Unix seconds
--	  series   for each: 1 to return it else 0, the mark that it counts, the mark that it counts
--	           as leaning, the bucket from which it learns if it is new, its readings, those that
--	           explain it: as places in shown
--	for each list the sketches of its readings, with their days (near.go), in one string
--	for each reading shown its source and its evidence (evidence.go; "" for none)
--
-- Returns
--
--	a string with a letter for each reading: n(ew), c(opy of a text already counted), a (nearly
--	such a copy) or r(epeated id), then for each series its counts and its base, both "" where
--	it was not asked for, has learnt up to due and is neither old nor long

local sub, byte, match, call = string.sub, string.byte, string.match, redis.call
local plan = cjson.decode(ARGV[1])
local ids, texts, nears = #plan.ids, #plan.texts, #plan.nears

-- get reads strings, false where there is none. One command for many costs much less than one
-- for each.
local function get(keys)
	local all = {}
	for from = 1, #keys, 500 do
		local some = call('MGET', unpack(keys, from, math.min(#keys, from + 499)))
		for i = 1, #some do all[from + i - 1] = some[i] end
	end
	return all
end

-- What could fail is looked at before anything is written: a script that fails half-way would
-- leave ids that are remembered but not counted.
for i, list in ipairs(plan.nears) do
	local key = KEYS[ids + texts + i]
	list.length, list.cuts = call('STRLEN', key), call('GETRANGE', key, 0, 1)
	if list.length % 9 ~= 2 then -- there is none, or what is there is none of ours
		list.length, list.cuts = 0, '\0\0'
	end
end
local series = {}
do
	local key = ids + texts + nears
	for i, s in ipairs(plan.series) do
		local counts = KEYS[key + 1]
		local known = call('GETRANGE', counts, 0, SHORT_COUNTS - 1)
		local learnt, first = match(known, '^(%-?%d+);(%-?%d*)')
		if known == '' then
			learnt, known = s[4], s[4] .. ';'
		elseif not learnt then
			return redis.error_reply('ERR the counts in ' .. counts .. ' cannot be read: delete the key to begin anew')
		end
		learnt = tonumber(learnt)
		local look = s[1] == 1 or learnt < plan.due or (tonumber(first) or plan.old) < math.min(plan.old, learnt)
		series[i] = {counts = counts, look = look, base = KEYS[key + 2], evidence = KEYS[key + 3], sources = KEYS[key + 4],
			known = known, mark = s[2], lean = s[3], readings = s[5], explaining = s[6]}
		key = key + (#s[6] > 0 and 4 or 2)
	end
end

-- A set is given its end when it is made: it never changes.
local found = 0
for from = 1, ids + texts, 500 do
	found = found + call('EXISTS', unpack(KEYS, from, math.min(ids + texts, from + 499)))
end
local expire = found < ids + texts

-- remember adds members to a set and says of each whether it was new.
local function remember(key, seconds, members)
	local fresh, new = {}, {}
	if #members == 1 then
		fresh[1] = call('SADD', key, members[1]) == 1
		new = fresh[1] and members or new
	else
		local known, seen = call('SMISMEMBER', key, unpack(members)), {}
		for i, member in ipairs(members) do
			fresh[i] = known[i] == 0 and not seen[member]
			if fresh[i] then
				seen[member] = true
				new[#new + 1] = member
			end
		end
		if #new > 0 then call('SADD', key, unpack(new)) end
	end
	if expire and #new > 0 then call('EXPIRE', key, seconds) end
	return fresh
end

local states = {}
for i, set in ipairs(plan.ids) do
	local fresh = remember(KEYS[i], set[1], set[3])
	for j, reading in ipairs(set[2]) do states[reading] = fresh[j] and 'n' or 'r' end
end
for i, set in ipairs(plan.texts) do
	local readings, members = set[2], set[3]
	for j = #readings, 1, -1 do
		if states[readings[j]] == 'r' then
			table.remove(readings, j)
			table.remove(members, j)
		end
	end
	if #readings > 0 then
		local fresh = remember(KEYS[ids + i], set[1], members)
		for j, reading in ipairs(readings) do
			if not fresh[j] then states[reading] = 'c' end
		end
	end
end

-- extend writes to the end of a string and returns its length. Redis leaves room behind one that
-- grows, so that a short one, of which all is known, is written whole.
local function extend(key, known, whole, text, seconds)
	if whole then
		call('SET', key, known .. text, 'EX', seconds)
		return #known + #text
	end
	local length = call('APPEND', key, text)
	call('EXPIRE', key, seconds)
	return length
end

-- A list was searched by the client. What came since is searched here: all of it, if it was cut
-- meanwhile.
local nibbles = 'NIBBLES' -- in how many bits two half bytes differ
local function differ(a, b)
	local low, under = a % 16, b % 16
	return byte(nibbles, 16 * low + under + 1) + byte(nibbles, a - low + (b - under) / 16 + 1) - 96
end

local function near(rows, sketch)
	local day, fact1, fact2 = byte(sketch, 1, 3)
	for i = 1, #rows, 9 do
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

for i, list in ipairs(plan.nears) do
	local key, readings, sketches, length = KEYS[ids + texts + i], list[4], ARGV[1 + i], list.length
	local cut = 256 * byte(list.cuts, 1) + byte(list.cuts, 2) ~= list[2] or length < list[1]
	local since = ''
	if length > 0 and (cut or length > list[1]) then
		since = call('GETRANGE', key, cut and 2 or math.max(2, list[1]), -1)
	end
	local known, new = {}, #since
	if not cut then
		for _, place in ipairs(list[5]) do known[place] = true end
	end
	for j, reading in ipairs(readings) do
		if states[reading] == 'n' then
			local sketch = sub(sketches, 9 * j - 8, 9 * j)
			if known[j] or near(since, sketch) then
				states[reading] = 'a'
			else
				since = since .. sketch
			end
		end
	end
	local rows = sub(since, new + 1)
	if rows ~= '' then
		local stored, drop = math.max(0, length - 2) / 9, 0
		local all = stored + #rows / 9
		if all >= NEAR_KEPT + NEAR_SLACK or all <= NEAR_SHORT and list[3] > 0 and not cut then
			drop = math.max(cut and 0 or list[3], all - NEAR_KEPT)
			local cuts = (256 * byte(list.cuts, 1) + byte(list.cuts, 2) + 1) % 65536
			list.cuts = string.char(math.floor(cuts / 256), cuts % 256)
			rows = sub(rows, 1 + 9 * math.max(0, drop - stored))
		end
		local whole = drop > 0 or length < SHORT_LIST
		local before = whole and list.cuts .. (drop < stored and call('GETRANGE', key, 2 + 9 * drop, -1) or '')
		extend(key, before, whole, rows, plan.keepNear)
	end
end

-- counted is what a reading adds to its bucket: items, negative, copies, echoes, leaning.
local function counted(state, marked, leans)
	if state == 'n' then
		return marked and '1,1;' or leans and '1,,,,1;' or '1;'
	end
	return state == 'c' and marked and ',,1,1;' or ',,1;'
end

-- entries is what the readings of a series add to its counts.
local function entries(s)
	local marks, buckets = plan.marks, plan.buckets
	local function has(reading, one) return one > 0 and marks[reading] % (2 * one) >= one end
	if #s.readings == 1 then
		local reading = s.readings[1]
		local state = states[reading]
		if state == 'r' then return '' end
		return buckets[reading] .. counted(state, has(reading, s.mark), has(reading, s.lean))
	end
	local order, sums = {}, {}
	for _, reading in ipairs(s.readings) do
		local state, bucket = states[reading], buckets[reading]
		if state ~= 'r' then
			local c = sums[bucket]
			if not c then
				c = {0, 0, 0, 0, 0}
				sums[bucket] = c
				order[#order + 1] = bucket
			end
			local one = has(reading, s.mark) and 1 or 0
			if state == 'n' then
				c[1], c[2] = c[1] + 1, c[2] + one
				if has(reading, s.lean) then c[5] = c[5] + 1 end
			else
				c[3] = c[3] + 1
				if state == 'c' then c[4] = c[4] + one end
			end
		end
	end
	for i, bucket in ipairs(order) do
		local c = sums[bucket]
		order[i] = bucket .. table.concat(c, ',', 1, c[5] > 0 and 5 or c[3] > 0 and 4 or 2) .. ';'
	end
	return table.concat(order)
end

local function explain(s)
	local evidence, sources = {}, {}
	for _, one in ipairs(s.explaining) do
		local state, at = states[plan.shown[one]], 2 * one + nears
		if state ~= 'r' then
			if state == 'n' and ARGV[at + 1] ~= '' then evidence[#evidence + 1] = ARGV[at + 1] end
			sources[#sources + 1] = plan.times[one]
			sources[#sources + 1] = ARGV[at]
		end
	end
	if #evidence > 0 then
		local length = call('LPUSH', s.evidence, unpack(evidence, math.max(1, #evidence - 11)))
		if length > 12 then call('LTRIM', s.evidence, 0, 11) end
		local last = length > #evidence and call('LINDEX', s.evidence, -1)
		while last and tonumber(match(last, '^%-?%d+')) < plan.stale do
			call('RPOP', s.evidence)
			last = call('LINDEX', s.evidence, -1)
		end
		call('EXPIRE', s.evidence, plan.keepEvidence)
	end
	if #sources > 0 then
		-- A late reading does not move its source back.
		if call('ZADD', s.sources, 'GT', unpack(sources)) > 0 then
			call('ZREMRANGEBYSCORE', s.sources, '-inf', '(' .. plan.stale)
			call('ZREMRANGEBYRANK', s.sources, 0, -65)
		end
		call('EXPIRE', s.sources, plan.keepEvidence)
	end
end

local wanted, places = {}, {}
for i, s in ipairs(series) do
	local text = entries(s)
	if text ~= '' then
		local length = extend(s.counts, s.known, #s.known < SHORT_COUNTS, text, plan.keep)
		s.look = s.look or length > plan.long
	end
	if #s.explaining > 0 then explain(s) end
	if s.look then
		wanted[#wanted + 1], wanted[#wanted + 2], places[#places + 1] = s.counts, s.base, i
	end
end

local answer = {table.concat(states)}
for i = 1, #series do answer[2 * i], answer[2 * i + 1] = '', '' end
local stored = get(wanted)
for j, i in ipairs(places) do
	answer[2 * i], answer[2 * i + 1] = stored[2 * j - 1] or series[i].known, stored[2 * j] or ''
end
return answer
