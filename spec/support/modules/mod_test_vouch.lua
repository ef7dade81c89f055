-- For tests only: an authoritative server (XEP-0220) that vouches for each dialback key.
-- luacheck: globals module

local stanza = require "util.stanza"

module:hook("stanza/jabber:server:dialback:verify", function (event)
	local origin, attr = event.origin, event.stanza.attr
	if origin.direction == "incoming" and not attr.type then
		origin.sends2s(stanza.stanza("db:verify", { from = attr.to, to = attr.from, id = attr.id, type = "valid" }))
		return true
	end
end, 100)
