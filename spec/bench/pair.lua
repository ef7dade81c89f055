-- Two servers that are alike, but for the module.
local configuration = require "support.configuration"
local files = require "support.files"
local prosody = require "support.prosody"

local pair = {}

pair.names = { "stock", "module" }

-- Nothing is throttled, no password is hashed, and connections stay though they are silent.
local options = { limits = {}, authentication = "internal_plain", c2s_timeout = 86400 }

--- The specification (see support/prosody.lua) of one of the two.
function pair.specification(name, fields)
	return configuration.merged({ log_level = "info" }, fields, {
		with_policy = name == "module", options = configuration.merged(options, fields.options),
	})
end

function pair.pid(server)
	return assert(files.read(server.directory .. "/prosody.pid"):match "%d+")
end

--- Calls action(server) -> result for both, in turn, and stops them, also after an error.
-- Returns { stock = result, module = result }.
function pair.each(fields, action)
	local results = {}
	for _, name in ipairs(pair.names) do
		local server = prosody.start(pair.specification(name, fields))
		local ok, result = pcall(action, server)
		server:stop()
		results[name] = ok and result or error(result, 0)
	end
	return results
end

--- Lets a server's collector end a cycle, and do all of another.
function pair.collect_garbage(server)
	local output, status = server:shell "> collectgarbage() collectgarbage()"
	assert(status == 0, output)
end

--- Nanoseconds that a server's process has run.
function pair.cpu_time(server)
	return assert(tonumber(files.read("/proc/" .. pair.pid(server) .. "/schedstat"):match "^(%d+)"))
end

--- KiB of a server's resident memory.
function pair.resident(server)
	return assert(tonumber(files.read("/proc/" .. pair.pid(server) .. "/status"):match "VmRSS:%s+(%d+)"))
end

return pair
