--- The facts of connections, one table for all that are alike: most clients of a server negotiate the
-- same.
local observer = require "xmpp_tls_policy.core".observer

local shared_facts = {}

local methods = {}
local metatable = { __index = methods }

-- Clients choose some fields, as server_name.
local MOST_KEPT = 100

--- An empty memory.
function shared_facts.new()
	return setmetatable({
		-- Key -> facts, as long as a stream has them.
		_known = setmetatable({}, { __mode = "v" }),
		-- Key -> facts. Those of the latest streams stay, with the verdicts on them, for the streams that come.
		_kept = {},
		_count = 0,
	}, metatable)
end

local function keep(self, key, facts)
	if self._count >= MOST_KEPT then
		self._kept, self._count = {}, 0
	end
	self._known[key], self._kept[key], self._count = facts, facts, self._count + 1
end

--- The facts of a LuaSec connection, a table that is not to be changed; or nil, message, code (see
-- core.observer.facts). Those with a certificate are their connection's alone.
function methods:of(connection)
	local key, message, code = observer.facts_key(connection)
	local facts = key and self._kept[key]
	if facts or key == nil then
		return facts, message, code
	end
	facts = key and self._known[key]
	if not facts then
		facts, message, code = observer.facts(connection)
	end
	if key and facts then
		keep(self, key, facts)
	end
	return facts, message, code
end

return shared_facts
