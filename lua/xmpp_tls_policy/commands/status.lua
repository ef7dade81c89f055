--- The command `status`: the policy of each host, the TLS contexts as OpenSSL has them, and the
-- settings of the operator that the policy overrides.
local core = require "xmpp_tls_policy.core"
local counted = require "xmpp_tls_policy.text".counted
local date = require "xmpp_tls_policy.date"
local host_names = require "xmpp_tls_policy.commands.host_names"
local overrides = require "xmpp_tls_policy.policy.overrides"
local session_memory = require "xmpp_tls_policy.contexts.session_memory"
local shut_hosts = require "xmpp_tls_policy.stream.shut_hosts"
local version = require "xmpp_tls_policy.version"

local DAY = date.DAY

---- Lists that hosts share ----------------------------------------------------

local function push_new(list, item)
	for _, known in ipairs(list) do
		if known == item then
			return
		end
	end
	list[#list + 1] = item
end

-- A list of items, each of which has the list `hosts`. Most hosts have the same items, so an item is
-- added once for each key. Returns function(key, host, item) -> the item of the key.
local function shared_list(server)
	local list, by_key = server.list {}, {}
	return list, function (key, host, item)
		if not by_key[key] then
			by_key[key], item.hosts = item, server.list {}
			list[#list + 1] = item
		end
		push_new(by_key[key].hosts, host)
		return by_key[key]
	end
end

local function by_domain(a, b)
	return (a.domain or "") < (b.domain or "")
end

---- Policies ------------------------------------------------------------------

local function policies(service)
	local list = service.server.list {}
	service.policies:each(function (host, policy)
		list[#list + 1] = {
			host = host, policy = policy:name(), mode = policy.mode, unauthenticated_s2s = policy.unauthenticated_s2s,
		}
	end)
	return list
end

local function exceptions(service, now)
	local list, add = shared_list(service.server)
	service.policies:each(function (host, policy)
		for domain, exception in pairs(policy.exceptions) do
			local key = table.concat({ domain, exception.expires, exception.reason, exception.level or "",
				exception.unauthenticated_s2s or "" }, "\0")
			add(key, host, {
				domain = domain, level = exception.level, unauthenticated_s2s = exception.unauthenticated_s2s,
				expires = exception.expires, reason = exception.reason, ended = now >= exception.ends,
				days_left = math.max(0, math.floor((exception.ends - now) / DAY)),
			})
		end
	end)
	table.sort(list, by_domain)
	return list
end

local function warnings(service, now)
	local list, add = shared_list(service.server)
	service.policies:each(function (host, policy)
		for _, warning in ipairs(policy:warnings(now)) do
			add(warning.message, host, { domain = warning.domain, kind = warning.kind, message = warning.message })
		end
	end)
	for _, host in ipairs(service.server.hosts()) do
		local reason = shut_hosts.reason(service.server, service.policies, host)
		if reason then
			add(reason, host, { kind = "no-starttls", message = reason })
		end
	end
	local store = service.adopted:sessions()
	local message = store and session_memory.warning(store:stats())
	if message then
		add(message, "*", { kind = "unlocked", message = message })
	end
	table.sort(list, by_domain)
	return list
end

-- The store of sessions that can be resumed: nil if there is none.
local function sessions(service)
	local store = service.adopted:sessions()
	local stats = store and store:stats()
	return stats and {
		count = stats.sessions, capacity = stats.capacity, bytes = stats.bytes, locked = stats.locked,
		lifetime = stats.lifetime,
	}
end

---- Contexts ------------------------------------------------------------------

-- Read back from OpenSSL. `entry`: see adopted_contexts.lua.
local function context_row(server, entry, context, now)
	local settings = context and context:settings()
	local certificate = context and context:inspect().certificate
	local ends = certificate and certificate:facts().not_after
	local row = {
		host = entry.given.host, role = entry.given.role, service = entry.service or "STARTTLS",
		policy = entry.policy:name(), mode = entry.policy.mode, domain = entry.policy.exception and entry.given.domain,
		failure = entry.failure, resumption = entry.session_name ~= nil,
		certificate_ends = ends, certificate_days_left = ends and math.floor((ends - now) / DAY),
	}
	if settings and not entry.failure then
		row.lowest, row.highest = settings.minimum_version, settings.maximum_version or "TLSv1.3"
		row.suites = #(settings.ciphers or {}) + #(settings.ciphersuites or {})
		row.groups, row.dh_bits = server.list(settings.groups or {}), settings.dh_bits
	end
	return row
end

local function sort_key(row)
	return ("%s\0%s\0%s\0%s"):format(row.host or "", row.role, row.service, row.domain or "")
end

-- Equal rows appear once: the server may keep contexts that it has replaced for a while.
local function context_rows(service, now)
	local server = service.server
	local rows, seen, next_turn = server.list {}, {}, server.turns()
	service.adopted:each(function (entry, context)
		local row = context_row(server, entry, context, now)
		local key = ("%s\0%s\0%s\0%s"):format(sort_key(row), row.policy, row.failure or "", row.certificate_ends or "")
		if not seen[key] then
			seen[key] = true
			rows[#rows + 1] = row
		end
		next_turn()
	end)
	table.sort(rows, function (a, b)
		return sort_key(a) < sort_key(b)
	end)
	return rows
end

-- Hosts without a context for STARTTLS: the server makes it at the first connection.
local function unused(service, rows)
	local used, without = {}, service.server.list {}
	for _, row in ipairs(rows) do
		used[row.host or "*"] = used[row.host or "*"] or row.service == "STARTTLS"
	end
	for _, host in ipairs(service.policies:hosts()) do
		without[#without + 1] = not used[host] and not service.server.lacks_starttls(host) and host or nil
	end
	return without
end

---- Overridden settings -------------------------------------------------------

local options_of_server = {
	"c2s_require_encryption", "s2s_require_encryption", "require_encryption", "allow_unencrypted_plain_auth",
	"s2s_secure_auth", "s2s_insecure_domains",
}

local function overridden(service)
	local server = service.server
	local list, add = shared_list(server)
	service.policies:each(function (host, policy)
		local options = {}
		for _, name in ipairs(options_of_server) do
			options[name] = server.option(host, name)
		end
		for _, message in ipairs(overrides.of_options(policy, options)) do
			add(message, host, { message = message })
		end
	end)
	local next_turn = server.turns()
	service.adopted:each(function (entry)
		for _, message in ipairs(entry.policy.exception and {} or overrides.of_context(entry)) do
			local item = add(message, entry.given.host or "*", { message = message, roles = server.list {} })
			push_new(item.roles, entry.given.role)
			table.sort(item.roles)
			table.sort(item.hosts)
		end
		next_turn()
	end)
	return list
end

local function data(service)
	local now = os.time()
	local rows = context_rows(service, now)
	return {
		version = version, versions = ("%s, %s"):format(service.server.versions(), core.openssl:match "^%S+ %S+"),
		policies = policies(service), contexts = rows, unused = unused(service, rows), overridden = overridden(service),
		exceptions = exceptions(service, now), warnings = warnings(service, now), sessions = sessions(service),
	}
end

---- Tables --------------------------------------------------------------------

local function print_policies(out, found)
	local rows = {}
	for index, row in ipairs(found.policies) do
		rows[index] = { host_names(row.host), row.policy, row.mode, row.unauthenticated_s2s }
	end
	out:table({ "Host", "Policy", "Mode", "Unauthenticated s2s" }, rows)
end

local function policy_of(row)
	return row.failure and "no TLS" or (row.mode == "report" and "report mode: " or "") .. row.policy
end

local function certificate_of(row)
	if not row.certificate_ends then
		return "none"
	end
	return ("%s (%s)"):format(date.of(row.certificate_ends),
		row.certificate_days_left < 0 and "expired" or counted(row.certificate_days_left, "day"))
end

local function print_contexts(out, found)
	local rows = {}
	for index, row in ipairs(found.contexts) do
		rows[index] = {
			row.host or "any", row.role, row.service, policy_of(row), row.lowest or "",
			row.highest or "", row.suites and ("%d"):format(row.suites) or "",
			row.groups and table.concat(row.groups, " ") or "", row.dh_bits and ("%d"):format(row.dh_bits) or "",
			row.resumption and "yes" or "no", certificate_of(row),
		}
	end
	if rows[1] then
		out:table({ "Host", "Role", "Service", "Policy", "Lowest", "Highest", "Suites", "Groups", "DH",
			"Resumption", "Certificate until" }, rows, 5)
	end
	for _, row in ipairs(found.contexts) do
		if row.failure then
			out:print("No TLS: %s, %s (%s): %s", row.host or "any host", row.role, row.service, row.failure)
		end
	end
	if found.unused[1] then
		out:print("No STARTTLS context yet, the server makes it at the first connection: %s", host_names(found.unused))
	end
end

local function print_exceptions(out, found)
	local rows = {}
	for index, row in ipairs(found.exceptions) do
		rows[index] = { row.domain, row.level or "", row.unauthenticated_s2s or "", row.expires,
			row.ended and "ended" or ("%d"):format(row.days_left), row.reason, host_names(row.hosts) }
	end
	if rows[1] then
		out:table({ "Exception for", "Level", "Unauthenticated s2s", "Until", "Days", "Reason", "On" }, rows, 6)
	end
end

local function print_sessions(out, found)
	local row = found.sessions
	out:print(row and ("Sessions to resume: %d of at most %d, for %d s; %d MiB, %s"):format(row.count, row.capacity,
		row.lifetime, row.bytes / 2 ^ 20, row.locked and "locked in memory" or "not locked in memory")
		or "No session can be resumed")
end

local function show(out, service)
	local found = data(service)
	out:print("Version %s on %s", found.version, found.versions)
	print_policies(out, found)
	print_contexts(out, found)
	print_exceptions(out, found)
	print_sessions(out, found)
	for _, row in ipairs(found.overridden) do
		out:print("Overridden: %s%s: %s", host_names(row.hosts),
			row.roles and (" (%s)"):format(table.concat(row.roles, ", ")) or "", row.message)
	end
	for _, row in ipairs(found.warnings) do
		out:print("Warning: %s: %s", host_names(row.hosts), row.message)
	end
	return true, ("%s, %s overridden, %s"):format(counted(#found.contexts, "context"),
		counted(#found.overridden, "setting"), counted(#found.warnings, "warning"))
end

--- See run.lua.
return {
	name = "status",
	help = "Show the policy of each host, the TLS contexts as OpenSSL has them, overridden settings, exceptions and "
		.. "warnings",
	data = data,
	show = show,
}
