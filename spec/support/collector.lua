-- A garbage collector that is as eager as possible, for `make sanitize`: an object that the core
-- still uses but Lua does not refer to is collected at once. For Lua 5.4.
--
-- A cycle follows the previous one without a pause. Before each call of a function of the core all
-- garbage is collected. During some of the calls, a whole cycle follows each allocation.

require "support.announce"
local core = require "xmpp_tls_policy.core"

local whole_cycles_in = 50 -- one call in 50, because it is slow

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

-- A step larger than the memory is a whole cycle.
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
