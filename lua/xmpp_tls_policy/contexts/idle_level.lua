--- A level that has no effect on a context, because the server itself allows no more than a stricter one does.
local opened_by_exceptions = require "xmpp_tls_policy.contexts.opened_by_exceptions"
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"

local rank, version_names = suites.rank, suites.version_names

local idle_level = {}

local function has_any(list, names)
	local is_listed = {}
	for _, name in ipairs(list or {}) do
		is_listed[name:lower()] = true
	end
	for _, name in ipairs(names) do
		if is_listed[name:lower()] then
			return true
		end
	end
	return false
end

local function has_any_version(settings, versions)
	local lowest = rank[settings.minimum_version or suites.versions[1]]
	for _, version in ipairs(versions) do
		if rank[version] >= lowest then
			return true
		end
	end
	return false
end

--- A sentence if no version or suite is in force on a context that the policy's level permits beyond the next
-- stricter one; nil otherwise. `settings`: those in force (see policy/settings.lua); `preset`: the option with which
-- the operator chose the server's own lists, as text, or nil.
function idle_level.sentence(policy, settings, preset)
	local stricter = policy:stricter()
	if not stricter then
		return nil
	end
	local more = opened_by_exceptions.beyond(policy:settings(), stricter:settings())
	local names = {}
	for index, version in ipairs(more.versions) do
		names[index] = version_names[version]
	end
	for _, name in ipairs(more.ciphers) do
		names[#names + 1] = name
	end
	if not names[1] or has_any_version(settings, more.versions) or has_any(settings.ciphers, more.ciphers) then
		return nil
	end
	return ("level = %q lets in no more peers than level = %q, because %s has none of %s"):format(policy.level,
		stricter.level, preset or "the server's own configuration", text.short_list(names))
end

return idle_level
