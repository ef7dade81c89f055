--- The TLS contexts in the command `status`, as OpenSSL has them: those that new handshakes get, and
-- those that old streams hold.
local core = require "xmpp_tls_policy.core"
local counted = require "xmpp_tls_policy.text".counted
local date = require "xmpp_tls_policy.date"
local host_names = require "xmpp_tls_policy.commands.host_names"
local negotiable_versions = require "xmpp_tls_policy.policy.negotiable_versions"
local short_list = require "xmpp_tls_policy.text".short_list

local status_contexts = {}

---- Rows ----------------------------------------------------------------------

-- Fields of settings (see policy/settings.lua). `certificate`: the context's own, or nil.
local function add_settings(row, server, settings, certificate)
	local key = row.role ~= "s2sout" and (certificate and certificate:facts() or false)
	if row.role == "s2sout" then
		key = nil
	end
	row.versions = server.list(negotiable_versions.of(settings, key))
	row.lowest, row.highest = settings.minimum_version, settings.maximum_version or "TLSv1.3"
	row.groups, row.dh_bits = server.list(settings.groups or {}), settings.dh_bits
	-- A list stays in the context also where no version is left that uses it.
	row.suite_names = server.list {}
	for _, name in ipairs(row.highest == "TLSv1.3" and settings.ciphersuites or {}) do
		row.suite_names[#row.suite_names + 1] = name
	end
	for _, name in ipairs(row.lowest ~= "TLSv1.3" and settings.ciphers or {}) do
		row.suite_names[#row.suite_names + 1] = name
	end
	row.suites = #row.suite_names
end

-- Returns the certificate.
local function add_certificate(row, context, now)
	local certificate = context and context:inspect().certificate
	local ends = certificate and certificate:facts().not_after
	row.certificate_ends, row.certificate_days_left = ends, ends and math.floor((ends - now) / date.DAY)
	return certificate
end

-- Adds a port (nil: none) to those of a row.
local function add_port(row, port)
	for _, known in ipairs(row.ports) do
		port = port ~= known and port or nil
	end
	row.ports[#row.ports + 1] = port
	table.sort(row.ports)
end

-- Read back from OpenSSL. `entry`: see adopted_contexts.lua.
local function row_of(server, entry, context, now)
	local settings = context and context:settings()
	local row = {
		host = entry.given.host, role = entry.given.role, service = entry.service or "STARTTLS",
		policy = entry.policy:name(), mode = entry.policy.mode,
		domain = entry.policy.exception and entry.policy.exception.domain,
		failure = entry.failure, resumption = entry.session_name ~= nil,
		ports = server.list(not entry.service and server.starttls_ports(entry.given.role) or {}),
	}
	add_port(row, entry.port)
	local certificate = add_certificate(row, context, now)
	if settings and not entry.failure then
		add_settings(row, server, settings, certificate)
	end
	return row
end

-- The context that the next stream of a host gets in a role; it comes under the policy with that stream.
local function row_of_next(service, host, item, now)
	local server, policy = service.server, service.policies:policy_for(host)
	local context = core.context.adopt(server.luasec_context(item.context))
	if not context then
		return nil
	end
	local row = {
		host = host, role = item.role, service = "STARTTLS", policy = policy:name(), mode = policy.mode,
		resumption = false, serves = "new", ports = server.list(server.starttls_ports(item.role)),
	}
	local certificate = add_certificate(row, context, now)
	local settings, message = context:settings(), nil
	if settings and policy.mode ~= "report" then
		settings, message = policy:settings_for(settings, server.operator_lists(host, item.role))
	end
	context:close()
	row.failure = message
	if settings then
		add_settings(row, server, settings, certificate)
	end
	return row
end

-- All contexts that new connections get, by LuaSec context; the same of each host for STARTTLS (nil:
-- unknown); and whether there are any for direct TLS.
local function in_service(service)
	local server, serving, known = service.server, {}, {}
	for _, host in ipairs(service.policies:hosts()) do
		local current = server.current_contexts(host)
		known[host] = current
		for _, item in ipairs(current or {}) do
			serving[server.luasec_context(item.context)] = true
		end
	end
	local listeners = server.direct_tls_contexts()
	for _, listener in ipairs(listeners) do
		serving[server.luasec_context(listener.context)] = true
		for _, context in pairs(listener.names) do
			serving[server.luasec_context(context)] = true
		end
	end
	return serving, known, listeners[1] ~= nil
end

local function sort_key(row)
	return table.concat({ row.host or "", row.role, row.service, row.domain or "", row.serves or "" }, "\0")
end

-- Contexts that new streams get, of hosts and roles whose other contexts streams have used already.
local function add_next(service, rows, used, known, now)
	for host, current in pairs(known) do
		for _, item in ipairs(current) do
			local is_used = used[host] and used[host][item.role]
			local is_adopted = service.adopted:get(service.server.luasec_context(item.context)) ~= nil
			rows[#rows + 1] = is_used and not is_adopted and row_of_next(service, host, item, now) or nil
		end
	end
end

--- A list of server.list, sorted. `wanted`: a host; nil: all. Equal rows appear once. Fields:
--   host (nil: none in particular), role, service, policy, mode, domain (of an exception)
--   ports         a list of numbers, sorted; empty for outgoing connections
--   serves        "new": new handshakes get it; "old": only old streams hold it; nil: unknown
--   versions      those that new handshakes can negotiate with the certificate's key, the oldest first
--   failure       or lowest, highest, suites (number), suite_names (of these versions), groups, dh_bits
--   resumption, certificate_ends (UTC seconds), certificate_days_left
function status_contexts.rows(service, wanted, now)
	local server = service.server
	local rows, seen, used, next_turn = server.list {}, {}, {}, server.turns()
	local serving, known, has_listeners = in_service(service)
	service.adopted:each(function (entry, context, luasec)
		local given = entry.given
		next_turn()
		if wanted and given.host and given.host ~= wanted then
			return
		end
		local row = row_of(server, entry, context, now)
		local is_known = not entry.service and not entry.policy.exception and known[given.host or ""]
		if entry.service and has_listeners or is_known then
			local is_serving = serving[luasec] or entry.policy.networks and service.tls_contexts:serves_networks(luasec)
			row.serves = is_serving and "new" or "old"
		end
		if given.host and not entry.service and not entry.policy.exception then
			used[given.host] = used[given.host] or {}
			used[given.host][given.role] = true
		end
		-- The format of Lua 5.1 cuts a text at a zero byte.
		local key = table.concat({ sort_key(row), row.policy, row.failure or "", row.certificate_ends or "" }, "\0")
		if not seen[key] then
			seen[key] = row
			rows[#rows + 1] = row
		end
		add_port(seen[key], entry.port)
	end)
	add_next(service, rows, used, known, now)
	table.sort(rows, function (a, b)
		return sort_key(a) < sort_key(b)
	end)
	return rows
end

-- Why the server has no context to give to new streams of a host; nil: it has one, or that is unknown.
local function lack_of_context(server, host)
	local current = server.current_contexts(host)
	for _, item in ipairs(current or {}) do
		if item.role ~= "s2sout" then
			return nil
		end
	end
	if not current then
		return nil
	end
	local context, message = server.own_context(host, server.serves_clients(host) and "c2s" or "s2sin")
	return context and "no STARTTLS: the server could not make its TLS context when it loaded the configuration; now it "
		.. "can: reload the configuration"
		or ("no STARTTLS: the server could not make its TLS context (%s): repair its certificate, key or ssl options, and "
			.. "reload the configuration"):format(tostring(message))
end

--- Hosts without a context for STARTTLS: the server makes it at the first connection. `lacks`: host -> message, to
-- which the hosts are added whose context the server could not make.
function status_contexts.unused(service, wanted, rows, lacks)
	local used, without = {}, service.server.list {}
	for _, row in ipairs(rows) do
		used[row.host or "*"] = used[row.host or "*"] or row.service == "STARTTLS"
	end
	for _, host in ipairs(service.policies:hosts()) do
		local is_unused = not used[host] and (not wanted or wanted == host) and not service.server.lacks_starttls(host)
		lacks[host] = is_unused and lack_of_context(service.server, host) or nil
		without[#without + 1] = is_unused and not lacks[host] and host or nil
	end
	return without
end

---- Tables --------------------------------------------------------------------

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

-- Contexts that are named beside a list of suites. JSON has all.
local MOST_CONTEXTS = 12

-- Each list of suites once, with the contexts that have it.
local function print_suites(out, rows)
	local order, names = {}, {}
	for _, row in ipairs(rows) do
		if row.suite_names and row.suite_names[1] then
			local list = table.concat(row.suite_names, ", ")
			if not names[list] then
				names[list], order[#order + 1] = {}, list
			end
			local name = ("%s %s"):format(row.host or "any host", row.role)
			local seen = names[list]
			seen[#seen + 1] = seen[#seen] ~= name and name or nil
		end
	end
	for _, list in ipairs(order) do
		out:wrapped("Suites of %s: %s", short_list(names[list], MOST_CONTEXTS), list)
	end
end

--- Prints the rows and the hosts without one. `found`: the fields contexts and unused.
function status_contexts.print(out, found)
	local rows = {}
	for index, row in ipairs(found.contexts) do
		rows[index] = {
			row.host or "any", row.role, row.service .. (row.serves == "old" and ", old streams" or ""),
			table.concat(row.ports, " "), policy_of(row),
			row.lowest or "", row.highest or "", row.suites and ("%d"):format(row.suites) or "",
			row.groups and table.concat(row.groups, " ") or "", row.dh_bits and ("%d"):format(row.dh_bits) or "",
			row.resumption and "yes" or "no", certificate_of(row),
		}
	end
	if rows[1] then
		out:table({ "Host", "Role", "Service", "Ports", "Policy", "Lowest", "Highest", "Suites", "Groups", "DH",
			"Resumption", "Certificate until" }, rows, 6)
	end
	print_suites(out, found.contexts)
	for _, row in ipairs(found.contexts) do
		if row.failure then
			out:print("No TLS: %s, %s (%s): %s", row.host or "any host", row.role, row.service, row.failure)
		end
	end
	if found.unused and found.unused[1] then
		out:print("No STARTTLS context yet, the server makes it at the first connection: %s", host_names(found.unused))
	end
end

return status_contexts
