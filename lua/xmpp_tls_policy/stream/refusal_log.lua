--- The streams that were refused: the latest ones in memory, a line for each in the log, within
-- bounds, and counts.
local latest_entries = require "xmpp_tls_policy.latest_entries"
local log_limit = require "xmpp_tls_policy.log_limit"
local network = require "xmpp_tls_policy.network"
local refused_peers = require "xmpp_tls_policy.refused_peers"
local shown = require "xmpp_tls_policy.text".shown

local refusal_log = {}

local methods = {}
local metatable = { __index = methods }

-- Lines a minute. The server logs each stream of an address anyway, so an address may have more lines than
-- for failed handshakes, but not all of them.
local LINES, LINES_PER_ADDRESS = 120, 60

--- A log that outlives a reload of the module. `now`: function() -> UTC seconds; `peers`: see
-- refused_peers.lua (nil: its own).
function refusal_log.new(options)
	return setmetatable({
		_now = options.now,
		_latest = latest_entries.new(),
		_peers = options.peers or refused_peers.new(options),
		_lines = log_limit.new { now = options.now, lines = LINES, lines_per_key = LINES_PER_ADDRESS },
	}, metatable)
end

--- Takes in a refusal (see closing.lua) of a stream.
function methods:add(server, metrics, stream, refusal)
	-- It may repeat a domain that the peer chose, and domains may have line breaks.
	local session, clauses, text = stream.session, refusal.clauses or {}, shown(refusal.text)
	metrics:refusal(stream.role, "stream", clauses)
	local address = server.address(session)
	local entry = {
		time = self._now(), what = "stream", address = address, host = stream:host(), role = stream.role,
		domain = stream:peer(), text = text, clauses = server.list(clauses), command = refusal.command,
	}
	self._latest:add(entry)
	self._peers:add(entry)
	if self._lines:allows(network.of(address)) then
		server.log_session(session, "info", "Stream refused by the TLS policy: %s%s", text,
			refusal.command and "; to accept it: " .. refusal.command or "")
	end
end

--- To be called now and then. Returns how many refusals had no line in the log since it last
-- returned something, or nil.
function methods:suppressed()
	return self._lines:turn()
end

--- The latest refusals, the latest first: a list of { time (UTC seconds), what = "stream", host
-- (nil: none named), role, domain (of a server, as its header says), address, text, clauses =
-- list of ids, command (see closing.lua) }.
function methods:list()
	return self._latest:list()
end

--- How many there ever were in this process.
function methods:total()
	return self._latest:total()
end

return refusal_log
