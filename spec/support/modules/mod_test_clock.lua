-- For tests only: sets the server's clock test_clock seconds ahead, from the next load of the
-- configuration on.
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
