--- IDs of entries of a stream: "milliseconds-number", as the engine gives them.
local entry_id = {}

--- Before all others.
entry_id.first = "0-0"

-- Numbers up to 2^53 are exact, which is enough for milliseconds. The second part is small, unless
-- somebody chose it.
local function parts(id)
	local time, number = id:match "^(%d+)%-(%d+)$"
	return tonumber(time), tonumber(number)
end

--- Whether a value is an ID.
function entry_id.is_valid(id)
	return type(id) == "string" and #id <= 41 and parts(id) ~= nil
end

--- Whether one ID comes before another.
function entry_id.is_less(a, b)
	local time_a, number_a = parts(a)
	local time_b, number_b = parts(b)
	return time_a < time_b or time_a == time_b and number_a < number_b
end

-- Up to 2^64 numbers are exact to 2048.
local function one_less(number)
	return number - (number < 2 ^ 53 and 1 or 2048)
end

--- The greatest ID before this one, or a lesser one if the second part is not exact; nil: none.
function entry_id.before(id)
	local time, number = parts(id)
	if number > 0 then
		return ("%.0f-%.0f"):format(time, one_less(number))
	elseif time > 0 then
		return ("%.0f-18446744073709551615"):format(time - 1)
	end
end

--- The least ID of a time in seconds.
function entry_id.of_time(seconds)
	return ("%.0f-0"):format(math.max(0, math.floor(seconds * 1000)))
end

return entry_id
