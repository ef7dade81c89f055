--- Which policy is in force where, and what it overrides: the command `status` of the shell.
local array = require "util.array"
local contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local date = require "xmpp_tls_policy.date"
local in_force = require "xmpp_tls_policy.policy.policies"
local overrides = require "xmpp_tls_policy.policy.overrides"
local server = require "xmpp_tls_policy.servers.prosody.server"
local shell = require "xmpp_tls_policy.servers.prosody.shell"
local turns = require "xmpp_tls_policy.servers.prosody.turns"

local status = {}

local DAY = 86400 -- seconds

---- Policies ------------------------------------------------------------------

local function policies()
	local list = array {}
	in_force.each(function (host, policy)
		list:push {
			host = host, policy = policy:name(), mode = policy.mode, unauthenticated_s2s = policy.unauthenticated_s2s,
		}
	end)
	return list
end

local function push_new(list, item)
	for _, known in ipairs(list) do
		if known == item then
			return
		end
	end
	list:push(item)
end

-- Most hosts have the exceptions of all. Returns what is in the list for the key.
local function once(list, seen, key, host, made)
	if not seen[key] then
		seen[key], made.hosts = made, array {}
		list:push(made)
	end
	push_new(seen[key].hosts, host)
	return seen[key]
end

local function by_domain(a, b)
	return a.domain < b.domain
end

local function exceptions(now)
	local list, seen = array {}, {}
	in_force.each(function (host, policy)
		for domain, exception in pairs(policy.exceptions) do
			local key = table.concat({ domain, exception.expires, exception.reason, exception.level or "",
				exception.unauthenticated_s2s or "" }, "\0")
			once(list, seen, key, host, {
				domain = domain, level = exception.level, unauthenticated_s2s = exception.unauthenticated_s2s,
				expires = exception.expires, reason = exception.reason, ended = now >= exception.ends,
				days_left = math.max(0, math.floor((exception.ends - now) / DAY)),
			})
		end
	end)
	return list:sort(by_domain)
end

local function warnings(now)
	local list, seen = array {}, {}
	in_force.each(function (host, policy)
		for _, warning in ipairs(policy:warnings(now)) do
			once(list, seen, warning.message, host, {
				domain = warning.domain, kind = warning.kind, message = warning.message,
			})
		end
	end)
	return list:sort(by_domain)
end

---- Contexts ------------------------------------------------------------------

-- As OpenSSL says, not as we have told it.
local function context_row(entry, context, now)
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
		row.groups, row.dh_bits = array(settings.groups or {}), settings.dh_bits
	end
	return row
end

local function sort_key(row)
	return ("%s\0%s\0%s\0%s"):format(row.host or "", row.role, row.service, row.domain or "")
end

-- Also what is in one twice: the server's old contexts are there until they are collected.
local function context_rows(now)
	local rows, seen, next_turn = array {}, {}, turns.new()
	contexts.each(function (entry, context)
		local row = context_row(entry, context, now)
		local key = ("%s\0%s\0%s\0%s"):format(sort_key(row), row.policy, row.failure or "", row.certificate_ends or "")
		if not seen[key] then
			seen[key] = true
			rows:push(row)
		end
		next_turn()
	end)
	return rows:sort(function (a, b)
		return sort_key(a) < sort_key(b)
	end)
end

-- Hosts whose context for STARTTLS has not been seen: it is made at the first connection.
local function unused(rows)
	local used, hosts = {}, array {}
	for _, row in ipairs(rows) do
		used[row.host or "*"] = used[row.host or "*"] or row.service == "STARTTLS"
	end
	in_force.each(function (host)
		if host ~= "*" and not used[host] then
			hosts:push(host)
		end
	end)
	return hosts
end

---- What is overridden --------------------------------------------------------

local options_of_server = {
	"c2s_require_encryption", "s2s_require_encryption", "require_encryption", "allow_unencrypted_plain_auth",
	"s2s_secure_auth", "s2s_insecure_domains",
}

local function overridden()
	local list, seen, next_turn = array {}, {}, turns.new()
	in_force.each(function (host, policy)
		local options = {}
		for _, name in ipairs(options_of_server) do
			options[name] = server.option(host, name)
		end
		for _, message in ipairs(overrides.of_options(policy, options)) do
			once(list, seen, message, host, { message = message })
		end
	end)
	contexts.each(function (entry)
		for _, message in ipairs(entry.policy.exception and {} or overrides.of_context(entry)) do
			local item = once(list, seen, message, entry.given.host or "*", { message = message, roles = array {} })
			push_new(item.roles, entry.given.role)
			item.roles:sort()
			item.hosts:sort()
		end
		next_turn()
	end)
	return list
end

local function data()
	local now = os.time()
	local rows = context_rows(now)
	return {
		policies = policies(), contexts = rows, unused = unused(rows), overridden = overridden(),
		exceptions = exceptions(now), warnings = warnings(now),
	}
end

---- For people ----------------------------------------------------------------

local function named(host)
	return host == "*" and "all others" or host
end

local function hosts_of(item)
	return table.concat(array.map(item.hosts, named), ", ")
end

local function show_policies(session, found)
	local rows = {}
	for index, row in ipairs(found.policies) do
		rows[index] = { named(row.host), row.policy, row.mode, row.unauthenticated_s2s }
	end
	shell.print_table(session, { "Host", "Policy", "Mode", "Unauthenticated s2s" }, rows)
end

local function policy_of(row)
	return row.failure and "no TLS" or row.policy .. (row.mode == "report" and ", only reported on" or "")
end

local function show_contexts(session, found)
	local rows = {}
	for index, row in ipairs(found.contexts) do
		rows[index] = {
			row.host or "any", row.role, row.service, policy_of(row), row.lowest or "",
			row.highest or "", row.suites and ("%d"):format(row.suites) or "", row.groups and row.groups:concat " " or "",
			row.dh_bits and ("%d"):format(row.dh_bits) or "", row.resumption and "yes" or "no",
			row.certificate_ends and ("%s (%s)"):format(date.of(row.certificate_ends),
				row.certificate_days_left < 0 and "over" or shell.counted(row.certificate_days_left, "day")) or "none",
		}
	end
	if rows[1] then
		shell.print_table(session, { "Host", "Role", "Service", "Policy", "Lowest", "Highest", "Suites", "Groups", "DH",
			"Resumption", "Certificate until" }, rows, 5)
	end
	for _, row in ipairs(found.contexts) do
		if row.failure then
			shell.print(session, "No TLS: %s, %s (%s): %s", row.host or "any host", row.role, row.service, row.failure)
		end
	end
	if found.unused[1] then
		shell.print(session, "STARTTLS not used yet, so its context is not there to be looked at: %s",
			found.unused:concat ", ")
	end
end

local function show_exceptions(session, found)
	local rows = {}
	for index, row in ipairs(found.exceptions) do
		rows[index] = { row.domain, row.level or "", row.unauthenticated_s2s or "", row.expires,
			row.ended and "over" or ("%d"):format(row.days_left), row.reason, hosts_of(row) }
	end
	if rows[1] then
		shell.print_table(session,
			{ "Exception for", "Level", "Unauthenticated s2s", "Until", "Days", "Reason", "On" }, rows, 6)
	end
end

local function show(session)
	local found = data()
	show_policies(session, found)
	show_contexts(session, found)
	show_exceptions(session, found)
	for _, row in ipairs(found.overridden) do
		shell.print(session, "Overridden: %s%s: %s", hosts_of(row),
			row.roles and (" (%s)"):format(row.roles:concat ", ") or "", row.message)
	end
	for _, row in ipairs(found.warnings) do
		shell.print(session, "Warning: %s: %s", hosts_of(row), row.message)
	end
	return true, ("%s, %s overridden, %s"):format(shell.counted(#found.contexts, "context"),
		shell.counted(#found.overridden, "setting"), shell.counted(#found.warnings, "warning"))
end

--- See shell.add.
status.commands = {
	{
		name = "status",
		help = "Show which policy is in force where, as OpenSSL has it, and what it overrides in the configuration",
		data = data,
		show = show,
	},
}

return status
