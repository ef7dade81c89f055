-- Days as an operator writes them, "2027-03-01", in UTC.
local date = {}

-- Seconds of a day.
date.DAY = 86400

-- Days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March, so
-- that the leap day is a year's last.
local function days_of(year, month, day)
	if month <= 2 then
		year, month = year - 1, month + 12
	end
	local leap_days = math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
	return 365 * year + leap_days + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
end

-- The day of a time in seconds, as "2027-03-01".
function date.of(seconds)
	return os.date("!%Y-%m-%d", math.floor(seconds))
end

-- UTC seconds at which a day begins; nil for what is no day.
function date.begins(text)
	if type(text) ~= "string" then
		return nil
	end
	local year, month, day = text:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)$")
	if not year or tonumber(year) < 1970 then
		return nil
	end
	local seconds = days_of(tonumber(year), tonumber(month), tonumber(day)) * date.DAY
	return date.of(seconds) == text and seconds or nil
end

-- UTC seconds at which a day is over; nil for what is no day.
function date.ends(text)
	local begins = date.begins(text)
	return begins and begins + date.DAY
end

return date
