-- A garbage collector that is as eager as it can be, for `make sanitize`: what the core
-- still needs and Lua thinks it does not is gone at once. For Lua 5.4.
--
-- A cycle follows the last without a pause; before every call of a function of the core
-- all garbage goes; and in some of the calls every allocation is followed by a whole cycle.

require "support.announce"
local core = require "xmpp_tls_policy.core"

local whole_cycles_in = 50 -- one call of so many: it takes its time

local is_of_core = {}

local function add(functions)
	for _, value in pairs(functions) do
		if type(value) == "function" then
			is_of_core[value] = true
		end
	end
end

for _, value in pairs(core) do
	if type(value) == "table" then
		add(value)
	end
end
for name, value in pairs(debug.getregistry()) do
	if type(name) == "string" and name:match "^xmpp_tls_policy" and type(value) == "table" then
		add(value)
		add(value.__index)
	end
end

local function collect_without_pause()
	collectgarbage("incremental", 1, 1000, 8)
end

-- A step that is larger than memory is a whole cycle.
local function collect_at_every_allocation()
	collectgarbage("incremental", 1, 1000, 63)
end

local calls, eager = 0, false

debug.sethook(function ()
	if eager then
		eager = false
		collect_without_pause()
	end
	if is_of_core[debug.getinfo(2, "f").func] then
		calls = calls + 1
		collectgarbage()
		if calls % whole_cycles_in == 0 then
			eager = true
			collect_at_every_allocation()
		end
	end
end, "c")

collect_without_pause()
