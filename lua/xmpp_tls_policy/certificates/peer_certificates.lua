--- The certificates of other servers, as each of our hosts remembers them, and the warnings when one
-- changes (clause admin.change).
local certificate_memory = require "xmpp_tls_policy.certificates.memory"
local date = require "xmpp_tls_policy.date"
local domain_store = require "xmpp_tls_policy.certificates.domain_store"
local log_limit = require "xmpp_tls_policy.log_limit"
local network = require "xmpp_tls_policy.network"
local newcomers = require "xmpp_tls_policy.certificates.newcomers"
local text = require "xmpp_tls_policy.text"
local work_queue = require "xmpp_tls_policy.work_queue"

local peer_certificates = {}

local methods = {}
local metatable = { __index = methods }

local function clock()
	return os.time()
end

local STORE = "tls_policy_certificates"

-- A domain is forgotten if it was not seen for this long: its certificates are dropped by then
-- (record.lua).
local UNSEEN_LONGEST = 92 * date.DAY

-- Seconds between two turns of a sweep, each of which takes 10 ms: a tenth of the server's time, and
-- some minutes for a large storage.
local PAUSE = 0.09

-- Messages to each administrator, for changes of certificates that were verified before, and for
-- all others, which any peer can cause.
local MESSAGES_AN_HOUR = 20

-- Certificates whose facts are kept, some 2 KB each.
local MOST_FACTS = 100

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
		_facts = setmetatable({}, { __mode = "k" }), -- certificate -> its facts, see facts_of
		_latest = {}, -- text of a certificate -> its facts
		_latest_count = 0,
		_newcomers = kept and kept._newcomers or newcomers.new { now = now },
		_queue = work_queue.new { server = options.server, pause = PAUSE },
		_swept = kept and kept._swept or {}, -- host -> the day on which the last sweep ended
		_lines = kept and kept._lines or log_limit.new { now = now, lines_per_key = LINES_PER_DOMAIN },
		_damaged = kept and kept._damaged or {}, -- day, and host .. " " .. domain -> true: it was said that day
		-- Of this hour; by whether the certificate was verified before.
		_messages = kept and kept._messages or { began = 0, [true] = 0, [false] = 0 },
	}, metatable)
end

---- Memories ------------------------------------------------------------------

--- Prepares the memory of a host.
function methods:open(host)
	local store = domain_store.new {
		store = self._server.open_store(host, STORE, "The certificates of other servers"),
		unicode_form = self._server.unicode_form,
	}
	self._memories[host] = certificate_memory.new { store = store, now = self._now }
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

-- The command of the shell that accepts the changed certificate of a domain, if it is refused for
-- that. A certificate that could not be looked up has another remedy.
local function accept_command(result, domain)
	local is_changed = result.refuse and result.kind ~= "unknown"
	return is_changed and ("tlspolicy:accept(%s)"):format(text.quote(domain)) or nil
end

-- Whether it is the first time today that a host's record of a domain was found to be damaged.
local function is_new_damage(self, host, domain)
	local today, key = date.of(self._now()), host .. " " .. domain
	if self._damaged.day ~= today then
		self._damaged = { day = today }
	end
	local is_new = not self._damaged[key]
	self._damaged[key] = true
	return is_new
end

local function tell(self, policy, stream, host, domain, result)
	local server, session = self._server, stream.session
	local both, command = side_by_side(result), accept_command(result, domain)
	if result.damaged and result.refuse and not is_new_damage(self, host, domain) then
		return
	elseif self._lines:allows(domain) then
		local remedy = result.damaged and result.refuse and (": tlspolicy:forget(%s)"):format(text.quote(domain)) or ""
		server.log_session(session, result.severity, "The certificate of %s: %s%s", domain, result.message, remedy)
		for _, line in ipairs(result.severity == "warn" and both or {}) do
			server.log_session(session, "warn", "%s", line)
		end
		if command then
			server.log_session(session, "warn", "To accept it: %s", command)
		end
	end
	if result.severity ~= "warn" then
		return
	end
	server.fire(host, "tls-policy/certificate-changed", { domain = domain, session = session, result = result })
	local was_verified = result.old ~= nil and result.old.verified
	if policy.notify_admins and not result.failure and may_send(self, was_verified) then
		local body = result.message .. "\n" .. table.concat(both, "\n")
		if command then
			body = body .. "\nTo accept it: " .. command
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

-- The facts of a certificate as the core makes them, which is dear; those of the latest are kept for
-- the next connection that shows the same. They are not to be changed.
local function facts_by_text(self, certificate)
	-- Its digest, if it has one.
	local name = tostring(certificate)
	local facts = self._latest[name]
	if facts then
		return facts
	end
	facts = certificate:facts()
	if facts and facts.sha256 and name:find(facts.sha256, 1, true) then
		if self._latest_count >= MOST_FACTS then
			self._latest, self._latest_count = {}, 0
		end
		self._latest[name], self._latest_count = facts, self._latest_count + 1
	end
	return facts
end

local function facts_of(self, certificate)
	local facts = self._facts[certificate]
	if not facts then
		facts = facts_by_text(self, certificate)
		self._facts[certificate] = facts
	end
	return facts
end

--- The facts of a certificate as certificate:facts() returns them, made once for all connections that show it; they
-- are not to be changed.
function methods:facts_of(certificate)
	return facts_of(self, certificate)
end

local function sight_of(policy, stream, verified)
	return {
		direction = stream.role == "s2sout" and "out" or "in",
		verified = verified,
		certificate_change = policy.mode ~= "report" and policy.certificate_change or "warn",
	}
end

-- Whether a domain may be remembered that is new to a host.
local function may_be_new(self, stream, host, verified)
	local address = self._server.address(stream.session)
	local admitted, message = self._newcomers:admit {
		host = host, certificate = facts_of(self, certificate_of(stream)).sha256, network = address and network.of(address),
		unverified = not verified,
	}
	if message then
		self._server.log(host, "warn", "Memory of certificates: %s", message)
	end
	return admitted
end

-- The memory of a host and the name of a domain in it, if a certificate is remembered that the domain shows
-- now; nil: it may not be new.
local function place_of(self, stream, host, domain, verified)
	local memory, name = self._memories[host] or self:open(host), domain_store.name_of(domain)
	if memory:knows(name) or may_be_new(self, stream, host, verified) then
		return memory, name
	end
end

--- Remembers the certificate of a stream for a host of ours and a domain that the stream has been
-- authenticated for, by whatever means. Returns the message with which the policy wants the stream
-- closed, because the certificate has changed; else nil. Then the command that accepts it, or nil.
function methods:see(policy, stream, host, domain)
	local certificate, verified = certificate_of(stream), stream:vouched(domain) and true or false
	if not certificate then
		return nil
	end
	local memory, name = place_of(self, stream, host, domain, verified)
	if not memory then
		return nil
	end
	local result = memory:see(name, facts_of(self, certificate), sight_of(policy, stream, verified))
	if result.kind ~= "known" then
		self._metrics:certificate_change(result.kind)
	end
	-- The store has logged itself that it fails.
	if result.severity and not (result.failure and (result.kind == "unknown" or result.kind == "first")) then
		tell(self, policy, stream, host, name, result)
	end
	return result.refuse and result.message or nil, accept_command(result, domain)
end

--- The message that `see` would return if a policy in report mode were enforced. Where it would refuse changes, the
-- memory learns what it would learn then, so that the same certificate is refused, or not, when the policy is enforced.
-- Nobody is told, and nothing is counted.
function methods:foresee(policy, stream, host, domain)
	local certificate, verified = certificate_of(stream), stream:vouched(domain) and true or false
	if not certificate or policy.certificate_change ~= "refuse" then
		return nil
	end
	local memory, name = place_of(self, stream, host, domain, verified)
	if not memory then
		return nil
	end
	local sight = sight_of(policy, stream, verified)
	sight.certificate_change = "refuse"
	local result = memory:see(name, facts_of(self, certificate), sight)
	return result.refuse and result.message or nil
end

--- The message that `see` would return for a stream that may not be authenticated for the domain.
-- Nothing is remembered, told or counted. nil for a domain of which nothing is remembered.
function methods:would_refuse(policy, stream, host, domain)
	local certificate = certificate_of(stream)
	if not certificate or policy.mode == "report" or policy.certificate_change ~= "refuse" then
		return nil
	end
	local memory, name = self._memories[host] or self:open(host), domain_store.name_of(domain)
	if not memory:knows(name) then
		return nil
	end
	local verified = stream:vouched(domain) and true or false
	local result = memory:would_see(name, facts_of(self, certificate), sight_of(policy, stream, verified))
	return result.refuse and result.message or nil, accept_command(result, domain)
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

-- A step of a sweep, for the queue: looks at one domain.
local function new_sweep(self, host)
	local memory, iterate = self._memories[host], nil
	return function ()
		-- Not before its turn, because it may hold a directory open.
		iterate = iterate or memory:domains()
		local domain = self._memories[host] == memory and iterate and iterate()
		if not domain then
			self._swept[host] = date.of(self._now())
			self._server.log(host, "debug", "The memory of certificates was swept")
			return false
		end
		local record = memory:get(domain)
		if record and self._now() - last_seen(record) > UNSEEN_LONGEST then
			memory:forget(domain)
		end
		return true
	end
end

--- Begins to forget the domains that were not seen for long, once a day, in short turns. To be called
-- each minute.
function methods:sweep()
	local today = date.of(self._now())
	for _, host in ipairs(self._queue:is_empty() and self:hosts() or {}) do
		if self._swept[host] ~= today then
			self._queue:add("sweeping the certificate memory of " .. host, new_sweep(self, host))
		end
	end
end

return peer_certificates
