-- The pace of Lua's garbage collector. Lua 5.5 has another function for it.
local collector_pace = {}

local function set(name, value)
	if _VERSION >= "Lua 5.5" then
		return collectgarbage("param", name, value)
	end
	return collectgarbage("set" .. name, value)
end

-- The pause and the multiplier of steps, in percent (see Lua's manual). Returns the former ones.
function collector_pace.set(pause, multiplier)
	return set("pause", pause), set("stepmul", multiplier)
end

return collector_pace
