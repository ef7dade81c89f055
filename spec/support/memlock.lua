-- The limit of locked memory, RLIMIT_MEMLOCK.
local process = require "support.process"

local memlock = {}

local function joined(...)
	local words = {}
	for _, list in ipairs { ... } do
		for _, word in ipairs(list) do
			words[#words + 1] = word
		end
	end
	return words
end

-- The words that run a command (a list of words) under a limit in bytes, which binds root, too; or nil and why this
-- user cannot set it.
function memlock.limited(bytes, command)
	local is_root = process.check { "id", "-u" } == "0\n"
	-- No limit binds a process with this capability.
	local without = is_root and { "setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock" } or {}
	local limit = joined(without, { "prlimit", ("--memlock=%d"):format(bytes) })
	local output, status = process.run(joined(limit, { "true" }))
	if status ~= 0 then
		return nil, output
	end
	return joined(limit, command)
end

return memlock
