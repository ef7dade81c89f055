-- Days as an operator writes them, "2027-03-01", in UTC.
local counted = require "xmpp_tls_policy.text".counted

local date = {}

-- Seconds of a day.
date.DAY = 86400

-- Days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March, so
-- that the leap day is the last day of a year.
local function days_since_1970(year, month, day)
	if month <= 2 then
		year, month = year - 1, month + 12
	end
	local leap_days = math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
	return 365 * year + leap_days + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
end

-- The day of a time in UTC seconds, as "2027-03-01".
function date.of(seconds)
	return os.date("!%Y-%m-%d", math.floor(seconds))
end

-- UTC seconds of the first second of a day; nil if the text is not a day.
function date.begins(text)
	if type(text) ~= "string" then
		return nil
	end
	local year, month, day = text:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)$")
	if not year or tonumber(year) < 1970 then
		return nil
	end
	local seconds = days_since_1970(tonumber(year), tonumber(month), tonumber(day)) * date.DAY
	return date.of(seconds) == text and seconds or nil
end

-- UTC seconds of the first second after a day; nil if the text is not a day.
function date.ends(text)
	local begins = date.begins(text)
	return begins and begins + date.DAY
end

-- A span of time, in seconds, in whole days: "less than a day", "1 day", "12 days".
function date.span(seconds)
	local days = math.floor(seconds / date.DAY)
	return days < 1 and "less than a day" or counted(days, "day")
end

return date
