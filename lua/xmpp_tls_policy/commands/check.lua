--- The command `check`: the TLS that a server would have after a start with its configuration, and the problems of
-- the configuration. It is no command of the shell: the server that it looks at has not started.
local counted = require "xmpp_tls_policy.text".counted
local engine_module = require "xmpp_tls_policy.sessions.engine_module"
local engine_url = require "xmpp_tls_policy.policy.engine_url"
local forecast = require "xmpp_tls_policy.forecast"
local host_names = require "xmpp_tls_policy.commands.host_names"
local idle_level = require "xmpp_tls_policy.contexts.idle_level"
local key_file = require "xmpp_tls_policy.sessions.key_file"
local our_host = require "xmpp_tls_policy.commands.our_host"
local output = require "xmpp_tls_policy.commands.output"
local own_certificate_check = require "xmpp_tls_policy.certificates.own_certificate_check"
local shared_sessions = require "xmpp_tls_policy.sessions.shared_sessions"
local status = require "xmpp_tls_policy.commands.status"
local tls_contexts = require "xmpp_tls_policy.contexts.tls_contexts"

local check = {}

--- Exit statuses for scripts: the worst that was found. A problem that was found outweighs a part that was not
-- looked at.
check.FINE, check.PROBLEMS, check.UNCHECKED = 0, 1, 2

-- Of the JSON; it changes when a field does.
local SCHEMA = 1

---- Problems ------------------------------------------------------------------

-- The list of problems, each of which is there once, with all hosts that have it. Returns the list, and
-- function(severity, kind, host, message, role), the last nil for all roles.
local function problem_list(server)
	local list, known = server.list {}, {}
	local function push(names, name)
		for _, other in ipairs(names) do
			name = other ~= name and name or nil
		end
		names[#names + 1] = name
		table.sort(names)
	end
	return list, function (severity, kind, host, message, role)
		local key = table.concat({ severity, kind, message }, "\0")
		local problem = known[key]
		if not problem then
			problem = {
				severity = severity, kind = kind, message = message, hosts = server.list {}, roles = server.list {},
			}
			known[key], list[#list + 1] = problem, problem
		end
		push(problem.hosts, host)
		push(problem.roles, role)
	end
end

local ranks = { error = 1, warn = 2, info = 3 }

-- The server makes its contexts in no fixed order.
local function problem_before(a, b)
	local function key(problem)
		return table.concat({
			ranks[problem.severity], problem.kind, table.concat(problem.hosts, " "), problem.message,
		}, "\0")
	end
	return key(a) < key(b)
end

local function add_coverage(service, found, add)
	local server = service.server
	if not service.policies:hosts()[1] then
		add("error", "not-enabled", "*", ("%s is enabled on no host, so no policy is in force: put it into modules_enabled "
			.. "at the top"):format(forecast.module))
		return
	end
	for _, host in ipairs(found.uncovered) do
		if not server.disables_module(host, forecast.module) then
			add("warn", "not-covered", host, ("%s is not enabled here, so TLS is the server's own: put it into modules_enabled "
				.. "at the top, or into modules_disabled of the host if that is meant"):format(forecast.module))
		end
	end
end

local function add_options(service, wanted, add, add_unchecked)
	service.policies:each(function (host)
		for _, fault in ipairs((not wanted or host == "*" or host == wanted) and service.policies:errors(host) or {}) do
			if fault.unopened and not service.is_own_user then
				add_unchecked(host, fault.message)
			else
				add("error", "option", host, fault.message)
			end
		end
	end)
	for _, fault in ipairs(service.policies:options_without_effect()) do
		if not wanted or fault.host == "*" or fault.host == wanted then
			add("warn", fault.kind, fault.host, fault.message)
		end
	end
end

-- Of an exception, the server's memory and hosts; see status.lua.
local severities = { outage = "error", ["no-starttls"] = "error" }

local function add_warnings(found, add)
	for _, warning in ipairs(found.warnings) do
		for _, host in ipairs(warning.hosts) do
			-- The memory that this process may lock is not the server's; contexts that cannot be made are among its errors.
			if warning.kind ~= "unlocked" and warning.kind ~= "no-context" then
				add(severities[warning.kind] or "warn", warning.kind, host, warning.message)
			end
		end
	end
end

-- An adopted context; `entry`: see adopted_contexts.lua.
local function add_context(service, entry, add)
	local host, role, policy = entry.given.host or "*", entry.given.role, entry.policy
	local where = entry.service and (" (%s)"):format(entry.service) or ""
	if entry.failure then
		add("error", "no-tls", host, ("no TLS%s, because its context cannot be brought under %s: %s")
			:format(where, policy:name(), entry.failure), role)
		return
	elseif policy.mode == "report" then
		-- Those for STARTTLS are among the warnings; see foreseen_outages.lua.
		local enforcement = service.adopted:enforcement(entry, policy)
		if entry.service and enforcement and enforcement.failure then
			add("error", "outage", host, ("if %s were enforced, nobody could connect with TLS%s: %s")
				:format(policy:name(), where, enforcement.failure), role)
		end
		return
	end
	for _, loss in ipairs(entry.losses) do
		add("warn", "lost-version", host, loss, role)
	end
	local idle = not policy.exception and idle_level.sentence(policy, entry.settings, service.server.preset())
	if idle then
		add("info", "idle-level", host, idle .. where, role)
	end
	local lost, all_lost = tls_contexts.lost_by_key(entry)
	if lost then
		add(all_lost and "error" or "warn", "key", host, lost .. where, role)
	end
	for _, lack in ipairs(policy:unsupported(entry.settings)) do
		add("info", "unsupported", host, "by the server's own configuration: " .. policy:sentence(lack), role)
	end
	if entry.resumption_failure then
		add("error", "no-resumption", host, "no session is resumed: " .. entry.resumption_failure, role)
	end
end

local peers = { c2s = "client", s2sin = "server" }

-- Hosts whose contexts have no certificate, which a server needs.
local function add_missing_certificates(service, found, add)
	for _, row in ipairs(found.contexts) do
		local peer = peers[row.role]
		if peer and row.host and not row.failure and not row.certificate_ends
			and forecast.has_role(service.server, row.host, row.role) then
			add(own_certificate_check.is_local(row.host) and "info" or "error", "no-certificate", row.host,
				("there is no certificate for it, so no %s can connect with TLS (%s): configure one"):format(peer, row.service),
				row.role)
		end
	end
end

local function add_certificates(service, wanted, add)
	local hosts = wanted and { wanted } or service.policies:hosts()
	for _, fault in ipairs(service.own_certificates:faults(hosts)) do
		add(fault.severity, "certificate", fault.host, fault.message)
		for _, host in ipairs(fault.others) do
			add(fault.severity, "certificate", host, fault.message)
		end
	end
end

-- What stands in the way of shared sessions. The engine itself is not asked.
local function add_sharing(service, add, add_unchecked)
	local resumption = service.policies:policy_for().resumption
	local shared = resumption.enabled and resumption.shared
	if not shared then
		return
	end
	local redis, missing = engine_module.load(engine_url.parse(shared.url))
	if not redis then
		add("error", "sharing", "*", "no session is shared: " .. missing)
	end
	local function note(problem)
		if service.is_own_user then
			add("error", "sharing", "*", "no session is shared: " .. problem)
		else
			add_unchecked("*", problem)
		end
	end
	local keys, problem = key_file.read(shared.key_file)
	if keys then
		keys:close()
	else
		note(problem)
	end
	if shared.ca_file then
		local file, failure = io.open(shared.ca_file)
		if file then
			file:close()
		else
			note(failure)
		end
	end
	local warning = shared_sessions.lifetime_warning(resumption.lifetime)
	if warning then
		add("warn", "sharing", "*", warning)
	end
end

-- Parts that the server could not make: its own faults, or files that only its user can read.
local function add_server_errors(service, wanted, add, add_unchecked)
	local function note(kind, host, message, role)
		if service.is_own_user then
			add("error", kind, host, message, role)
		else
			add_unchecked(host, message)
		end
	end
	for _, lack in ipairs(service.missing) do
		if not wanted or wanted == lack.host then
			note("no-context", lack.host, "no STARTTLS: " .. lack.message, lack.role)
		end
	end
	for _, line in ipairs(service.errors) do
		note("server", "*", line)
	end
end

---- Data ----------------------------------------------------------------------

local function row_before(a, b)
	local function key(row)
		return table.concat({ row.host or "", row.role, row.service, row.policy }, "\0")
	end
	return key(a) < key(b)
end

-- Rows like those of status_contexts.lua for contexts that the server could not make.
local function add_missing_rows(service, wanted, rows)
	for _, lack in ipairs(service.missing) do
		if not wanted or wanted == lack.host then
			local policy = service.policies:policy_for(lack.host)
			rows[#rows + 1] = {
				host = lack.host, role = lack.role, service = "STARTTLS", policy = policy:name(), mode = policy.mode,
				failure = lack.message, resumption = false, ports = service.server.list(service.server.starttls_ports(lack.role)),
			}
		end
	end
	table.sort(rows, row_before)
end

-- What is a problem here is overridden nowhere.
local function without_losses(service, overridden)
	local is_loss, kept = {}, service.server.list {}
	service.adopted:each(function (entry)
		for _, loss in ipairs(entry.losses or {}) do
			is_loss[loss] = true
		end
	end)
	for _, item in ipairs(overridden) do
		kept[#kept + 1] = not is_loss[item.message] and item or nil
	end
	return kept
end

local function result_of(found)
	for _, problem in ipairs(found.problems) do
		if problem.severity ~= "info" then
			return check.PROBLEMS
		end
	end
	return found.unchecked[1] and check.UNCHECKED or check.FINE
end

--- The findings about a server, or one of its hosts (nil: all). `service`: see forecast.lua. The fields of the
-- command `status`, and
--   schema     the number of this format
--   problems   list of { severity = "error" | "warn" | "info", kind, message, hosts ("*": all others), roles (empty: no
--              role in particular) }
--   unchecked  list of { host, message }
--   result     the exit status
-- without warnings, sessions and unused. Or nil and a message.
function check.data(service, given)
	local server = service.server
	local found, message = status.data(service, given)
	if not found then
		return nil, message
	end
	local wanted = given and our_host(server, given)
	local problems, add = problem_list(server)
	local unchecked = server.list {}
	local function add_unchecked(host, text)
		unchecked[#unchecked + 1] = { host = host, message = text }
	end
	add_server_errors(service, wanted, add, add_unchecked)
	add_sharing(service, add, add_unchecked)
	add_coverage(service, found, add)
	add_options(service, wanted, add, add_unchecked)
	add_warnings(found, add)
	service.adopted:each(function (entry)
		if not wanted or not entry.given.host or entry.given.host == wanted then
			add_context(service, entry, add)
		end
	end)
	add_missing_certificates(service, found, add)
	add_certificates(service, wanted, add)
	add_missing_rows(service, wanted, found.contexts)
	table.sort(problems, problem_before)
	found.schema, found.problems, found.unchecked = SCHEMA, problems, unchecked
	found.overridden = without_losses(service, found.overridden)
	found.warnings, found.sessions, found.unused = nil, nil, nil
	found.result = result_of(found)
	return found
end

---- Output --------------------------------------------------------------------

-- By the kind of a problem: its place where no host has it in particular.
local places = {
	option = "configuration", ["misspelt-option"] = "configuration", ["empty-option"] = "configuration",
	["foreign-account"] = "configuration", ["not-enabled"] = "configuration", server = "server",
	sharing = "shared sessions", ["no-tls"] = "any host", outage = "any host", ["lost-version"] = "any host",
	["idle-level"] = "any host", key = "any host", unsupported = "any host", ["no-resumption"] = "any host",
	certificate = "any host",
}

local labels = { { "error", "Error" }, { "warn", "Warning" }, { "info", "Note" } }

local function print_problems(out, found)
	for _, label in ipairs(labels) do
		for _, problem in ipairs(found.problems) do
			if problem.severity == label[1] then
				out:wrapped("%s: %s%s: %s", label[2], host_names(problem.hosts, places[problem.kind]),
					problem.roles[1] and (" (%s)"):format(table.concat(problem.roles, ", ")) or "", problem.message)
			end
		end
	end
	for _, item in ipairs(found.unchecked) do
		out:wrapped("Not checked: %s: %s", host_names(item.host, "server"), item.message)
	end
	if found.unchecked[1] then
		out:wrapped("Run the command as the server's user or as root to check all of it.")
	end
end

local function summary(found)
	local counts = { error = 0, warn = 0, info = 0 }
	for _, problem in ipairs(found.problems) do
		counts[problem.severity] = counts[problem.severity] + 1
	end
	return ("%s, %s, %s%s"):format(counted(#found.contexts, "context"), counted(counts.error, "error"),
		counted(counts.warn, "warning"), found.unchecked[1] and ", not all could be checked" or "")
end

--- Checks, and prints the findings to a writer (see output.lua). `options`: { host (nil: all), json = boolean,
-- width (nil: the writer's) }. Returns the exit status; or UNCHECKED and a message.
function check.run(service, writer, options)
	local found, message = check.data(service, options.host)
	if not found then
		return check.UNCHECKED, message
	end
	local out = output.new { server = service.server, writer = writer, width = options.width }
	if options.json then
		out:json(found)
		return found.result
	end
	status.print(out, found)
	print_problems(out, found)
	out:print("%s", summary(found))
	return found.result
end

return check
