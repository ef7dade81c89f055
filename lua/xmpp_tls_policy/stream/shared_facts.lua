--- The facts of connections, one table for all that are alike: most clients of a server negotiate the
-- same.
local shared_facts = {}

local methods = {}
local metatable = { __index = methods }

function shared_facts.new()
	-- Clients choose some fields, as server_name. Facts go with the last stream that has them.
	return setmetatable({ _known = setmetatable({}, { __mode = "v" }) }, metatable)
end

-- Equal texts are of equal facts: each string has its length before it. The core makes all tables
-- alike, so that equal ones have one order.
local function text_of(facts)
	local parts, count = {}, 0
	for field, value in pairs(facts) do
		local is_text = type(value) == "string"
		parts[count + 1], parts[count + 2], parts[count + 3] = field, is_text and #value or "",
			is_text and value or tostring(value)
		count = count + 3
	end
	return table.concat(parts, " ")
end

--- The table for facts that are equal to these. Those with a certificate are their connection's alone.
function methods:of(facts)
	if facts.certificate then
		return facts
	end
	local text = text_of(facts)
	local known = self._known[text]
	if not known then
		self._known[text], known = facts, facts
	end
	return known
end

return shared_facts
