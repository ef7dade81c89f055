--- What an exception opens for its peer on the contexts of a host, beyond what all others get.
local settings = require "xmpp_tls_policy.policy.settings"
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"

local rank, version_names = suites.rank, suites.version_names

local opened_by_exceptions = {}

local function names_beyond(names, others)
	local is_other, more = {}, {}
	for _, name in ipairs(others or {}) do
		is_other[name:lower()] = true
	end
	for _, name in ipairs(names or {}) do
		more[#more + 1] = not is_other[name:lower()] and name or nil
	end
	return more
end

local function versions_beyond(opened, strict)
	local more = {}
	for place = rank[opened.minimum_version], rank[opened.maximum_version or "TLSv1.3"] do
		if place < rank[strict.minimum_version] or place > rank[strict.maximum_version or "TLSv1.3"] then
			more[#more + 1] = suites.versions[place]
		end
	end
	return more
end

--- What some settings allow beyond others: { versions, ciphers, ciphersuites, groups (lists of names), dh_bits
-- (the new minimum, nil if it is the same) }.
function opened_by_exceptions.beyond(opened, strict)
	local more = { versions = versions_beyond(opened, strict) }
	for _, list in ipairs(settings.lists) do
		more[list] = names_beyond(opened[list], strict[list])
	end
	local is_lower = opened.dh_bits and opened.dh_bits < (strict.dh_bits or 0)
	more.dh_bits = is_lower and opened.dh_bits or nil
	return more
end

local function words(more)
	local parts = {}
	local function add(noun, names)
		parts[#parts + 1] = names[1] and noun .. text.short_list(names, 12) or nil
	end
	local versions = {}
	for index, version in ipairs(more.versions) do
		versions[index] = version_names[version]
	end
	add("", versions)
	add("suites ", more.ciphers)
	add("suites of TLS 1.3 ", more.ciphersuites)
	add("groups ", more.groups)
	parts[#parts + 1] = more.dh_bits and ("DH from %d bits"):format(more.dh_bits) or nil
	return parts[1] and table.concat(parts, "; ") or "nothing more than all others get"
end

-- The settings that a policy puts on a context, as OpenSSL has them; nil if none are left.
local function settings_under(adopted, luasec, policy, given)
	local foreseen = adopted:foresee(luasec, {
		policy = policy, host = given.host, role = given.role, operator = given.operator,
	})
	return foreseen and foreseen.settings
end

--- What each exception with a level opens on the context of a host of ours for servers that connect to it:
-- a list of the tables of `beyond`, each with domain and text, the same in words. Empty if the host
-- has no such context.
function opened_by_exceptions.on_host(server, adopted, host, policy, now)
	local context = server.own_context(host, "s2sin")
	if not context then
		return {}
	end
	local luasec, list = server.luasec_context(context), {}
	local given = { host = host, role = "s2sin", operator = server.operator_lists(host, "s2sin") }
	local strict = settings_under(adopted, luasec, policy, given)
	for domain in pairs(policy.exceptions) do
		local excepted = policy:for_peer(domain, now)
		local opened = strict and excepted.opens and settings_under(adopted, luasec, excepted, given)
		if opened then
			local more = opened_by_exceptions.beyond(opened, strict)
			more.domain, more.text = domain, words(more)
			list[#list + 1] = more
		end
	end
	return list
end

return opened_by_exceptions
