--- Who was refused: the latest handshakes and streams, in memory and in the log.
local contexts = require "xmpp_tls_policy.contexts"
local core = require "xmpp_tls_policy.core"
local offers = require "xmpp_tls_policy.offer"
local refusal = require "xmpp_tls_policy.refusal"
local refusals = require "xmpp_tls_policy.refusals"
local server = require "xmpp_tls_policy.prosody.server"

local refused = {}

-- It outlives a reload of the plugin.
local latest = refusals.new { now = os.time }

-- Which server a socket leads to; without SNI no handshake says it.
local domain_of_socket = {}

-- A record of the core as an entry, as far as that costs nothing: strangers can have
-- many made.
local function entry_of(record)
	local made = {
		time = record.time, what = "handshake", address = record.address, port = record.port, alert = record.alert,
		alert_sent = record.alert_sent, reason = record.reason,
		_record = record, _context = record.label and contexts.by_label(record.label),
	}
	if record.role == "client" then
		made.domain = record.server_name or domain_of_socket[record.descriptor]
	end
	return made
end

-- The rest of it: why, and by which clauses. Returns the entry.
local function explained(made)
	local record, context = made._record, made._context
	made._record, made._context = nil, nil
	if not record then
		return made
	end
	made.offer = record.offer and offers.named(record.offer)
	made.text, made.clauses = "failed in the handshake", {}
	if not context then
		return made
	end
	made.host, made.role, made.policy = context.given.host, context.given.role, context.policy:name()
	if not made.host and made.offer and server.is_host(made.offer.server_name) then
		-- What is wrong with a hello is found before the name in it is looked up.
		made.host = made.offer.server_name:lower()
	end
	if context.failure then
		made.text = "found no TLS, because the context cannot be brought under the policy: " .. context.failure
	else
		made.text, made.clauses = refusal.explain(record, {
			policy = context.policy, role = made.role, settings = context.settings,
			key_type = context.certificate and context.certificate:facts().key_type,
		})
	end
	return made
end

--- To be called before a handshake with a server that we connected to, on the socket
-- with this descriptor.
function refused.expect_server(descriptor, domain)
	domain_of_socket[descriptor] = domain
end

--- One line about an entry.
function refused.line(entry)
	local words = { entry.role or "TLS", entry.host or "any host", entry.address or "unknown address" }
	if entry.domain then
		words[#words + 1] = entry.domain
	end
	local line = table.concat(words, ", ") .. ": " .. entry.text
	if #entry.clauses > 0 then
		line = ("%s (%s)"):format(line, table.concat(entry.clauses, ", "))
	end
	return line
end

--- Takes in the handshakes that failed since the last call. `tell`: function(entry),
-- called for those that are worth a line in the log; `log`: function(level, format, ...).
function refused.collect(log, tell)
	local records, lost = core.observer.refusals()
	for _, record in ipairs(records) do
		local entry = entry_of(record)
		if latest:add(entry) then
			log("info", "TLS handshake failed: %s", refused.line(explained(entry)))
			tell(entry)
		end
	end
	latest:add_unknown(lost)
	local silent = latest:turn()
	if silent then
		log("info", "%d more TLS handshakes failed that are not logged one by one", silent)
	end
end

--- Takes in a stream that is refused; see streams.lua.
function refused.stream(session, host, role, domain, text, clauses)
	latest:keep {
		time = os.time(), what = "stream", address = session.ip, host = host, role = role, domain = domain,
		text = text, clauses = clauses or {},
	}
end

--- The entries, the latest first: { time (UTC seconds), what = "handshake" or "stream",
-- host (nil: any), role, domain (of a server), address, text, clauses = list of ids } and
-- of handshakes port, policy, alert, alert_sent, reason, offer (see offer.named).
function refused.list()
	local list = latest:list()
	for _, entry in ipairs(list) do
		explained(entry)
	end
	return list
end

--- How many there ever were in this process.
function refused.total()
	return latest:total()
end

return refused
