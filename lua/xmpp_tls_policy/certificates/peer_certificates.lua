--- The certificates of other servers, as each of our hosts remembers them, and the warnings when one
-- changes (clause admin.change).
local certificate_memory = require "xmpp_tls_policy.certificates.memory"
local date = require "xmpp_tls_policy.date"
local log_limit = require "xmpp_tls_policy.log_limit"
local text = require "xmpp_tls_policy.text"

local peer_certificates = {}

local methods = {}
local metatable = { __index = methods }

local function clock()
	return os.time()
end

local STORE = "tls_policy_certificates"

-- Anyone can own any number of domains. Domains that no certificate vouches for are remembered up
-- to this number of new ones a day for each host, and for this long after they were seen last
-- (certificates/record.lua drops their certificates then).
local NEWCOMERS_A_DAY = 250
local UNSEEN_LONGEST = 92 * date.DAY

-- Domains that are looked at each minute, to be forgotten.
local SWEPT_A_MINUTE = 100

-- Messages to each administrator, for changes of certificates that were verified before, and for
-- all others, which any peer can cause.
local MESSAGES_AN_HOUR = 20

local LINES_PER_DOMAIN = 5 -- in the log, a minute

--- For one load of the module. `server`: the adapter; `metrics`; `kept`: the certificates of the
-- load before, or nil; `now`: function() -> UTC seconds, the system's by default.
function peer_certificates.new(options)
	local kept, now = options.kept, options.now or clock
	return setmetatable({
		_server = options.server,
		_metrics = options.metrics,
		_now = now,
		_memories = {}, -- host -> memory
		_newcomers = kept and kept._newcomers or {}, -- host -> { day, count }, of domains without a valid certificate
		_sweeps = kept and kept._sweeps or {}, -- host -> { day, iterate }
		_lines = kept and kept._lines or log_limit.new { now = now, lines_per_key = LINES_PER_DOMAIN },
		-- Of this hour; by whether the certificate was verified before.
		_messages = kept and kept._messages or { began = 0, [true] = 0, [false] = 0 },
	}, metatable)
end

---- Memories ------------------------------------------------------------------

-- A store of the server as a memory wants one.
local function domains_of(store)
	return {
		get = function (_, domain)
			return store:get(domain)
		end,
		set = function (_, domain, record)
			return store:set(domain, record)
		end,
		domains = function ()
			return store:keys()
		end,
	}
end

--- Prepares the memory of a host.
function methods:open(host)
	local store = self._server.open_store(host, STORE, "The certificates of other servers")
	self._memories[host] = certificate_memory.new { store = domains_of(store), now = self._now }
	return self._memories[host]
end

--- Nothing is remembered for a host any more; its store stays.
function methods:close(host)
	self._memories[host] = nil
end

--- The memory of a host, or nil.
function methods:memory(host)
	return self._memories[host]
end

--- Hosts with a memory, sorted.
function methods:hosts()
	local names = {}
	for host in pairs(self._memories) do
		names[#names + 1] = host
	end
	table.sort(names)
	return names
end

---- Telling people --------------------------------------------------------------

local function day(seconds)
	return seconds and date.of(seconds) or "unknown"
end

-- The fields in which two certificates differ, as { label, value } pairs.
local function fields_of(entry)
	return {
		{ "SHA-256", entry.sha256 },
		{ "public key", entry.spki_sha256 },
		{ "subject", entry.subject or "empty" },
		{ "issuer", entry.issuer or "empty" },
		{ "valid", ("%s to %s"):format(day(entry.not_before), day(entry.not_after)) },
		{ "verified", entry.verified and "yes" or "no" },
		{ "first seen", day(entry.first_seen) },
	}
end

-- Both certificates of a change, side by side, as lines.
local function side_by_side(result)
	local both = {}
	local old, new = result.old and fields_of(result.old), result.new and fields_of(result.new)
	for index, field in ipairs(new or {}) do
		both[index] = text.shown(("%s: %s (before: %s)"):format(field[1], field[2], old and old[index][2] or "none"))
	end
	return both
end

-- Whether one more message may be sent in this hour.
local function may_send(self, verified)
	local now = self._now()
	if math.abs(now - self._messages.began) >= 3600 then
		self._messages = { began = now, [true] = 0, [false] = 0 }
	end
	self._messages[verified] = self._messages[verified] + 1
	return self._messages[verified] <= MESSAGES_AN_HOUR
end

--- The command of the shell that accepts the changed certificate of a domain.
function peer_certificates.accept_command(domain)
	return ("tlspolicy:accept(%s)"):format(text.quote(domain))
end

local function tell(self, policy, stream, host, domain, result)
	local server, session = self._server, stream.session
	local both = side_by_side(result)
	if self._lines:allows(domain) then
		server.log_session(session, result.severity, "The certificate of %s: %s", domain, result.message)
		for _, line in ipairs(result.severity == "warn" and both or {}) do
			server.log_session(session, "warn", "%s", line)
		end
		if result.refuse then
			server.log_session(session, "warn", "To accept it: %s", peer_certificates.accept_command(domain))
		end
	end
	if result.severity ~= "warn" then
		return
	end
	server.fire(host, "tls-policy/certificate-changed", { domain = domain, session = session, result = result })
	local was_verified = result.old ~= nil and result.old.verified
	if policy.notify_admins and not result.failure and may_send(self, was_verified) then
		local body = result.message .. "\n" .. table.concat(both, "\n")
		if result.refuse then
			body = body .. "\nTo accept it: " .. peer_certificates.accept_command(domain)
		end
		for _, jid in ipairs(server.administrators(host)) do
			server.send_message(host, jid, "The certificate of " .. domain, body)
		end
	end
end

---- Seeing --------------------------------------------------------------------

local function certificate_of(stream)
	return stream:is_encrypted() and stream.facts and stream.facts.certificate
end

local function sight_of(policy, stream, verified)
	return {
		direction = stream.role == "s2sout" and "out" or "in",
		verified = verified,
		certificate_change = policy.mode ~= "report" and policy.certificate_change or "warn",
	}
end

local function is_one_too_many(self, host, domain)
	local _, _, code = self._memories[host]:get(domain)
	if code ~= "missing" then
		return false
	end
	local today = date.of(self._now())
	local newcomers = self._newcomers[host]
	if not newcomers or newcomers.day ~= today then
		newcomers = { day = today, count = 0 }
		self._newcomers[host] = newcomers
	end
	newcomers.count = newcomers.count + 1
	return newcomers.count > NEWCOMERS_A_DAY
end

--- Remembers the certificate of a stream for a host of ours and a domain that the stream has been
-- authenticated for, by whatever means. Returns the message with which the policy wants the stream
-- closed, because the certificate has changed; else nil.
function methods:see(policy, stream, host, domain)
	local memory, certificate = self._memories[host] or self:open(host), certificate_of(stream)
	if not certificate then
		return nil
	end
	local verified = stream:vouched(domain) and true or false
	if not verified and is_one_too_many(self, host, domain) then
		return nil
	end
	local result = memory:see(domain, certificate:facts(), sight_of(policy, stream, verified))
	if result.kind ~= "known" then
		self._metrics:certificate_change(result.kind)
	end
	-- The store has logged itself that it fails.
	if result.severity and not (result.failure and (result.kind == "unknown" or result.kind == "first")) then
		tell(self, policy, stream, host, domain, result)
	end
	return result.refuse and result.message or nil
end

-- A memory of the same records that stores nothing.
local function trial_of(memory)
	local store = memory.store
	return certificate_memory.new {
		now = memory.now,
		store = {
			get = function (_, domain)
				return store:get(domain)
			end,
			set = function ()
				return true
			end,
			domains = function ()
				return store:domains()
			end,
		},
	}
end

--- The message that `see` would return for a stream that may not be authenticated for the domain.
-- Nothing is remembered, told or counted. nil for a domain of which nothing is remembered.
function methods:would_refuse(policy, stream, host, domain)
	local certificate = certificate_of(stream)
	if not certificate or policy.mode == "report" or policy.certificate_change ~= "refuse" then
		return nil
	end
	local memory = self._memories[host] or self:open(host)
	local _, _, code = memory:get(domain)
	if code == "missing" then
		return nil
	end
	local verified = stream:vouched(domain) and true or false
	local result = trial_of(memory):see(domain, certificate:facts(), sight_of(policy, stream, verified))
	return result.refuse and result.message or nil
end

---- Forgetting ------------------------------------------------------------------

local function last_seen(record)
	local last = 0
	for _, list in ipairs { record.certificates, record.pending } do
		for _, entry in ipairs(list) do
			last = math.max(last, entry.last_seen)
		end
	end
	return last
end

local function sweep_some(self, sweep, memory)
	for _ = 1, SWEPT_A_MINUTE do
		local domain, record = sweep.iterate()
		if not domain then
			sweep.iterate = nil
			return
		elseif record and self._now() - last_seen(record) > UNSEEN_LONGEST then
			memory:forget(domain)
		end
	end
end

--- Forgets the domains that were not seen for long: all are looked at once a day, some of them at
-- each call. To be called each minute.
function methods:sweep()
	local today = date.of(self._now())
	for host, memory in pairs(self._memories) do
		local sweep = self._sweeps[host]
		if not sweep or sweep.day ~= today then
			sweep = { day = today, iterate = memory:list() }
			self._sweeps[host] = sweep
		end
		if sweep.iterate then
			sweep_some(self, sweep, memory)
		end
	end
end

return peer_certificates
