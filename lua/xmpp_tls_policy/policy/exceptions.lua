-- Exceptions: a milder policy for one peer's domain, or for the clients of one network, until a day, with a reason.
local date = require "xmpp_tls_policy.date"
local domain_name = require "xmpp_tls_policy.core".domain_name
local exceptions_file = require "xmpp_tls_policy.policy.exceptions_file"
local ip_network = require "xmpp_tls_policy.policy.ip_network"
local profiles = require "xmpp_tls_policy.policy.profiles"
local text = require "xmpp_tls_policy.text"
local validators = require "xmpp_tls_policy.policy.validators"

local report = validators.report

local exceptions = {}

-- ---- the option ------------------------------------------------------------------

local example = '{ level = "must"; expires = "2027-03-01"; reason = "old server" }'

local function day(value, path, errors)
	if date.begins(value) then
		return value
	end
	report(errors, path, value, ('%s is %s; accepted: a day such as "2027-03-01"'):format(path, text.printable(value)))
end

local function words(value, path, errors)
	if type(value) == "string" and value:find "%S" then
		return value
	end
	report(errors, path, value, ("%s is %s; accepted: a few words for the log"):format(path, text.printable(value)))
end

-- An exception never makes a policy stricter.
local milder_levels = {}
for index = 2, #profiles.levels do
	milder_levels[index - 1] = profiles.levels[index]
end

local fields = validators.table_of({
	level = validators.one_of(milder_levels),
	unauthenticated_s2s = validators.one_of({ "dialback" }),
	groups = validators.one_of({ "classical" }),
	expires = day,
	reason = words,
}, example)

-- Whether a value is a bare JID (rfc7622.3.1.length-of-addresses): an account with its host.
local function is_account(value)
	local node, domain
	if type(value) == "string" then
		node, domain = value:match "^([^@/%s%c]+)@([^@/]+)$"
	end
	return node ~= nil and #node <= 1023 and domain_name(domain) ~= nil
end

-- The number of entries of a list; nil for any other value.
local function length_of(value)
	local count = 0
	for _ in next, type(value) == "table" and value or {} do
		count = count + 1
		if rawget(value, count) == nil then
			return nil
		end
	end
	return count > 0 and count or nil
end

local function accounts(value, path, errors)
	local count = length_of(value)
	if not count then
		return report(errors, path, value, ('%s is %s; accepted: a list such as { "meter@one.example" }'):format(path,
			text.printable(value)))
	end
	local list = {}
	for index = 1, count do
		local account = rawget(value, index)
		if is_account(account) then
			list[#list + 1] = account
		else
			report(errors, path, account, ('%s has %s, which is no account; accepted: one such as "meter@one.example"')
				:format(path, text.printable(account)))
		end
	end
	return list
end

local fields_of_network = validators.table_of({
	level = validators.one_of(milder_levels),
	accounts = accounts,
	expires = day,
	reason = words,
}, example)

-- The fields of which an exception needs at least one.
local granted = { "level", "unauthenticated_s2s", "groups" }

-- An exception is valid as a whole, or not at all.
local function validate_one(value, path, errors, is_network)
	local before = #errors
	local valid = (is_network and fields_of_network or fields)(value, path, errors)
	if #errors > before then
		return
	end
	for _, key in ipairs({ "expires", "reason" }) do
		if rawget(value, key) == nil then
			report(errors, path, nil, ("%s has no %s; a complete one is %s"):format(path, key, example))
		end
	end
	local grants_something = false
	for _, key in ipairs(granted) do
		grants_something = grants_something or rawget(value, key) ~= nil
	end
	if is_network and not grants_something then
		report(errors, path, nil, ('%s excepts nothing; it needs level = "must"'):format(path))
	elseif not grants_something then
		report(errors, path, nil, ('%s excepts nothing; it needs level = "must", unauthenticated_s2s = "dialback" or '
			.. 'groups = "classical"'):format(path))
	end
	return #errors == before and valid or nil
end

-- The subject of an exception: "domain" and its normal form, or "network" and the network, by the key of the
-- option; or nil and what is wrong with the key.
local function subject_of(key)
	if type(key) == "string" and key:find("/", 1, true) and not key:find("@", 1, true) then
		local network, problem = ip_network.parse(key)
		return network and "network", network or problem
	end
	if is_account(key) then
		return nil, 'is an account, which is known only after the handshake; name it in the exception for its network, as in '
			.. '["192.0.2.0/24"] = { accounts = { "meter@one.example" }; … }'
	elseif ip_network.bytes(key) then
		return nil, ('is an address; an exception for the clients of one address is for the network "%s/%d"'):format(key,
			#ip_network.bytes(key) * 8)
	end
	local domain = type(key) == "string" and domain_name(key)
	return domain and "domain", domain or 'is no domain; an exception is for one peer, named as in ["old.example"], or '
		.. 'for the clients of one network, as in ["192.0.2.0/24"]'
end

-- The place of an earlier exception for the same peers, in words, or nil.
local function clash_of(kind, subject, domains, networks)
	if kind == "domain" then
		return domains[subject] and "is the same domain as " .. domains[subject]
	end
	for _, known in ipairs(networks) do
		if ip_network.overlap(subject, known.network) then
			return ("overlaps %s; clients of both networks need one exception"):format(known.place)
		end
	end
end

-- The validator of the option (see validators.lua): a table of exceptions by domain, in
-- any form that core.domain_name takes, or by network. Files are read before (see exceptions_file.lua).
function exceptions.validate(value, path, errors)
	local unread = exceptions_file.problem(value)
	if unread then
		report(errors, path, nil, ("%s cannot be read: %s"):format(path, unread))
		errors[#errors].unopened = exceptions_file.is_unopened(value) or nil
		return nil
	elseif type(value) ~= "table" then
		return report(errors, path, value, ('%s is %s; accepted: a table such as { ["old.example"] = %s }, or the '
			.. 'absolute path of a file whose name ends in .json or .lua'):format(path, validators.shown(value), example))
	end
	local domains, networks, valid, before = {}, {}, {}, #errors
	for _, key in ipairs(validators.sorted_keys(value)) do
		local place = validators.path_of(path, key)
		local kind, subject = subject_of(key)
		local clash = kind and clash_of(kind, subject, domains, networks)
		if not kind or clash then
			report(errors, place, rawget(value, key), ("%s %s"):format(place, clash or subject))
			errors[#errors].instead = clash and "the other exception" or nil
		else
			valid[key] = validate_one(rawget(value, key), place, errors, kind == "network")
			if kind == "domain" then
				domains[subject] = place
			else
				networks[#networks + 1] = { network = subject, place = place }
			end
		end
	end
	local source = exceptions_file.source(value)
	for index = before + 1, source and #errors or 0 do
		errors[index].message = ("%s: %s"):format(source, errors[index].message)
	end
	return valid
end

-- A valid option as a new table: domain, as core.domain_name returns it, or network in CIDR notation ->
-- { domain (or the network, as text), network (see ip_network.parse; nil: a domain), level, unauthenticated_s2s,
-- groups, accounts (a list of bare JIDs as they were written; nil: all), expires, reason, ends = UTC seconds }.
function exceptions.normal(given)
	local normal = {}
	for key, value in next, given or {} do
		local kind, subject = subject_of(key)
		local network = kind == "network" and subject or nil
		local name = network and network.text or subject
		normal[name] = {
			domain = name,
			network = network,
			level = rawget(value, "level"),
			unauthenticated_s2s = rawget(value, "unauthenticated_s2s"),
			groups = rawget(value, "groups"),
			accounts = rawget(value, "accounts"),
			expires = rawget(value, "expires"),
			reason = rawget(value, "reason"),
			ends = date.ends(rawget(value, "expires")),
		}
	end
	return normal
end

-- The options that an exception grants, as an operator writes them: a list.
function exceptions.grants(exception)
	local list = {}
	for _, field in ipairs(granted) do
		list[#list + 1] = exception[field] and ("%s = %s"):format(field, text.quote(exception[field])) or nil
	end
	return list
end

-- ---- use -------------------------------------------------------------------------

-- Whether an exception has an effect beside a policy. A level opens contexts beyond the server's own
-- settings, also if it is the policy's.
local function has_effect(policy, exception)
	return exception.level ~= nil or exception.groups ~= nil and policy:offers_hybrid_groups()
		or exception.unauthenticated_s2s ~= nil and exception.unauthenticated_s2s ~= policy.unauthenticated_s2s
end

-- The exception of a policy that holds for a peer's domain (in any form, or nil) at a
-- time in UTC seconds; nil if there is none, if it has ended, or if it has no effect.
function exceptions.find(policy, domain, now)
	local exception = domain and next(policy.exceptions) and policy.exceptions[domain_name(domain)]
	if exception and now < exception.ends and has_effect(policy, exception) then
		return exception
	end
end

-- The exceptions of a policy that are for networks: a list, sorted.
function exceptions.of_networks(policy)
	local list = {}
	for _, exception in pairs(policy.exceptions) do
		list[#list + 1] = exception.network and exception or nil
	end
	table.sort(list, function(a, b)
		return a.domain < b.domain
	end)
	return list
end

-- The one of a list from of_networks that holds for the address of a client at a time in UTC seconds; nil if there
-- is none, or it has ended. Networks do not overlap.
function exceptions.find_network(list, address, now)
	local bytes = list[1] and ip_network.bytes(address)
	for _, exception in ipairs(bytes and list or {}) do
		if ip_network.contains(exception.network, bytes) then
			return now < exception.ends and exception or nil
		end
	end
end

-- Whether a list of domains in the server's options names a domain.
local function names(list, domain)
	for _, name in pairs(type(list) == "table" and list or { list }) do
		if type(name) == "string" and domain_name(name) == domain then
			return true
		end
	end
	return false
end

-- The reason why the server itself accepts no dialback from a peer, or nil. `option(name)`: the value of
-- an option of the server.
local function refused_by_server(exception, option)
	if exception.unauthenticated_s2s ~= "dialback" then
		return nil
	elseif option "s2s_secure_auth" == true then
		return not names(option "s2s_insecure_domains", exception.domain)
			and ("s2s_secure_auth is on, and s2s_insecure_domains does not name %s"):format(exception.domain) or nil
	end
	return names(option "s2s_secure_domains", exception.domain)
		and ("s2s_secure_domains names %s"):format(exception.domain) or nil
end

local NOTICE = 14 * date.DAY

local function obstructed(exception, option)
	local reason = refused_by_server(exception, option)
	return reason and ("the exception for %s (%s) %s: %s"):format(exception.domain, text.quote(exception.reason),
		exception.level and "lets nobody in by dialback" or "has no effect", reason)
end

local function warning(policy, exception, now)
	local reason = text.quote(exception.reason)
	if now >= exception.ends then
		return ("the exception for %s (%s) ended with %s and no longer applies"):format(
			exception.domain, reason, exception.expires), "ended"
	elseif not has_effect(policy, exception) then
		return ("the exception for %s (%s) has no effect: %s"):format(exception.domain, reason, exception.groups
			and "no hybrid group is offered here" or policy:name() .. " has it already"), "idle"
	elseif exception.ends - now <= NOTICE then
		local left = exception.ends - now
		return ("the exception for %s (%s) ends with %s, %s"):format(exception.domain, reason, exception.expires,
			left <= date.DAY and "today (UTC)" or "in " .. text.counted(math.floor(left / date.DAY), "day")), "ending"
	end
end

local function no_options()
	return nil
end

-- Warnings about the exceptions of a policy at a time in UTC seconds: a list, sorted by
-- domain, of { domain, kind = "ended" | "ending" (within two weeks) | "idle" (it has no
-- effect) | "obstructed" (the server's own options take its effect away), message }.
-- `option(name)`: the value of an option of the server, nil if it is not set; nil: unknown.
function exceptions.warnings(policy, now, option)
	local list = {}
	local function add(domain, message, kind)
		list[#list + 1] = message and { domain = domain, kind = kind, message = message } or nil
	end
	for domain, exception in pairs(policy.exceptions) do
		local reason = now < exception.ends and obstructed(exception, option or no_options) or nil
		add(domain, reason, "obstructed")
		local message, kind = warning(policy, exception, now)
		add(domain, not (reason and kind == "idle") and message or nil, kind)
	end
	table.sort(list, function(a, b)
		if a.domain ~= b.domain then
			return a.domain < b.domain
		end
		return a.kind < b.kind
	end)
	return list
end

return exceptions
