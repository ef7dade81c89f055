-- The settings for a context that a server has made: the stricter of the policy's and the
-- server's own.
local settings = require "xmpp_tls_policy.policy.settings"
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"

local rank, version_names = suites.rank, suites.version_names
local oldest, newest = suites.versions[1], suites.versions[#suites.versions]

local context_settings = {}

-- ---- versions --------------------------------------------------------------------

local function range_name(minimum, maximum)
	if maximum == newest then
		return version_names[minimum] .. " and newer"
	elseif minimum == maximum then
		return version_names[minimum]
	end
	return version_names[minimum] .. " to " .. version_names[maximum]
end

-- The oldest and the newest version that both allow. Or nil, a message and a code.
local function versions_of_both(policy, ours, in_force)
	local minimum, maximum = in_force.minimum_version or oldest, in_force.maximum_version or newest
	for _, version in ipairs({ minimum, maximum }) do
		if not rank[version] then
			return nil, ("the server's own configuration has an unknown TLS version: %s"):format(
				text.printable(version)), "version"
		end
	end
	local stricter = settings.newer(ours.minimum_version, minimum)
	if rank[stricter] > rank[maximum] then
		return nil, ("no TLS version is left: %s, allows %s; the server's own configuration allows %s"):format(
			policy:name(), range_name(ours.minimum_version, newest), range_name(minimum, maximum)), "empty"
	end
	return stricter, maximum
end

-- ---- lists -----------------------------------------------------------------------

local function always()
	return true
end

-- List -> function(name): whether the versions from `minimum` to `maximum` can use it; nil
-- for a list that none of them needs.
local function uses_of_lists(minimum, maximum)
	return {
		ciphers = minimum ~= newest and function(name)
			return rank[maximum] >= rank["TLSv1.2"] or not suites.by_name[name].needs_tls12
		end or nil,
		ciphersuites = maximum == newest and always or nil,
		groups = always,
	}
end

local nouns = {
	ciphers = "cipher suite of TLS 1.2 or older",
	ciphersuites = "cipher suite of TLS 1.3",
	groups = "group",
}

-- Those of the names that are allowed, and whether any is of use.
local function allowed_names(names, records, is_of_use)
	local is_allowed, kept, any_of_use = {}, {}, false
	for _, record in ipairs(records) do
		is_allowed[record.name:lower()] = true
	end
	for _, name in ipairs(names) do
		if is_allowed[name:lower()] then
			kept[#kept + 1] = name
			any_of_use = any_of_use or is_of_use(name)
		end
	end
	return kept, any_of_use
end

-- Names of suites in the order of preference; equal ones stay in their order.
local function sorted_names(names, orders)
	local records, sorted = {}, {}
	for index, name in ipairs(names) do
		records[index] = suites.by_name[name]
	end
	for index, record in ipairs(settings.sorted(records, orders)) do
		sorted[index] = record.name
	end
	return sorted
end

-- The policy's list, or those of the operator's own (`theirs`, or nil) that the policy
-- allows. Or nil and a message if no name is left that is of use.
local function list_of_both(policy, allowed, list, ours, theirs, is_of_use)
	local kept, any_of_use = allowed_names(theirs or ours, allowed[list], is_of_use)
	if any_of_use then
		return list == "groups" and kept or sorted_names(kept, allowed.orders)
	end
	return nil, ("no %s is left: %s, allows %s; the server's own configuration lists %s"):format(
		nouns[list], policy:name(), text.short_list(ours), theirs and text.short_list(theirs) or "none of its own")
end

-- ---- all -------------------------------------------------------------------------

-- The stricter settings of both, as a new table.
--   policy    for its name
--   allowed   all that it allows (see settings.lua)
--   in_force  the settings read back from the server's context; nil: unknown
--   operator  { ciphers, ciphersuites, groups }: true for each list that the operator wrote. It
--             stays, without the names that the policy does not allow, and in the operator's
--             order if the policy prefers none. Else the policy's list replaces it.
-- A list of which nothing is left is nil if the remaining versions do not need it. Else the
-- function returns nil, a message and "empty", as it does if no version is left; and nil, a
-- message and "version" if in_force has an unknown version.
function context_settings.of(policy, allowed, in_force, operator)
	in_force, operator = in_force or {}, operator or {}
	local made = settings.of(allowed)
	local minimum, maximum, code = versions_of_both(policy, made, in_force)
	if not minimum then
		return nil, maximum, code
	end
	made.minimum_version, made.maximum_version = minimum, in_force.maximum_version
	local uses, messages = uses_of_lists(minimum, maximum), {}
	for _, list in ipairs(settings.lists) do
		local theirs = operator[list] and (in_force[list] or {}) or nil
		local message
		made[list], message = list_of_both(policy, allowed, list, made[list], theirs, uses[list] or always)
		messages[#messages + 1] = uses[list] and message or nil
	end
	if messages[1] then
		return nil, table.concat(messages, "; "), "empty"
	end
	made.key_shares = settings.key_shares(made.groups)
	for _, number in ipairs({ "dh_bits", "security_level" }) do
		made[number] = (made[number] or in_force[number]) and settings.higher(made[number], in_force[number])
	end
	for _, switch in ipairs(settings.switches) do
		made[switch] = made[switch] or in_force[switch]
	end
	return made
end

return context_settings
