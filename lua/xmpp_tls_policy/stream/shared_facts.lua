--- The facts of connections, one table for all that are alike: most clients of a server negotiate the
-- same.
local observer = require "xmpp_tls_policy.core".observer

local shared_facts = {}

local methods = {}
local metatable = { __index = methods }

function shared_facts.new()
	-- Clients choose some fields, as server_name. Facts go with the last stream that has them.
	return setmetatable({ _known = setmetatable({}, { __mode = "v" }) }, metatable)
end

--- The facts of a LuaSec connection, a table that is not to be changed; or nil, message, code (see
-- core.observer.facts). Those with a certificate are their connection's alone.
function methods:of(connection)
	local key, message, code = observer.facts_key(connection)
	local known = key and self._known[key]
	if known or key == nil then
		return known, message, code
	end
	local facts
	facts, message, code = observer.facts(connection)
	if key then
		self._known[key] = facts
	end
	return facts, message, code
end

return shared_facts
