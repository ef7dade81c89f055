-- How often something happened on each of the last 30 days: { day = the number of the last day on which it
-- did (days since 1970, in UTC), count = how often on that day, past = the counts of the days before it,
-- the latest first, as text: "12 0 5" }. Such a table takes little memory and is stored as it is.
local day_counts = {}

-- Days that count, today among them.
local DAYS = 30

day_counts.DAYS = DAYS

-- A count has so many digits at most, so that the text is bounded.
local MOST = 9999999

function day_counts.new(today)
	return { day = today, count = 0, past = "" }
end

-- The counts of the days before `today`, as a list, the latest first.
local function past_of(counts, today)
	local list = {}
	for day = today - 1, counts.day + 1, -1 do
		if today - day >= DAYS then
			return list
		end
		list[#list + 1] = 0
	end
	if today > counts.day then
		list[#list + 1] = counts.count
	end
	for count in counts.past:gmatch "%d+" do
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
	if today > counts.day then
		counts.past = as_text(past_of(counts, today))
		counts.day, counts.count = today, 0
	end
	if counts.count < MOST then
		counts.count = counts.count + 1
	end
end

--- The sum of the last 30 days.
function day_counts.sum(counts, today)
	if today <= counts.day then
		today = counts.day
	end
	local sum = today == counts.day and counts.count or 0
	for _, count in ipairs(past_of(counts, today)) do
		sum = sum + count
	end
	return sum
end

--- Whether a value from a storage is such a table.
function day_counts.is(value)
	return type(value) == "table" and type(value.day) == "number" and value.day % 1 == 0 and math.abs(value.day) < 1e7
		and type(value.count) == "number" and value.count >= 0 and value.count <= MOST and value.count % 1 == 0
		and type(value.past) == "string" and #value.past <= DAYS * 8 and not value.past:find "[^%d ]"
		and not value.past:find "%d%d%d%d%d%d%d%d"
end

return day_counts
