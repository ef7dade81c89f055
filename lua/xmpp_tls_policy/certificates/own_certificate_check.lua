--- Logs the faults of the certificates of our own hosts: at each load, and on the day of a new one.
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local own_certificate = require "xmpp_tls_policy.certificates.own_certificate"

local own_certificate_check = {}

local methods = {}
local metatable = { __index = methods }

local function clock()
	return os.time()
end

-- Roles in which a host shows its certificate. As a client (s2sout) it shows that of s2sin.
local ROLES = { "c2s", "s2sin" }

--- For one load of the module. `server`: the adapter; `adopted`: see adopted_contexts.lua; `queue`:
-- a work_queue, in which the checks are done; `kept`: the object of the load before, or nil; `now`:
-- function() -> UTC seconds, the system's by default.
function own_certificate_check.new(options)
	local kept, now = options.kept, options.now or clock
	return setmetatable({
		_server = options.server,
		_adopted = options.adopted,
		_queue = options.queue,
		_now = now,
		_configured = kept and kept._configured or {}, -- host -> role -> { source, inspected }, see configured
		_known = {}, -- source -> the same of any host, since the last load
		_replaced = kept and kept._replaced or 0, -- contexts up to this number were replaced by a reload
		_logged = {}, -- problems that were logged since the last load
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

-- The certificates of contexts in use, as context:inspect() returns them: a list. Second, whether
-- one of them is for STARTTLS.
local function in_use(self, host, role)
	local list, has_starttls = {}, false
	self._adopted:each_of(host, role, function (entry, context)
		if context and entry.number > self._replaced then
			list[#list + 1] = context:inspect()
			has_starttls = has_starttls or not entry.given.option and not entry.policy.exception
		end
	end)
	return list, has_starttls
end

-- The certificate that a host shows in a role. Of several, the one that expires first counts: a
-- renewed file has no effect before the server has loaded it.
local function shown(self, host, role)
	local list, has_starttls = in_use(self, host, role)
	if not has_starttls then
		list[#list + 1] = configured(self, host, role)
	end
	local first, first_end
	for _, inspected in ipairs(list) do
		local ends = inspected.certificate and inspected.certificate:facts().not_after or math.huge
		if inspected.certificate and (not first or ends < first_end) then
			first, first_end = inspected, ends
		end
	end
	return first
end

--- The faults of a host's certificate, `inspected` as context:inspect() returns it: a list as of
-- own_certificate.check; and the facts of the certificates that are sent after it.
function methods:problems(host, inspected)
	local certificate, chain = inspected.certificate, facts_of(inspected.chain)
	local covers_for_clients
	if self._server.serves_clients(host) ~= false then
		covers_for_clients = certificate:matches(host, "xmpp-client")
	end
	return own_certificate.check(certificate:facts(), {
		domain = host, now = self._now(), chain = chain, roots = facts_of { inspected.issuer },
		matches_c2s = covers_for_clients,
		matches_s2s = certificate:matches(host, "xmpp-server"),
	}), chain
end

---- Logging -------------------------------------------------------------------

local function log_problems(self, host, again)
	local seen = {} -- the two roles show the same certificate, as a rule
	for _, role in ipairs(ROLES) do
		local inspected = shown(self, host, role)
		local sha256 = inspected and inspected.certificate:facts().sha256
		for _, problem in ipairs(inspected and not seen[sha256] and self:problems(host, inspected) or {}) do
			local key = table.concat({ host, problem.kind, problem.severity, sha256 }, " ")
			if again or not self._logged[key] then
				self._logged[key] = true
				self._server.log("*", problem.severity, "%s", problem.message)
			end
		end
		seen[sha256 or "none"] = true
	end
end

-- One host at a time.
local function check_next(self)
	local host = table.remove(self._hosts, 1)
	if not host then
		return false
	end
	local which = self._waiting[host]
	self._waiting[host] = nil
	log_problems(self, host, which == "all")
	return self._hosts[1] ~= nil
end

local function check_later(self, hosts, which)
	for _, host in ipairs(hosts) do
		if not self._waiting[host] then
			self._hosts[#self._hosts + 1] = host
		end
		self._waiting[host] = self._waiting[host] == "all" and "all" or which
	end
	if self._hosts[1] then
		self._queue:add("looking at the hosts' certificates", function ()
			return check_next(self)
		end)
	end
end

--- Logs the faults of a host's certificate, in a later turn.
function methods:check(host)
	check_later(self, { host }, "all")
end

--- The same for a list of hosts, to be called when the server has loaded its configuration: it has
-- made new contexts, or will, and none of those is adopted yet.
function methods:check_all(hosts)
	self._logged, self._known, self._replaced = {}, {}, self._adopted:newest()
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
