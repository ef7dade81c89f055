--- The certificates of other servers: what is remembered of them, and who is told when
-- one changes (clause admin.change).
local certificate_memory = require "xmpp_tls_policy.certificate_memory"
local date = require "xmpp_tls_policy.date"
local events = require "xmpp_tls_policy.prosody.events"
local metrics = require "xmpp_tls_policy.prosody.metrics"
local server = require "xmpp_tls_policy.prosody.server"
local storage = require "xmpp_tls_policy.prosody.storage"
local streams = require "xmpp_tls_policy.prosody.streams"

local certificates = {}

-- Host -> memory.
local memories = {}

local function now()
	return os.time()
end

-- A store of Prosody's as the memory wants one: a domain is a user of it.
local function domains_of(module)
	local store = storage.open(module, "tls_policy_certificates", "The certificates of other servers")
	return {
		store = store,
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
	local lines = {}
	local old, new = result.old and fields_of(result.old), result.new and fields_of(result.new)
	for index, field in ipairs(new or {}) do
		lines[index] = ("%s: %s (before: %s)"):format(field[1], field[2], old and old[index][2] or "none")
	end
	return lines
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

local function notify(module, subject, lines)
	for jid in pairs(administrators(module)) do
		server.send_message(module.host, jid, subject, table.concat(lines, "\n"))
	end
end

local function tell(module, policy, session, domain, result)
	session.log(result.severity, "The certificate of %s: %s", domain, result.message)
	if result.severity ~= "warn" then
		return
	end
	local lines = side_by_side(result)
	for _, line in ipairs(lines) do
		session.log("warn", "%s", line)
	end
	events.fire(module.host, "tls-policy/certificate-changed", { domain = domain, session = session, result = result })
	if policy.notify_admins then
		table.insert(lines, 1, result.message)
		notify(module, "The certificate of " .. domain, lines)
	end
end

--- Remembers the certificate of a session that has been authenticated for a domain,
-- by whatever means. True if the stream was closed, because the certificate has changed
-- and the policy wants that.
function certificates.see(module, policy, session, domain)
	local facts = session.secure and session.tls_policy and session.tls_policy.facts
	if not facts or not facts.certificate then
		return
	end
	local result = memory_of(module):see(domain, facts.certificate:facts(), {
		direction = session.direction == "outgoing" and "out" or "in",
		verified = streams.is_authenticated(session, domain),
		certificate_change = policy.mode ~= "report" and policy.certificate_change or "warn",
	})
	if result.kind ~= "known" then
		metrics.certificate_change(result.kind)
	end
	if result.severity then
		tell(module, policy, session, domain, result)
	end
	if result.refuse then
		return streams.refuse(session, "policy-violation", result.message,
			{ clauses = { "admin.change" }, facts = facts, policy = policy:name() })
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
