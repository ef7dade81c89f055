--- Logs the faults of the certificates of our own hosts: at each load, and on the day of a new one.
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local own_certificate = require "xmpp_tls_policy.certificates.own_certificate"

local unpack = table.unpack or unpack

local own_certificate_check = {}

local methods = {}
local metatable = { __index = methods }

local function clock()
	return os.time()
end

-- Roles in which a host shows its certificate. As a client (s2sout) it shows that of s2sin.
local ROLES = { "c2s", "s2sin" }

-- Stands for the certificates of those who ask for no host.
local NO_HOST = "*"

local starttls_names = { c2s = "c2s", s2sin = "s2s" }
local xmpp_services = { c2s = "xmpp-client", s2sin = "xmpp-server" }

--- For one load of the module. `server`: the adapter; `policies`; `adopted`: see adopted_contexts.lua; `queue`:
-- a work_queue, in which the checks are done; `kept`: the object of the load before, or nil; `now`:
-- function() -> UTC seconds, the system's by default.
function own_certificate_check.new(options)
	local kept, now = options.kept, options.now or clock
	return setmetatable({
		_server = options.server,
		_policies = options.policies,
		_adopted = options.adopted,
		_queue = options.queue,
		_now = now,
		_configured = kept and kept._configured or {}, -- host -> role -> { source, inspected }, see configured
		_known = {}, -- source -> the same of any host, since the last load
		_replaced = kept and kept._replaced or 0, -- contexts up to this number were replaced by a reload
		_logged = {}, -- problems that were logged since the last load
		_seen = {}, -- SHA-256 of certificates that hosts have shown since the last load
		_found = {}, -- problems to be logged after the last host, see note
		_checked_on = date.of(now()), -- the day of the last daily check
		_hosts = {}, -- that wait for their check, in order
		_waiting = {}, -- host -> "all": log each problem; "new": only those that were not logged
	}, metatable)
end

local function facts_of(chain)
	local list = {}
	for index, certificate in ipairs(chain or {}) do
		list[index] = certificate:facts()
	end
	return list
end

---- Certificates --------------------------------------------------------------

-- The server may have failed to make a context for one host alone.
local function note_known(self, of_host, role, record)
	of_host[role] = record
	if record.source and record.inspected then
		self._known[record.source] = record
	end
	return record.inspected
end

-- The certificate that the configuration gives a new context of a host: as context:inspect()
-- returns it, or nil. A new context is made only if the file or the configuration may have changed,
-- and once for hosts that share a certificate.
-- The server itself logs a certificate that is missing or cannot be loaded.
local function configured(self, host, role)
	local source = self._server.certificate_source(host, role)
	local known = self._configured[host] or {}
	self._configured[host] = known
	for _, other in ipairs(ROLES) do
		if source and known[other] and known[other].source == source then
			return note_known(self, known, role, known[other])
		end
	end
	if source and self._known[source] then
		return note_known(self, known, role, self._known[source])
	end
	local luasec = self._server.own_context(host, role)
	local context = luasec and core.context.adopt(self._server.luasec_context(luasec))
	local inspected = context and context:inspect()
	if context then
		context:close()
	end
	return note_known(self, known, role, { source = source, inspected = inspected })
end

--- Whether nobody but this machine itself connects to a host: no authority issues certificates for it.
function own_certificate_check.is_local(host)
	return host == "localhost" or host:find "%.localhost$" ~= nil
end

local function roles_of(self, host)
	local server = self._server
	return {
		c2s = host == NO_HOST or server.serves_clients(host) ~= false,
		s2sin = host == NO_HOST or server.serves_servers(host) ~= false,
	}
end

-- The services of direct TLS that show a host's certificate: entry (see adopted_contexts.lua) -> name
-- and port.
local function direct_tls_services(self, host)
	local server, services = self._server, {}
	for _, found in ipairs(server.direct_tls_contexts()) do
		local context = host == NO_HOST and found.context or rawget(found.names, host)
		local entry = context and self._adopted:get(server.luasec_context(context))
		if entry then
			services[entry] = ("%s%s"):format(found.service, found.port and " port " .. found.port or "")
		end
	end
	return services
end

-- A list of certificates, to which each is added once: { inspected, sha256, roles = { [role] = true },
-- services = list of names }.
local function add_shown(list, inspected, role, service)
	if not inspected or not inspected.certificate then
		return
	end
	local sha256, shown = inspected.certificate:facts().sha256, nil
	for _, known in ipairs(list) do
		shown = known.sha256 == sha256 and known or shown
	end
	if not shown then
		shown = { inspected = inspected, sha256 = sha256, roles = {}, services = {} }
		list[#list + 1] = shown
	end
	shown.roles[role] = true
	if not shown.services[service] then
		shown.services[service] = true
		table.insert(shown.services, service)
		table.sort(shown.services)
	end
end

-- The certificates that a host shows (NO_HOST: services without a server name), by STARTTLS and each
-- service of direct TLS. A renewed file has no effect before the server has loaded it.
local function shown_by(self, host)
	local list, services, serves = {}, direct_tls_services(self, host), roles_of(self, host)
	for _, role in ipairs(ROLES) do
		local has_starttls = host == NO_HOST
		self._adopted:each_of(host, serves[role] and role or "none", function (entry, context)
			local is_starttls = host ~= NO_HOST and not entry.given.option
			-- The server may have replaced contexts of direct TLS, which live on with their streams.
			if context and entry.number > self._replaced and (is_starttls or services[entry]) then
				add_shown(list, context:inspect(), role, services[entry] or starttls_names[role])
				has_starttls = has_starttls or is_starttls and not entry.policy.exception
			end
		end)
		if serves[role] and not has_starttls then
			add_shown(list, configured(self, host, role), role, starttls_names[role])
		end
	end
	return list
end

local function covers_any_host(self, certificate, roles)
	for _, host in ipairs(self._server.hosts()) do
		for role in pairs(roles) do
			if certificate:matches(host, xmpp_services[role]) then
				return true
			end
		end
	end
	return false
end

-- `services`: those that show the certificate, if others show another one.
local function problems_of(self, host, inspected, roles, services)
	local certificate, chain = inspected.certificate, facts_of(inspected.chain)
	local options = { now = self._now(), chain = chain, roots = facts_of { inspected.issuer }, services = services }
	if host == NO_HOST then
		options.matches_any = covers_any_host(self, certificate, roles)
	else
		options.domain = core.domain_name(host) or host
		if roles.c2s then
			options.matches_c2s = certificate:matches(host, xmpp_services.c2s)
		end
		if roles.s2sin then
			options.matches_s2s = certificate:matches(host, xmpp_services.s2sin)
		end
	end
	local facts, policy = certificate:facts(), self._policies:policy_for(host ~= NO_HOST and host or nil)
	options.breaches = policy and policy:judge_own_certificate(facts, chain)
	return own_certificate.check(facts, options), chain
end

--- The faults of a host's certificate, `inspected` as context:inspect() returns it: a list as of
-- own_certificate.check; and the facts of the certificates that are sent after it.
function methods:problems(host, inspected)
	return problems_of(self, host, inspected, roles_of(self, host))
end

---- Logging -------------------------------------------------------------------

-- Hosts that a line names beside the first one.
local MOST_HOSTS = 5

-- Notes a problem for the log. A problem of a certificate that many hosts share is one line.
local function note(self, host, sha256, problem)
	local key = table.concat({ problem.kind, problem.severity, sha256 }, " ")
	local found = self._found[key]
	if not found then
		found = { kind = problem.kind, severity = problem.severity, message = problem.message, host = host, others = {} }
		self._found[key] = found
		self._found[#self._found + 1] = found
	elseif host ~= NO_HOST then
		found.others[#found.others + 1] = host
	end
end

local function log_found(self)
	for _, found in ipairs(self._found) do
		local others, more = found.others, #found.others - MOST_HOSTS
		local named = table.concat(others, ", ", 1, math.min(#others, MOST_HOSTS))
		self._server.log("*", found.severity, "%s%s%s", found.message,
			others[1] and "; the same certificate is shown for " .. named or "",
			more > 0 and (" and %d more hosts"):format(more) or "")
	end
	self._found = {}
end

local function note_problems(self, host, again)
	local list = own_certificate_check.is_local(host) and {} or shown_by(self, host)
	for _, shown in ipairs(list) do
		local is_known = host == NO_HOST and self._seen[shown.sha256]
		local services = (list[2] or host == NO_HOST) and shown.services or nil
		for _, problem in ipairs(is_known and {} or problems_of(self, host, shown.inspected, shown.roles, services)) do
			local key = table.concat({ host, problem.kind, problem.severity, shown.sha256 }, " ")
			if again or not self._logged[key] then
				self._logged[key] = true
				note(self, host, shown.sha256, problem)
			end
		end
		self._seen[shown.sha256] = true
	end
end

-- One host at a time, and after all of them what those get who ask for none.
local function check_next(self)
	local host = table.remove(self._hosts, 1)
	if not host then
		log_found(self)
		return false
	elseif host == NO_HOST and self._hosts[1] then
		self._hosts[#self._hosts + 1] = host
		return true
	end
	local which = self._waiting[host]
	self._waiting[host] = nil
	note_problems(self, host, which == "all")
	return true
end

local function wait(self, host, which)
	if not self._waiting[host] then
		self._hosts[#self._hosts + 1] = host
	end
	self._waiting[host] = self._waiting[host] == "all" and "all" or which
end

local function check_later(self, hosts, which)
	for _, host in ipairs(hosts) do
		wait(self, host, which)
	end
	if self._hosts[1] then
		wait(self, NO_HOST, which)
		self._queue:add("looking at the hosts' certificates", function ()
			return check_next(self)
		end)
	end
end

--- The faults of the certificates that hosts show, at once: a list of { kind, severity, message (see
-- own_certificate.lua), host ("*": shown to those who ask for no host), others = hosts that show the same
-- certificate }.
function methods:faults(hosts)
	for _, host in ipairs(hosts) do
		note_problems(self, host, true)
	end
	note_problems(self, NO_HOST, true)
	local found = self._found
	self._found = {}
	return found
end

--- The certificates that a host shows: a list of { services = list of names, not_after (UTC seconds) }; none of a
-- host to which nobody but this machine connects.
function methods:ends(host)
	local list = {}
	for _, shown in ipairs(own_certificate_check.is_local(host) and {} or shown_by(self, host)) do
		local not_after = shown.inspected.certificate:facts().not_after
		list[#list + 1] = not_after and { services = { unpack(shown.services) }, not_after = not_after } or nil
	end
	return list
end

--- Logs the faults of a host's certificate, in a later turn.
function methods:check(host)
	check_later(self, { host }, "all")
end

--- The same for a list of hosts, to be called when the server has loaded its configuration: it has
-- made new contexts, or will, and none of those is adopted yet.
function methods:check_all(hosts)
	self._logged, self._seen, self._known, self._replaced = {}, {}, {}, self._adopted:newest()
	check_later(self, hosts, "all")
end

--- The same for the problems that were not logged since the last load. To be called now and then;
-- it does something once a day.
function methods:check_daily(hosts)
	local today = date.of(self._now())
	if today ~= self._checked_on then
		self._checked_on = today
		check_later(self, hosts, "new")
	end
end

return own_certificate_check
