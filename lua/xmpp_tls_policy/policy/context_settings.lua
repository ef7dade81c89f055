-- The settings that a policy puts on a context which a server has made: what the policy
-- permits, of what the server offers without it, and what the policy adds to the server's own
-- defaults. The policy of an exception opens the context for its peer.
local settings = require "xmpp_tls_policy.policy.settings"
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"
local usable_versions = require "xmpp_tls_policy.policy.usable_versions"

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

-- The oldest and the newest version that both allow; an exception's policy goes below the server's
-- oldest. Or nil, a message and a code.
local function versions_of_both(policy, ours, in_force)
	local minimum, maximum = in_force.minimum_version or oldest, in_force.maximum_version or newest
	for _, version in ipairs({ minimum, maximum }) do
		if not rank[version] then
			return nil, ("the server's own configuration has an unknown TLS version: %s"):format(
				text.printable(version)), "version"
		end
	end
	local stricter = policy.opens and ours.minimum_version or settings.newer(ours.minimum_version, minimum)
	if rank[stricter] > rank[maximum] then
		return nil, ("no TLS version is left: %s, allows %s; the server's own configuration allows %s"):format(
			policy:name(), range_name(ours.minimum_version, newest), range_name(minimum, maximum)), "empty"
	end
	return stricter, maximum
end

-- ---- lists -----------------------------------------------------------------------

local function set_of(names)
	local is_listed = {}
	for _, name in ipairs(names or {}) do
		is_listed[name:lower()] = true
	end
	return is_listed
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

-- The operator's own names that the policy allows.
local function of_operator(allowed, list, theirs)
	local is_allowed, kept = {}, {}
	for _, record in ipairs(allowed[list]) do
		is_allowed[record.name:lower()] = true
	end
	for _, name in ipairs(theirs) do
		kept[#kept + 1] = is_allowed[name:lower()] and name or nil
	end
	return list == "groups" and kept or sorted_names(kept, allowed.orders)
end

-- The server's defaults that the policy allows, and those that it adds to them.
local function of_defaults(allowed, list, in_force)
	local is_theirs, kept = set_of(in_force[list]), {}
	for _, record in ipairs(allowed[list]) do
		local name = record.name:lower()
		local offered = is_theirs[name] and (in_force.has_dhe ~= false or record.key_exchange ~= "DHE")
		kept[#kept + 1] = (offered or allowed.added[list][name]) and record.name or nil
	end
	return kept
end

-- All that the policy permits, but those on request only if the server offers them.
local function of_exception(allowed, list, theirs)
	local is_theirs, kept = set_of(theirs), {}
	for _, record in ipairs(allowed[list]) do
		kept[#kept + 1] = (not record.on_request or is_theirs[record.name:lower()]) and record.name or nil
	end
	return kept
end

-- All lists, by name. `permitted`: the policy's own settings.
local function lists_of_both(policy, allowed, permitted, in_force, operator)
	local lists = {}
	for _, list in ipairs(settings.lists) do
		if policy.opens then
			lists[list] = of_exception(allowed, list, in_force[list])
		elseif operator[list] then
			lists[list] = of_operator(allowed, list, in_force[list] or {})
		elseif in_force[list] then
			lists[list] = of_defaults(allowed, list, in_force)
		else
			lists[list] = permitted[list]
		end
	end
	return lists
end

-- The signature schemes that the policy permits of those of the server, in the server's order; all of the policy's
-- if the server's are unknown. nil if no clause restricts them: they stay as they are.
local function schemes_of_both(permitted, in_force)
	local theirs = in_force.signature_schemes
	if not permitted.signature_schemes or not theirs then
		return permitted.signature_schemes
	end
	local is_permitted, kept = set_of(permitted.signature_schemes), {}
	for _, name in ipairs(theirs) do
		kept[#kept + 1] = is_permitted[name] and name or nil
	end
	return kept
end

-- ---- versions that have nothing left ------------------------------------------------

local nouns = {
	ciphers = "cipher suite of TLS 1.2 or older",
	ciphersuites = "cipher suite of TLS 1.3",
	groups = "group",
	signature_schemes = "signature scheme",
}

local function nothing_left(policy, list, permitted, theirs)
	return ("no %s is left: %s, allows %s; the server's own configuration lists %s"):format(
		nouns[list], policy:name(), text.short_list(permitted[list]),
		theirs and text.short_list(theirs) or "none of its own")
end

-- The messages about the lists of which nothing is left for versions, in the order of the lists.
local function reasons_for(policy, lacking, permitted, in_force, operator)
	local messages = {}
	for _, list in ipairs(settings.lists) do
		messages[#messages + 1] = lacking[list] and nothing_left(policy, list, permitted,
			operator[list] and (in_force[list] or {}) or nil) or nil
	end
	return table.concat(messages, "; ")
end

-- A sentence about the versions that the server has without the policy, and not with it.
local function losses_of(policy, lost, permitted, in_force, operator)
	local names, lacking = {}, {}
	for _, version in ipairs(lost) do
		names[#names + 1] = version_names[version.name]
		for list in pairs(version.lacking) do
			lacking[list] = true
		end
	end
	return names[1] and { ("without %s: %s"):format(table.concat(names, ", "),
		reasons_for(policy, lacking, permitted, in_force, operator)) } or {}
end

-- Drops the lists that no remaining version needs. Without groups, it also drops the suites that
-- need one: OpenSSL keeps the context's own groups, as it takes no empty list.
local function drop_unneeded(made)
	if made.minimum_version == newest then
		made.ciphers = nil
	end
	if made.maximum_version and made.maximum_version ~= newest then
		made.ciphersuites = nil
	end
	if not made.groups[1] then
		made.groups, made.ciphers = nil, usable_versions.without_groups(made.ciphers)
	end
end

-- Narrows the versions to those that the lists leave something to negotiate for. Returns a list of
-- sentences about those that are lost; or nil, a message and a code.
local function narrow(made, policy, permitted, in_force, operator, maximum)
	local found = usable_versions.of(made, made.minimum_version, maximum)
	if not found.oldest then
		return nil, reasons_for(policy, found.lacking, permitted, in_force, operator), "empty"
	end
	local lost = {}
	for _, version in ipairs(found.unusable) do
		lost[#lost + 1] = usable_versions.is_usable(in_force, version.name) and version or nil
	end
	made.minimum_version = found.oldest
	if found.newest ~= maximum then
		made.maximum_version = found.newest
	end
	drop_unneeded(made)
	return losses_of(policy, lost, permitted, in_force, operator)
end

-- ---- all -------------------------------------------------------------------------

-- What an exception's policy asks for beside its lists. OpenSSL's security level still holds for
-- certificates; for the rest it holds if the policy asks for one.
local function open(made, permitted)
	made.dh_bits = permitted.dh_bits
	made.insecure_versions = true
	made.insecure_strength = permitted.security_level == nil or nil
end

-- The settings for a context, as a new table.
--   policy    its name, and whether it `opens`: the policy of an exception grants all that it
--             permits, whatever the server or the operator allows all others
--   allowed   all that it allows (see settings.lua)
--   in_force  the settings read back from the server's context, and has_dhe, false if it has no DH
--             parameters, so that it negotiates no DHE whatever its suites; nil: unknown. Of the
--             signature schemes in it, those stay that the policy allows
--   operator  { ciphers, ciphersuites, groups }: true for each list that the operator wrote. It
--             stays, without the names that the policy does not allow, and in the operator's
--             order if the policy prefers none. Of other lists, which are the server's defaults,
--             those names stay that the policy allows, and those are added that it adds. Of a list
--             that in_force does not have, the policy's own takes the place.
-- A version for which a list has nothing left is not negotiated; its list is nil. Returned second: a
-- list of sentences about the versions that are lost by that.
-- If no version or no signature scheme is left, the function returns nil, a message and "empty"; if in_force has an
-- unknown version, nil, a message and "version".
function context_settings.of(policy, allowed, in_force, operator)
	in_force, operator = in_force or {}, operator or {}
	local permitted, made = settings.of(allowed), settings.of(allowed)
	local minimum, maximum, code = versions_of_both(policy, permitted, in_force)
	if not minimum then
		return nil, maximum, code
	end
	made.minimum_version, made.maximum_version = minimum, in_force.maximum_version
	for list, names in pairs(lists_of_both(policy, allowed, permitted, in_force, operator)) do
		made[list] = names
	end
	made.signature_schemes = schemes_of_both(permitted, in_force)
	if made.signature_schemes and not made.signature_schemes[1] then
		return nil, nothing_left(policy, "signature_schemes", permitted, in_force.signature_schemes), "empty"
	end
	local losses, message, failure = narrow(made, policy, permitted, in_force, operator, maximum)
	if not losses then
		return nil, message, failure
	end
	made.key_shares = settings.key_shares(made.groups)
	for _, number in ipairs({ "dh_bits", "security_level" }) do
		made[number] = (made[number] or in_force[number]) and settings.higher(made[number], in_force[number])
	end
	for _, switch in ipairs(settings.switches) do
		made[switch] = made[switch] or in_force[switch]
	end
	made.server_preference = not made.client_preference and made.server_preference or nil
	-- A server's own switch would set aside an order that the policy prefers.
	made.chacha20_preference = made.server_preference and permitted.chacha20_preference
	if policy.opens then
		open(made, permitted)
	end
	return made, losses
end

return context_settings
