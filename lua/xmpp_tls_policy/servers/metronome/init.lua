--- The adapter for Metronome 4; see servers/contract.lua.
local adapter = require "xmpp_tls_policy.servers.prosody_style.adapter"
local array = require "util.array"
local contract = require "xmpp_tls_policy.servers.contract"
local json = require "util.json"
local now = require "socket".gettime
local text = require "xmpp_tls_policy.text"
local turns = require "xmpp_tls_policy.servers.metronome.turns"

local metronome_adapter = {}

local unpack = table.unpack or unpack

local parts = {}
for _, name in ipairs {
	"administrators", "contexts", "elements", "events", "fail_closed", "hosts", "sessions", "storage",
	"watched_descriptor",
} do
	parts[name] = require("xmpp_tls_policy.servers.metronome." .. name)
end

-- Metronome offers the time of day alone: where that is set back, the clock goes on from where it was.
local last, offset = now(), 0

local function monotonic()
	local time = now()
	if time < last then
		offset = offset + last - time
	end
	last = time
	return time + offset
end

-- A line of the log. Metronome's log takes only strings and numbers with Lua 5.1.
local function formatted(format, ...)
	local arguments = { text.all_shown(...) }
	for index = 1, select("#", ...) do
		local argument = arguments[index]
		arguments[index] = type(argument) == "number" and argument or tostring(argument)
	end
	return format:format(unpack(arguments, 1, select("#", ...)))
end

--- The adapter for a load of the module. `module`: the global one, ours.
function metronome_adapter.new(module)
	local server = adapter.new(module, parts)
	function server.log(host, level, format, ...)
		server.module_of(host):log(level, "%s", formatted(format, ...))
	end
	function server.log_session(session, level, format, ...)
		parts.sessions.log(session, level, "%s", formatted(format, ...))
	end
	--- The client's session on a connection of the server, or nil.
	function server.session_on(connection)
		return module:shared("/*/c2s/sessions")[connection]
	end
	server.turns = turns.new
	server.monotonic = monotonic
	server.encode_json = json.encode_ordered
	function server.list(items)
		return array(items)
	end
	function server.is_list(value)
		return getmetatable(value) == getmetatable(array())
	end
	return contract.check(server)
end

return metronome_adapter
