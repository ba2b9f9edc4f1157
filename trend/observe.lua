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
--	           its first sketches are stale, its readings, the places among these of those that
--	           are near a sketch of the list, and the hour of its last sketch
--	  buckets  for each reading "BUCKET:"
--	  marks    for each reading (kinds.go)
--	  shown    readings that explain a series
--	  times    for each of them: event time in Unix seconds
--	  series   for each: 1 to return it else 0, the mark that it counts, the mark that it counts
--	           as leaning, the bucket from which it learns if it is new, its readings, those that
--	           explain it: as places in shown
--	for each list the sketches of its readings, with their hours (near.go), in one string
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

-- By list: its bytes, its cuts as two bytes, and its sketches where they are few. Arrays beside each
-- other, here and below, for a table for each list and series takes longer than all the rest.
local lengths, cuts, rows = {}, {}, {}
for i = 1, nears do
	local key, v = KEYS[ids + texts + i], ''
	local length = call('STRLEN', key)
	if length % 9 ~= 2 then -- there is none, or what is there is none of ours
		length = 0
	else
		v = call('GETRANGE', key, 0, length < SHORT_LIST and -1 or 1)
	end
	lengths[i], cuts[i], rows[i] = length, length > 0 and sub(v, 1, 2) or '\0\0', sub(v, 3)
end

-- By series: the place of its first key, its counts as far as they are short, and whether it is returned.
local places, known, look = {}, {}, {}
do
	local place = ids + texts + nears
	for i, s in ipairs(plan.series) do
		local counts = call('GETRANGE', KEYS[place + 1], 0, SHORT_COUNTS - 1)
		local learnt, first = match(counts, '^(%-?%d+);(%-?%d*)')
		if counts == '' then
			learnt, counts = s[4], s[4] .. ';'
		elseif not learnt then
			return redis.error_reply('ERR the counts in ' .. KEYS[place + 1] .. ' cannot be read: delete the key to begin anew')
		end
		learnt = tonumber(learnt)
		places[i], known[i] = place, counts
		look[i] = s[1] == 1 or learnt < plan.due or (tonumber(first) or plan.old) < math.min(plan.old, learnt)
		place = place + (#s[6] > 0 and 4 or 2)
	end
end

-- A set is given its end when it is made: it never changes.
local found = 0
for from = 1, ids + texts, 500 do
	found = found + call('EXISTS', unpack(KEYS, from, math.min(ids + texts, from + 499)))
end
local expire = found < ids + texts
local states = {}

-- remember adds members to a set and gives the states of their readings: one if they were new, else the other.
local function remember(key, seconds, readings, members, new, old)
	if #members == 1 then
		local added = call('SADD', key, members[1]) == 1
		states[readings[1]] = added and new or old
		if added and expire then call('EXPIRE', key, seconds) end
		return
	end
	local there, seen, fresh = call('SMISMEMBER', key, unpack(members)), {}, {}
	for i, member in ipairs(members) do
		if there[i] == 0 and not seen[member] then
			seen[member] = true
			fresh[#fresh + 1] = member
			states[readings[i]] = new
		else
			states[readings[i]] = old
		end
	end
	if #fresh > 0 then
		call('SADD', key, unpack(fresh))
		if expire then call('EXPIRE', key, seconds) end
	end
end

for i, set in ipairs(plan.ids) do remember(KEYS[i], set[1], set[2], set[3], 'n', 'r') end
for i, set in ipairs(plan.texts) do
	local readings, members = set[2], set[3]
	for j = #readings, 1, -1 do
		if states[readings[j]] == 'r' then
			table.remove(readings, j)
			table.remove(members, j)
		end
	end
	if #readings > 0 then remember(KEYS[ids + i], set[1], readings, members, 'n', 'c') end
end

-- A list was searched by the client. What came since is searched here: all of it, if it was cut
-- meanwhile.
local nibbles = 'NIBBLES' -- in how many bits two half bytes differ
local function differ(a, b)
	local low, under = a % 16, b % 16
	return byte(nibbles, 16 * low + under + 1) + byte(nibbles, a - low + (b - under) / 16 + 1) - 96
end

-- among says whether one of some sketches is near another.
local function among(rows, sketch)
	local hour, fact1, fact2 = byte(sketch, 1, 3)
	for i = 1, #rows, 9 do
		local h, f1, f2 = byte(rows, i, i + 2)
		if f2 == fact2 and f1 == fact1 and math.min((h - hour) % 256, (hour - h) % 256) <= NEAR_HOURS then
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
	local key, readings, sketches, length = KEYS[ids + texts + i], list[4], ARGV[1 + i], lengths[i]
	local times = 256 * byte(cuts[i], 1) + byte(cuts[i], 2)
	local cut = times ~= list[2] or length < list[1]
	local since = ''
	if length > 0 and (cut or length > list[1]) then
		since = call('GETRANGE', key, cut and 2 or math.max(2, list[1]), -1)
	end
	local near, new = list[5], #since
	local at = cut and #near + 1 or 1
	for j, reading in ipairs(readings) do
		local listed = near[at] == j
		if listed then at = at + 1 end
		if states[reading] == 'n' then
			local sketch = sub(sketches, 9 * j - 8, 9 * j)
			if listed or since ~= '' and among(since, sketch) then
				states[reading] = 'a'
			else
				since = since .. sketch
			end
		end
	end
	if #since > new then
		local fresh, stored, drop, begin = sub(since, new + 1), math.max(0, length - 2) / 9, 0, cuts[i]
		local all = stored + #fresh / 9
		if all >= NEAR_KEPT + NEAR_SLACK or not cut and (all <= NEAR_SHORT and list[3] > 0 or list[3] >= NEAR_SLACK) then
			drop = math.max(cut and 0 or list[3], all - NEAR_KEPT)
			fresh = sub(fresh, 1 + 9 * math.max(0, drop - stored))
			times = (times + 1) % 65536
			begin = string.char(math.floor(times / 256), times % 256)
		end
		if drop > 0 or length < SHORT_LIST then -- Redis leaves room behind a string that grows
			local kept = length < SHORT_LIST and rows[i] or drop < stored and call('GETRANGE', key, 2, -1) or ''
			call('SET', key, begin .. sub(kept, 1 + 9 * drop) .. fresh, 'EX', plan.keepNear)
		else
			call('APPEND', key, fresh)
			-- What is kept of an hour is of use until two days after it.
			if byte(fresh) ~= list[6] then call('EXPIRE', key, plan.keepNear) end
		end
	end
end

-- counted is what a reading adds to its bucket: items, negative, copies, echoes, leaning.
local function counted(state, marked, leans)
	if state == 'n' then
		return marked and '1,1;' or leans and '1,,,,1;' or '1;'
	end
	return state == 'c' and marked and ',,1,1;' or ',,1;'
end

local marks, buckets = plan.marks, plan.buckets
local function has(reading, mark) return mark > 0 and marks[reading] % (2 * mark) >= mark end

-- entries is what readings add to the counts of a series with a mark, and another for what leans.
local function entries(readings, mark, lean)
	if #readings == 1 then
		local reading = readings[1]
		local state = states[reading]
		if state == 'r' then return '' end
		return buckets[reading] .. counted(state, has(reading, mark), has(reading, lean))
	end
	local order, sums = {}, {}
	for _, reading in ipairs(readings) do
		local state, bucket = states[reading], buckets[reading]
		if state ~= 'r' then
			local c = sums[bucket]
			if not c then
				c = {0, 0, 0, 0, 0}
				sums[bucket] = c
				order[#order + 1] = bucket
			end
			local one = has(reading, mark) and 1 or 0
			if state == 'n' then
				c[1], c[2] = c[1] + 1, c[2] + one
				if has(reading, lean) then c[5] = c[5] + 1 end
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

local function explain(evidenceKey, sourcesKey, explaining)
	local evidence, sources = {}, {}
	for _, one in ipairs(explaining) do
		local state, at = states[plan.shown[one]], 2 * one + nears
		if state ~= 'r' then
			if state == 'n' and ARGV[at + 1] ~= '' then evidence[#evidence + 1] = ARGV[at + 1] end
			sources[#sources + 1] = plan.times[one]
			sources[#sources + 1] = ARGV[at]
		end
	end
	if #evidence > 0 then
		local length = call('LPUSH', evidenceKey, unpack(evidence, math.max(1, #evidence - 11)))
		if length > 12 then call('LTRIM', evidenceKey, 0, 11) end
		local last = length > #evidence and call('LINDEX', evidenceKey, -1)
		while last and tonumber(match(last, '^%-?%d+')) < plan.stale do
			call('RPOP', evidenceKey)
			last = call('LINDEX', evidenceKey, -1)
		end
		call('EXPIRE', evidenceKey, plan.keepEvidence)
	end
	if #sources > 0 then
		-- A late reading does not move its source back.
		if call('ZADD', sourcesKey, 'GT', unpack(sources)) > 0 then
			call('ZREMRANGEBYSCORE', sourcesKey, '-inf', '(' .. plan.stale)
			call('ZREMRANGEBYRANK', sourcesKey, 0, -65)
		end
		call('EXPIRE', sourcesKey, plan.keepEvidence)
	end
end

local answer, wanted, asked = {table.concat(states)}, {}, {}
for i, s in ipairs(plan.series) do
	local place, text = places[i], entries(s[5], s[2], s[3])
	local counts = KEYS[place + 1]
	if text ~= '' and #known[i] < SHORT_COUNTS then
		call('SET', counts, known[i] .. text, 'EX', plan.keep)
	elseif text ~= '' then
		-- A series that nothing looks at was looked at, and given its end, within the last day.
		look[i] = call('APPEND', counts, text) > plan.long or look[i]
		if look[i] then call('EXPIRE', counts, plan.keep) end
	end
	if #s[6] > 0 then explain(KEYS[place + 3], KEYS[place + 4], s[6]) end
	answer[2 * i], answer[2 * i + 1] = '', ''
	if look[i] then
		wanted[#wanted + 1], wanted[#wanted + 2], asked[#asked + 1] = counts, KEYS[place + 2], i
	end
end
local stored = get(wanted)
for j, i in ipairs(asked) do
	answer[2 * i], answer[2 * i + 1] = stored[2 * j - 1] or known[i], stored[2 * j] or ''
end
return answer
