--- The certificates of other servers: what is remembered of them, and who is told when
-- one changes (clause admin.change).
local certificate_memory = require "xmpp_tls_policy.certificates.memory"
local date = require "xmpp_tls_policy.date"
local events = require "xmpp_tls_policy.servers.prosody.events"
local hashes = require "util.hashes"
local log_limit = require "xmpp_tls_policy.log_limit"
local metrics = require "xmpp_tls_policy.metrics"
local server = require "xmpp_tls_policy.servers.prosody.server"
local storage = require "xmpp_tls_policy.servers.prosody.storage"
local streams = require "xmpp_tls_policy.stream.admission"
local text = require "xmpp_tls_policy.text"

local certificates = {}

-- Host -> memory.
local memories = {}

-- Somebody may own any number of domains. Those that no certificate vouches for are
-- remembered up to so many new ones a day on each host, and none for longer than this
-- after they were seen last (certificate_record.lua drops their certificates then).
local NEWCOMERS_A_DAY = 250
local UNSEEN_LONGEST = 92 * 86400 -- seconds

-- Domains that are looked at each minute, to be forgotten.
local SWEPT_A_MINUTE = 100

-- Lines a minute in the log, and messages an hour to each administrator: for changes of
-- what a certificate vouched for, and for all others, which strangers can make.
local MESSAGES_AN_HOUR = 20

local function now()
	return os.time()
end

local lines = log_limit.new { now = now, lines_per_key = 5 }
local messages = { began = 0, [true] = 0, [false] = 0 }

-- Prosody's storage names files by the key, with three bytes for each that is no letter
-- or digit, and 255 are the most that a file's name has.
local function key_of(domain)
	return #domain:gsub("%W", "%%00") <= 200 and domain or "sha256-" .. hashes.sha256(domain, true)
end

-- A store of Prosody's as the memory wants one: a domain is a user of it.
local function domains_of(module)
	local store = storage.open(module, "tls_policy_certificates", "The certificates of other servers")
	return {
		store = store,
		get = function (_, domain)
			return store:get(key_of(domain))
		end,
		set = function (_, domain, record)
			if record then
				record.domain = domain
			end
			return store:set(key_of(domain), record)
		end,
		domains = function ()
			local iterate, state, control = store:keys()
			if not iterate then
				return nil, state
			end
			return function ()
				control = iterate(state, control)
				local record = control and control:match "^sha256%-%x+$" and store:get(control)
				return record and record.domain or control
			end
		end,
	}
end

local function memory_of(module)
	local memory = memories[module.host]
	if not memory then
		memory = certificate_memory.new { store = domains_of(module), now = now }
		memories[module.host] = memory
	end
	memory.store.store.module = module
	return memory
end

local function day(seconds)
	return seconds and date.of(seconds) or "unknown"
end

-- What tells two certificates apart, as { label, value } pairs.
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

-- Who is an administrator, by configuration and by role.
local function administrators(module)
	local found = {}
	for jid in module:get_option_set("admins", {}) do
		found[jid] = true
	end
	for _, role in ipairs { "prosody:admin", "prosody:operator" } do
		for _, jid in ipairs(server.with_role(role, module.host)) do
			found[jid] = true
		end
	end
	return found
end

-- Whether there is room for a message of a kind.
local function has_room(verified)
	if math.abs(now() - messages.began) >= 3600 then
		messages = { began = now(), [true] = 0, [false] = 0 }
	end
	messages[verified] = messages[verified] + 1
	return messages[verified] <= MESSAGES_AN_HOUR
end

local function notify(module, subject, body)
	for jid in pairs(administrators(module)) do
		server.send_message(module.host, jid, subject, table.concat(body, "\n"))
	end
end

local function tell(module, policy, session, domain, result)
	local both = side_by_side(result)
	if lines:allows(domain) then
		session.log(result.severity, "The certificate of %s: %s", domain, result.message)
		for _, line in ipairs(result.severity == "warn" and both or {}) do
			session.log("warn", "%s", line)
		end
	end
	if result.severity ~= "warn" then
		return
	end
	events.fire(module.host, "tls-policy/certificate-changed", { domain = domain, session = session, result = result })
	if policy.notify_admins and not result.failure and has_room(result.old ~= nil and result.old.verified) then
		table.insert(both, 1, result.message)
		notify(module, "The certificate of " .. domain, both)
	end
end

-- Host -> { day, count } of domains that were new today, and that no certificate vouches for.
local newcomers = {}

local function is_one_too_many(module, domain)
	local _, _, code = memories[module.host]:get(domain)
	if code ~= "missing" then
		return false
	end
	local today = date.of(now())
	if not newcomers[module.host] or newcomers[module.host].day ~= today then
		newcomers[module.host] = { day = today, count = 0 }
	end
	newcomers[module.host].count = newcomers[module.host].count + 1
	return newcomers[module.host].count > NEWCOMERS_A_DAY
end

--- Remembers the certificate of a session that has been authenticated for a domain,
-- by whatever means. True if the stream was closed, because the certificate has changed
-- and the policy wants that.
function certificates.see(module, policy, session, domain)
	local facts = session.secure and session.tls_policy and session.tls_policy.facts
	if not facts or not facts.certificate then
		return
	end
	local memory, verified = memory_of(module), streams.is_authenticated(session, domain)
	if not verified and is_one_too_many(module, domain) then
		return
	end
	local result = memory:see(domain, facts.certificate:facts(), {
		direction = session.direction == "outgoing" and "out" or "in",
		verified = verified,
		certificate_change = policy.mode ~= "report" and policy.certificate_change or "warn",
	})
	if result.kind ~= "known" then
		metrics.certificate_change(result.kind)
	end
	-- That the storage fails, it has said itself.
	if result.severity and not (result.failure and (result.kind == "unknown" or result.kind == "first")) then
		tell(module, policy, session, domain, result)
	end
	if result.refuse then
		return streams.refuse(session, "policy-violation", result.message,
			{ clauses = { "admin.change" }, facts = facts, policy = policy:name() })
	end
end

--- The same, once for each stream, for a host that a stanza reaches: each has a memory
-- of its own.
function certificates.see_once(policy, session, host, domain)
	local known, memory, key = session.secure and session.tls_policy, memories[host], ("%s %s"):format(host, domain)
	if not known or not memory or known.seen and known.seen[key] then
		return
	end
	local closed = certificates.see(memory.store.store.module, policy, session, domain)
	known.seen = known.seen or {}
	known.seen[key] = true
	return closed
end

--- The same for a stream that asks a server that is known whether a dialback key is its
-- own: that decides on others' streams, and is not authenticated itself.
function certificates.see_known(policy, session, host, domain)
	local memory = memories[host]
	if not memory or not domain or policy.mode == "report" or policy.certificate_change ~= "refuse" then
		return
	end
	local _, _, code = memory:get(domain)
	if code ~= "missing" then
		return certificates.see(memory.store.store.module, policy, session, domain)
	end
end

-- Host -> { day, iterate }: who is being swept.
local sweeps = {}

local function newest(record)
	local last = 0
	for _, list in ipairs { record.certificates, record.pending } do
		for _, entry in ipairs(list) do
			last = math.max(last, entry.last_seen)
		end
	end
	return last
end

local function sweep_some(host, memory)
	local sweep = sweeps[host]
	for _ = 1, SWEPT_A_MINUTE do
		local domain, record = sweep.iterate()
		if not domain then
			sweep.iterate = nil
			return
		elseif record and now() - newest(record) > UNSEEN_LONGEST then
			memory:forget(domain)
		end
	end
end

--- Forgets, once a day and some each minute, the domains that were not seen for long.
function certificates.sweep()
	local today = date.of(now())
	for host, memory in pairs(memories) do
		if not sweeps[host] or sweeps[host].day ~= today then
			sweeps[host] = { day = today, iterate = memory:list() }
		end
		if sweeps[host].iterate then
			sweep_some(host, memory)
		end
	end
end

--- Prepares the memory of a host.
function certificates.open(module)
	memory_of(module)
end

--- No more is remembered for a host.
function certificates.close(module)
	memories[module.host] = nil
end

--- The memory of a host, or nil.
function certificates.memory(host)
	return memories[host]
end

--- Hosts with a memory, sorted.
function certificates.hosts()
	local hosts = {}
	for host in pairs(memories) do
		hosts[#hosts + 1] = host
	end
	table.sort(hosts)
	return hosts
end

return certificates
