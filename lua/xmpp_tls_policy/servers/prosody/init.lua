--- The adapter for Prosody 0.12 and 13; see servers/contract.lua.
local adapter = require "xmpp_tls_policy.servers.prosody_style.adapter"
local array = require "util.array"
local contract = require "xmpp_tls_policy.servers.contract"
local json = require "util.json"
local time = require "util.time"
local turns = require "xmpp_tls_policy.servers.prosody.turns"

local prosody_adapter = {}

local parts = {}
for _, name in ipairs {
	"administrators", "contexts", "elements", "events", "fail_closed", "hosts", "sessions", "storage",
	"watched_descriptor",
} do
	parts[name] = require("xmpp_tls_policy.servers.prosody." .. name)
end

--- The adapter for a load of the module. `module`: the global one, ours.
function prosody_adapter.new(module)
	local server = adapter.new(module, parts)
	server.turns = turns.new
	server.monotonic = time.monotonic
	server.encode_json = json.encode_ordered
	function server.list(items)
		return array(items)
	end
	function server.is_list(value)
		return getmetatable(value) == getmetatable(array())
	end
	return contract.check(server)
end

return prosody_adapter
