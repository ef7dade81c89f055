-- For tests only: the server's clock, so many seconds ahead as test_clock says, from the
-- next load of the configuration on.
-- luacheck: globals module os

module:set_global()

local time = os.time

function os.time(...)
	local seconds = time(...)
	return (...) and seconds or seconds + module:get_option_number("test_clock", 0)
end

function module.unload()
	os.time = time
end
