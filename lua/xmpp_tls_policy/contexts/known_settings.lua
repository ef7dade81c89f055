--- The settings that policies make for contexts, remembered: a server makes most of its contexts
-- alike.
local core = require "xmpp_tls_policy.core"
local suite_lists = require "xmpp_tls_policy.policy.settings".suite_lists
local suites = require "xmpp_tls_policy.policy.suites"

local known_settings = {}

local methods = {}
local metatable = { __index = methods }

--- An empty memory.
function known_settings.new()
	local weak_keys, weak_values = { __mode = "k" }, { __mode = "v" }
	return setmetatable({
		_read = { server = setmetatable({}, weak_values), client = setmetatable({}, weak_values) }, -- see read
		_made = setmetatable({}, weak_keys), -- policy -> settings of a context -> marks -> what `of` returned
		_texts = setmetatable({}, weak_keys), -- settings -> see text
	}, metatable)
end

local function has_field(groups)
	for _, name in ipairs(groups) do
		local group = suites.groups_by_name[name:lower()]
		if group and group.kind == "finite field" then
			return true
		end
	end
	return false
end

--- What a context of the core offers, which is released and kept: its settings, and has_dhe (see
-- context_settings.of). A server without DH parameters has none, unless OpenSSL takes them from a finite
-- field of its list; a client needs none. The same table for contexts that are alike, not to be changed. Or
-- nil and a message.
function methods:read(context, is_client)
	local offered, message = context:keep(self._read[is_client and "client" or "server"])
	if not offered then
		return nil, message
	end
	offered.has_dhe = is_client or offered.own_dh_bits ~= nil or core.negotiates_dhe and has_field(offered.groups)
	return offered
end

--- The same as policy:settings_for(in_force, operator), which depends on nothing else. `in_force`: of
-- `read`; `marks`: `operator` as one word. The tables are the same for contexts that are alike, so they
-- are not to be changed.
function methods:of(policy, in_force, operator, marks)
	local by_settings = self._made[policy] or {}
	self._made[policy] = by_settings
	local by_marks = by_settings[in_force] or {}
	by_settings[in_force] = by_marks
	if not by_marks[marks] then
		local settings, second = policy:settings_for(in_force, operator)
		if not settings then
			return nil, second
		end
		by_marks[marks] = { settings, second }
	end
	return by_marks[marks][1], by_marks[marks][2]
end

-- Without the hybrid groups, which only newer versions of OpenSSL have: machines that differ in nothing else share
-- their sessions. A list of hybrid groups alone stays as it is, because nobody may get around it.
local function without_hybrids(groups)
	local kept = {}
	for _, name in ipairs(groups) do
		local group = suites.groups_by_name[name:lower()]
		kept[#kept + 1] = not (group and group.kind == "hybrid") and name or nil
	end
	return kept[1] and kept or groups
end

--- A short string that tells the versions and lists of some settings apart. It is the same in each process.
function methods:text(settings)
	local text = self._texts[settings]
	if not text then
		local parts = { settings.minimum_version or "", settings.maximum_version or "" }
		for _, list in ipairs(suite_lists) do
			parts[#parts + 1] = table.concat(settings[list] or {}, ":")
		end
		parts[#parts + 1] = table.concat(without_hybrids(settings.groups or {}), ":")
		parts[#parts + 1] = settings.signature_schemes and table.concat(settings.signature_schemes, ":")
		-- It is part of a name that each context has.
		text = core.digest("SHA256", table.concat(parts, "\0"))
		self._texts[settings] = text
	end
	return text
end

return known_settings
