--- The text of a configuration while it is written: each line that a clause asks for has the ids of its
-- clauses above it.
local demands = require "xmpp_tls_policy.render.demands"

local page = {}

local methods = {}
local metatable = { __index = methods }

local WIDTH = 110

--- For a policy. `comment`: the sign that begins a comment ("#").
function page.new(policy, comment)
	return setmetatable({ _policy = policy, _comment = comment, _lines = {}, met = {} }, metatable)
end

-- Text as lines of a comment, wrapped between words. `indent`: in front of the comment's sign.
function methods:remark(text, indent)
	local line = (indent or "") .. self._comment
	local start = line
	for word in text:gmatch "%S+" do
		if #line + 1 + #word > WIDTH and line ~= start then
			self._lines[#self._lines + 1] = line
			line = start .. " "
		end
		line = line .. " " .. word
	end
	self._lines[#self._lines + 1] = line
end

--- A line that is there whatever the policy asks for. `names` (optional): the demands that it meets.
function methods:always(text, names)
	local ids = names and demands.clauses_of(self._policy, names) or {}
	if ids[1] then
		self:remark(table.concat(ids, ", "), text:match "^%s*")
	end
	for _, name in ipairs(names or {}) do
		self.met[name] = true
	end
	self._lines[#self._lines + 1] = text
end

--- Lines that meet demands (a list of names); they are left out if no clause of the policy makes any of
-- them. Returns whether they are there.
function methods:add(names, ...)
	if not demands.clauses_of(self._policy, names)[1] then
		return false
	end
	for index = 1, select("#", ...) do
		self:always((select(index, ...)), index == 1 and names or nil)
	end
	return true
end

--- All lines so far, as one text.
function methods:text()
	return table.concat(self._lines, "\n") .. "\n"
end

return page
