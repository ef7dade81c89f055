-- Two servers that are alike, but for the module.
local configuration = require "support.configuration"
local files = require "support.files"
local process = require "support.process"
local prosody = require "support.prosody"
local socket = require "socket"

local pair = {}

pair.names = { "stock", "module" }

-- Nothing is throttled, no password is hashed, and connections stay though they are silent.
local options = { limits = {}, authentication = "internal_plain", c2s_timeout = 86400 }

--- The specification (see support/prosody.lua) of one of the two. `fields.policy_on_both`: the stock one has the
-- module, too, with its defaults; then the two differ by `policy`.
function pair.specification(name, fields)
	return configuration.merged({ log_level = "info" }, fields, {
		with_policy = name == "module" or fields.policy_on_both,
		policy = name == "stock" and fields.policy_on_both and {} or fields.policy,
		options = configuration.merged(options, fields.options),
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

--- Waits until a server has computed nearly nothing for a second: work of the module that comes in turns
-- after the start, as the checks of the hosts' certificates, is done.
function pair.wait_until_idle(server)
	local before, since = pair.cpu_time(server), socket.gettime()
	assert(process.poll(300, function ()
		local now = socket.gettime()
		if now - since < 1 then
			return false
		end
		local used = pair.cpu_time(server)
		local idle = (used - before) / 1e9 < 0.05 * (now - since)
		before, since = used, now
		return idle
	end), "the server does not become idle")
end

--- KiB of a server's resident memory.
function pair.resident(server)
	return assert(tonumber(files.read("/proc/" .. pair.pid(server) .. "/status"):match "VmRSS:%s+(%d+)"))
end

return pair
