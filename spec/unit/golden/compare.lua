-- Compares text with a golden file beside this one. After a change that is meant:
--   UPDATE_GOLDEN=1 lua5.4 /usr/bin/busted spec/unit
-- writes the files anew; the diff then shows what changed.
local assert = require "luassert"

local folder = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"

return function(name, actual)
	if os.getenv("UPDATE_GOLDEN") then
		local file = assert(io.open(folder .. name, "wb"))
		file:write(actual)
		file:close()
	end
	local file = assert(io.open(folder .. name, "rb"))
	local expected = file:read("*a")
	file:close()
	assert.are.equal(expected, actual)
end
