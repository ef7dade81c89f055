-- How often something happened on each of the last 30 days. As there are many of them, each is a short list: the
-- last day on which it happened (days since 1970, in UTC); how often on that day; and the counts of the days
-- before it, the latest first, as text: "12 0 5".
local day_counts = {}

local DAY, COUNT, PAST = 1, 2, 3

-- Days that count, today among them.
local DAYS = 30

day_counts.DAYS = DAYS

-- A count has so many digits at most, so that the text is bounded.
local MOST = 9999999

--- Counts of nothing yet. `today`: days since 1970, in UTC.
function day_counts.new(today)
	return { today, 0, "" }
end

-- The counts of the days before `today`, as a list, the latest first.
local function past_of(counts, today)
	local list = {}
	for day = today - 1, counts[DAY] + 1, -1 do
		if today - day >= DAYS then
			return list
		end
		list[#list + 1] = 0
	end
	if today > counts[DAY] then
		list[#list + 1] = counts[COUNT]
	end
	for count in counts[PAST]:gmatch "%d+" do
		list[#list + 1] = tonumber(count)
	end
	for index = #list, DAYS, -1 do
		list[index] = nil
	end
	return list
end

-- Without the zeros at its end.
local function as_text(list)
	while list[#list] == 0 do
		list[#list] = nil
	end
	local words = {}
	for index, count in ipairs(list) do
		words[index] = ("%d"):format(count)
	end
	return table.concat(words, " ")
end

--- Counts one more. After a clock was set back, it counts for the last day that was seen.
function day_counts.add(counts, today)
	if today > counts[DAY] then
		counts[PAST] = as_text(past_of(counts, today))
		counts[DAY], counts[COUNT] = today, 0
	end
	if counts[COUNT] < MOST then
		counts[COUNT] = counts[COUNT] + 1
	end
end

-- All counts up to a day, as a list, the latest first.
local function counts_until(counts, today)
	local list = past_of(counts, today)
	table.insert(list, 1, today == counts[DAY] and counts[COUNT] or 0)
	return list
end

--- Adds other counts.
function day_counts.merge(counts, other)
	local today = math.max(counts[DAY], other[DAY])
	local list, more = counts_until(counts, today), counts_until(other, today)
	for index = 1, math.max(#list, #more) do
		list[index] = math.min((list[index] or 0) + (more[index] or 0), MOST)
	end
	counts[DAY], counts[COUNT] = today, table.remove(list, 1)
	counts[PAST] = as_text(list)
end

--- The sum of the last 30 days, or of so many of them.
function day_counts.sum(counts, today, days)
	today = math.max(today, counts[DAY])
	local sum = today == counts[DAY] and counts[COUNT] or 0
	for back, count in ipairs(past_of(counts, today)) do
		sum = sum + (back < (days or DAYS) and count or 0)
	end
	return sum
end

--- The last day, and how often it happened on it.
function day_counts.last(counts)
	return counts[DAY], counts[COUNT]
end

--- Whether it happened on more days than the last one.
function day_counts.has_past(counts)
	return counts[PAST]:find "[1-9]" ~= nil
end

--- As a table for a storage, { day, count, past }, and back; nil if that is damaged.
function day_counts.to_store(counts)
	return { day = counts[DAY], count = counts[COUNT], past = counts[PAST] }
end

local function is_whole(number, most)
	return type(number) == "number" and number % 1 == 0 and number >= 0 and number <= most
end

--- The counts of a table that to_store made, or nil for anything else.
function day_counts.from_store(stored)
	if type(stored) ~= "table" or not is_whole(stored.day, 1e7) or not is_whole(stored.count, MOST)
		or type(stored.past) ~= "string" or #stored.past > DAYS * 8 or stored.past:find "[^%d ]"
		or stored.past:find "%d%d%d%d%d%d%d%d" then
		return nil
	end
	return { stored.day, stored.count, stored.past }
end

return day_counts
