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

-- The policy that an exception makes for the streams of a role; nil if it is not about them.
local function excepted_policy(policy, exception, role, now)
	if exception.network then
		return role == "c2s" and policy:for_client(exception.domain:match "^[^/]+", now) or nil
	end
	return role ~= "c2s" and policy:for_peer(exception.domain, now) or nil
end

-- Adds what each exception opens on the context of a role to a list. Where it opens the same in another role, the
-- role is added to that item.
local function add_role(list, adopted, luasec, policy, given, now)
	local strict = settings_under(adopted, luasec, policy, given)
	for domain, exception in pairs(strict and policy.exceptions or {}) do
		local excepted = excepted_policy(policy, exception, given.role, now)
		local opened = excepted and excepted.opens and settings_under(adopted, luasec, excepted, given)
		local more = opened and opened_by_exceptions.beyond(opened, strict)
		local text_of_more = more and words(more)
		for _, known in ipairs(more and list or {}) do
			if known.domain == domain and known.text == text_of_more then
				table.insert(known.roles, given.role)
				more = nil
			end
		end
		if more then
			more.domain, more.text, more.roles = domain, text_of_more, { given.role }
			list[#list + 1] = more
		end
	end
end

--- What each exception with a level opens on the contexts that a host of ours has for servers that connect to it
-- ("s2sin"), for those that it connects to ("s2sout") and for clients ("c2s", of networks): a list of the tables of
-- `beyond`, each with domain (or the network), text, the same in words, and roles, a list.
-- Empty if the host has no such context.
function opened_by_exceptions.on_host(server, adopted, host, policy, now)
	local list = {}
	for _, role in ipairs { "s2sin", "s2sout", "c2s" } do
		local context = server.own_context(host, role)
		if context then
			add_role(list, adopted, server.luasec_context(context), policy,
				{ host = host, role = role, operator = server.operator_lists(host, role) }, now)
		end
	end
	return list
end

return opened_by_exceptions
