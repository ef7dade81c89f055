--- The settings that policies make for contexts, remembered: a server makes most of its contexts
-- alike.
local core = require "xmpp_tls_policy.core"

local known_settings = {}

local methods = {}
local metatable = { __index = methods }

local lists = { "ciphers", "ciphersuites", "groups" }

function known_settings.new()
	local weak_keys = { __mode = "k" }
	return setmetatable({
		_made = setmetatable({}, weak_keys), -- policy -> text of the context's settings -> what `of` returned
		_texts = setmetatable({}, weak_keys), -- settings -> see text
	}, metatable)
end

-- Equal texts are of equal settings. `marks`: the lists that the operator wrote, as one word.
local function text_of_context(in_force, marks)
	local parts = { marks }
	for field, value in pairs(in_force) do
		parts[#parts + 1] = field
		parts[#parts + 1] = type(value) == "table" and table.concat(value, ":") or tostring(value)
	end
	return table.concat(parts, "\0")
end

--- The same as policy:settings_for(in_force, operator), which depends on nothing else. `marks`:
-- `operator` as one word. Third, `in_force`. The tables are the same for contexts that are alike, so
-- they are not to be changed.
function methods:of(policy, in_force, operator, marks)
	local made = self._made[policy] or {}
	self._made[policy] = made
	local text = text_of_context(in_force, marks)
	if not made[text] then
		local settings, second = policy:settings_for(in_force, operator)
		if not settings then
			return nil, second
		end
		made[text] = { settings, second, in_force }
	end
	return made[text][1], made[text][2], made[text][3]
end

--- A short string that tells the versions and lists of some settings apart.
function methods:text(settings)
	local text = self._texts[settings]
	if not text then
		local parts = { settings.minimum_version or "", settings.maximum_version or "" }
		for _, list in ipairs(lists) do
			parts[#parts + 1] = table.concat(settings[list] or {}, ":")
		end
		-- It is part of a name that each context has.
		text = core.digest("SHA256", table.concat(parts, "\0"))
		self._texts[settings] = text
	end
	return text
end

return known_settings
