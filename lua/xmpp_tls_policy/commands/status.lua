--- The command `status`: the policy of each host, the TLS contexts as OpenSSL has them, and the
-- settings of the operator that the policy overrides.
local core = require "xmpp_tls_policy.core"
local counted = require "xmpp_tls_policy.text".counted
local date = require "xmpp_tls_policy.date"
local grants = require "xmpp_tls_policy.policy.exceptions".grants
local host_names = require "xmpp_tls_policy.commands.host_names"
local opened_by_exceptions = require "xmpp_tls_policy.contexts.opened_by_exceptions"
local options = require "xmpp_tls_policy.policy.options"
local overrides = require "xmpp_tls_policy.policy.overrides"
local our_host = require "xmpp_tls_policy.commands.our_host"
local session_memory = require "xmpp_tls_policy.contexts.session_memory"
local status_contexts = require "xmpp_tls_policy.commands.status_contexts"
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

-- Calls visit(host, policy) for each host ("*": all others) that the operator asks for. `wanted`: a
-- host; nil: all.
local function each_policy(service, wanted, visit)
	service.policies:each(function (host, policy)
		if not wanted or wanted == host then
			visit(host, policy)
		end
	end)
end

local function policies(service, wanted)
	local list = service.server.list {}
	each_policy(service, wanted, function (host, policy)
		list[#list + 1] = {
			host = host, policy = policy:name(), mode = policy.mode, unauthenticated_s2s = policy.unauthenticated_s2s,
		}
	end)
	return list
end

-- Resumption without the engine, whose URL may contain a password; `sharing` has it.
local function without_engine(resumption)
	local shown = {}
	for name, value in pairs(resumption) do
		shown[name] = name ~= "shared" and value or nil
	end
	return shown
end

-- The values of all options but exceptions, which have a list of their own.
local function options_in_force(service, wanted)
	local list, add = shared_list(service.server)
	each_policy(service, wanted, function (host, policy)
		local item, key = {}, {}
		for _, name in ipairs(options.names) do
			if name ~= "exceptions" then
				item[name] = name == "resumption" and without_engine(policy[name]) or policy[name]
			end
			key[#key + 1] = type(item[name]) ~= "table" and tostring(item[name]) or nil
		end
		add(table.concat(key, "\0"), host, item)
	end)
	return list
end

-- Hosts on which the module is not active: their TLS is the server's own.
local function uncovered(service, wanted)
	local list = service.server.list {}
	for _, host in ipairs(service.server.hosts()) do
		list[#list + 1] = not service.policies:covers(host) and (not wanted or wanted == host) and host or nil
	end
	return list
end

local function exceptions(service, wanted, now)
	local list, add = shared_list(service.server)
	each_policy(service, wanted, function (host, policy)
		for domain, exception in pairs(policy.exceptions) do
			local granted = table.concat(grants(exception), ", ")
			local key = table.concat({ domain, exception.expires, exception.reason, granted }, "\0")
			add(key, host, {
				domain = domain, level = exception.level, unauthenticated_s2s = exception.unauthenticated_s2s,
				groups = exception.groups,
				expires = exception.expires, reason = exception.reason, ended = now >= exception.ends,
				days_left = math.max(0, math.floor((exception.ends - now) / DAY)),
			})
		end
	end)
	table.sort(list, by_domain)
	return list
end

-- What the exceptions open on the contexts that hosts have for other servers. In report mode they open
-- nothing.
local function opened(service, wanted, now)
	local list, add = shared_list(service.server)
	local next_turn = service.server.turns()
	each_policy(service, wanted, function (host, policy)
		if host == "*" or policy.mode == "report" or not next(policy.exceptions) then
			return
		end
		for _, item in ipairs(opened_by_exceptions.on_host(service.server, service.adopted, host, policy, now)) do
			item.roles = service.server.list(item.roles)
			add(table.concat({ item.domain, item.text, table.concat(item.roles, " ") }, "\0"), host, item)
		end
		next_turn()
	end)
	table.sort(list, by_domain)
	return list
end

local function warnings(service, wanted, now, lacks)
	local list, add = shared_list(service.server)
	each_policy(service, wanted, function (host, policy)
		local function option(name)
			return service.server.option(host, name)
		end
		for _, warning in ipairs(policy:warnings(now, option)) do
			add(warning.message, host, { domain = warning.domain, kind = warning.kind, message = warning.message })
		end
		for _, message in ipairs(service.outages:of(host)) do
			add(message, host, { kind = "outage", message = message })
		end
	end)
	for _, host in ipairs(service.server.hosts()) do
		local reason = shut_hosts.reason(service.server, service.policies, host)
		if reason then
			add(reason, host, { kind = "no-starttls", message = reason })
		end
	end
	for _, host in ipairs(service.policies:hosts()) do
		local lack = lacks[host]
		if lack then
			add(lack, host, { kind = "no-context", message = lack })
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
	}
end

-- Nil if nothing is to be shared; a forecast shares nothing either.
local function sharing(service)
	local status = service.shared_sessions and service.shared_sessions:status()
	return status and {
		engine = status.engine, name = status.name, state = status.state, reason = status.reason, keys = status.keys,
		lag = status.lag, queued = status.queued,
	}
end

---- Overridden settings -------------------------------------------------------

local options_of_server = {
	"c2s_require_encryption", "s2s_require_encryption", "require_encryption", "allow_unencrypted_plain_auth",
	"s2s_secure_auth", "s2s_insecure_domains",
}

local function overridden(service, wanted)
	local server = service.server
	local list, add = shared_list(server)
	each_policy(service, wanted, function (host, policy)
		local set = {}
		for _, name in ipairs(options_of_server) do
			set[name] = server.option(host, name)
		end
		for _, message in ipairs(overrides.of_options(policy, set)) do
			add(message, host, { message = message })
		end
	end)
	local next_turn = server.turns()
	service.adopted:each(function (entry)
		local is_wanted = not entry.policy.exception and (not wanted or wanted == entry.given.host)
		for _, message in ipairs(is_wanted and overrides.of_context(entry, server.preset()) or {}) do
			local item = add(message, entry.given.host or "*", { message = message, roles = server.list {} })
			push_new(item.roles, entry.given.role)
			table.sort(item.roles)
			table.sort(item.hosts)
		end
		next_turn()
	end)
	return list
end

-- Or nil and a message.
local function data(service, given)
	local server, now = service.server, os.time()
	local wanted, message
	if given then
		wanted, message = our_host(server, given)
		if not wanted then
			return nil, message
		end
	end
	local rows, lacks = status_contexts.rows(service, wanted, now), {}
	local unused = status_contexts.unused(service, wanted, rows, lacks)
	return {
		version = version, versions = ("%s, %s"):format(server.versions(), core.openssl:match "^%S+ %S+"),
		policies = policies(service, wanted), options = options_in_force(service, wanted),
		uncovered = uncovered(service, wanted),
		contexts = rows, unused = unused, overridden = overridden(service, wanted),
		exceptions = exceptions(service, wanted, now), opened = opened(service, wanted, now),
		warnings = warnings(service, wanted, now, lacks),
		sessions = sessions(service), sharing = sharing(service),
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

local function yes_or_no(option)
	return option and "yes" or "no"
end

-- The options that are not in the table of policies.
local function print_options(out, found)
	local rows, of_process = {}, found.options[1]
	for index, row in ipairs(found.options) do
		rows[index] = { host_names(row.hosts), row.certificate_change, yes_or_no(row.notify_admins),
			yes_or_no(row.channel_binding), yes_or_no(row.digest) }
	end
	if of_process then
		out:table({ "Options of", "Certificate change", "Notify admins", "Channel binding", "Digest" }, rows)
		local resumption = of_process.resumption
		out:print("Resumption: %s, lifetime %d s, memory %d MiB, address share %d", resumption.enabled and "on" or "off",
			resumption.lifetime, resumption.memory, resumption.address_share)
		out:print("Handshakes with DHE: %g a second at most", of_process.dhe_per_second)
	end
	if found.uncovered[1] then
		out:wrapped("Not covered, so TLS is the server's own: %s", host_names(found.uncovered))
	end
end

local function print_exceptions(out, found)
	local rows = {}
	for index, row in ipairs(found.exceptions) do
		rows[index] = { row.domain, table.concat(grants(row), ", "), row.expires,
			row.ended and "ended" or ("%d"):format(row.days_left), row.reason, host_names(row.hosts) }
	end
	if rows[1] then
		out:table({ "Exception for", "Grants", "Until", "Days", "Reason", "On" }, rows, 5)
	end
end

local function print_sessions(out, found)
	local row = found.sessions
	if row then
		out:print("Sessions to resume: %d of at most %d, %s", row.count, row.capacity,
			row.locked and "locked in memory" or "not locked in memory")
	end
end

local function print_sharing(out, found)
	local row = found.sharing
	if row then
		out:wrapped("Sharing sessions through %s as %s: %s%s, key %s, lag %.3f s, %d waiting", row.engine, row.name,
			row.state, row.reason and (" (%s)"):format(row.reason) or "", row.keys or "none", row.lag or 0, row.queued or 0)
	end
end

-- All but warnings.
local function print_found(out, found)
	out:print("Version %s on %s", found.version, found.versions)
	print_policies(out, found)
	print_options(out, found)
	status_contexts.print(out, found)
	print_exceptions(out, found)
	for _, row in ipairs(found.opened) do
		out:wrapped("The exception for %s opens on %s (%s): %s", row.domain, host_names(row.hosts),
			table.concat(row.roles, ", "), row.text)
	end
	print_sessions(out, found)
	print_sharing(out, found)
	for _, row in ipairs(found.overridden) do
		out:print("Overridden: %s%s: %s", host_names(row.hosts),
			row.roles and (" (%s)"):format(table.concat(row.roles, ", ")) or "", row.message)
	end
end

local function show(out, service, wanted)
	local found, message = data(service, wanted)
	if not found then
		return nil, message
	end
	print_found(out, found)
	for _, row in ipairs(found.warnings) do
		out:print("Warning: %s: %s", host_names(row.hosts, row.kind == "unlocked" and "server" or nil), row.message)
	end
	return true, ("%s, %s overridden, %s"):format(counted(#found.contexts, "context"),
		counted(#found.overridden, "setting"), counted(#found.warnings, "warning"))
end

--- See run.lua. print(out, found) prints the data, except warnings.
return {
	name = "status",
	argument = "host",
	help = "Show the version, the policy and the options of each host or of one, the TLS contexts as OpenSSL has them, "
		.. "overridden settings, exceptions and warnings",
	data = data,
	print = print_found,
	show = show,
}
