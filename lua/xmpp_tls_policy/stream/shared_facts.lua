--- The facts of connections, one table for all that are alike: most clients of a server negotiate the
-- same.
local shared_facts = {}

local methods = {}
local metatable = { __index = methods }

function shared_facts.new()
	return setmetatable({
		-- Clients choose some fields, as server_name. Facts go with the last stream that has them.
		_known = setmetatable({}, { __mode = "v" }),
		_parts = {}, -- used again for each text
	}, metatable)
end

-- Equal texts are of equal facts, because no part has a NUL. The core makes all tables alike, so that
-- equal ones have one order.
local function text_of(self, facts)
	local parts, count = self._parts, 0
	for field, value in pairs(facts) do
		parts[count + 1] = field
		if value == true or value == false then
			value = value and "\1true" or "\1false"
		elseif type(value) == "number" then
			value = "\1" .. value
		end
		parts[count + 2], count = value, count + 2
	end
	return table.concat(parts, "\0", 1, count)
end

--- The table for facts that are equal to these. Those with a certificate are their connection's alone.
function methods:of(facts)
	if facts.certificate or facts.alpn and facts.alpn:find("\0", 1, true) then
		return facts
	end
	local text = text_of(self, facts)
	local known = self._known[text]
	if not known then
		self._known[text], known = facts, facts
	end
	return known
end

return shared_facts
