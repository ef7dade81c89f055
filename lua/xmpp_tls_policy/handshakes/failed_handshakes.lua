--- Who was refused: the latest handshakes and streams, in memory and in the log.
local array = require "util.array"
local contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local core = require "xmpp_tls_policy.core"
local explain_failure = require "xmpp_tls_policy.handshakes.explain_failure"
local escaped = require "xmpp_tls_policy.text".escaped
local latest_entries = require "xmpp_tls_policy.latest_entries"
local log_limit = require "xmpp_tls_policy.log_limit"
local metrics = require "xmpp_tls_policy.metrics"
local offers = require "xmpp_tls_policy.policy.client_hello"
local network = require "xmpp_tls_policy.network"
local server = require "xmpp_tls_policy.servers.prosody.server"
local time = require "util.time"

local refused = {}

local function now()
	return os.time()
end

-- They outlive a reload of the plugin. Who opens a stream is logged by the server
-- anyway: of one address there may be more lines.
local handshakes, handshake_lines = latest_entries.new(), log_limit.new { now = now }
local of_streams, stream_lines = latest_entries.new(), log_limit.new { now = now, lines_per_key = 60 }

-- A record of the core as an entry, as far as that costs nothing: strangers can have
-- many made.
local function entry_of(record)
	local made = {
		time = record.time, what = "handshake", address = record.address, port = record.port, alert = record.alert,
		alert_sent = record.alert_sent, reason = record.reason,
		_record = record, _context = record.label and contexts.by_label(record.label),
	}
	if record.role == "client" then
		made.domain = record.server_name and escaped(record.server_name)
	end
	return made
end

-- An empty list is one in JSON, too.
local function with_arrays(offer)
	for _, value in pairs(offer) do
		if type(value) == "table" then
			array(value)
		end
	end
	return offer
end

-- The rest of it: why, and by which clauses. Returns the entry.
local function explained(made)
	local record, context = made._record, made._context
	made._record, made._context = nil, nil
	if not record then
		return made
	end
	made.offer = record.offer and with_arrays(offers.named(record.offer))
	made.text, made.clauses = "failed in the handshake", array {}
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
		local clauses
		made.text, clauses = explain_failure(record, {
			policy = context.policy, role = made.role, settings = context.settings,
			key_type = context.certificate and context.certificate:facts().key_type,
			direct_tls = context.given.option ~= nil,
		})
		made.clauses = array(clauses)
	end
	return made
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

-- To a peer that is gone OpenSSL sends an alert, too.
local function is_by_us(record)
	return record.alert_sent and record.reason ~= "unexpected eof while reading"
end

--- Takes in the handshakes that failed since the last call. `tell`: function(entry),
-- called for those that are worth a line in the log; `log`: function(level, format, ...).
function refused.collect(log, tell)
	local records, lost = core.observer.refusals()
	for _, record in ipairs(records) do
		local entry = entry_of(record)
		metrics.failed_handshake(entry._context and entry._context.given.role, is_by_us(record))
		handshakes:add(entry)
		if handshake_lines:allows(network.of(entry.address)) then
			log("info", "TLS handshake failed: %s", refused.line(explained(entry)))
			metrics.refusal(entry.role, "handshake", entry.clauses)
			tell(entry)
		end
	end
	metrics.lost_handshakes(lost)
	handshakes:count_lost(lost)
	handshake_lines:suppress(lost)
	for what, lines in pairs { ["TLS handshakes failed"] = handshake_lines, ["streams were refused"] = stream_lines } do
		local silent = lines:turn()
		if silent then
			log("info", "%d more %s that are not logged one by one", silent, what)
		end
	end
end

--- Takes in a stream that is refused; see streams.lua.
function refused.stream(session, host, role, domain, text, clauses)
	metrics.refusal(role, "stream", clauses or {})
	of_streams:add {
		time = time.now(), what = "stream", address = session.ip, host = host, role = role, domain = domain,
		text = escaped(text), clauses = array(clauses or {}),
	}
	if stream_lines:allows(network.of(session.ip)) then
		session.log("info", "Stream refused by the TLS policy: %s", text)
	end
end

--- The entries, the latest first: { time (UTC seconds), what = "handshake" or "stream",
-- host (nil: any), role, domain (of a server), address, text, clauses = list of ids } and
-- of handshakes port, policy, alert, alert_sent, reason, offer (see offer.named).
function refused.list()
	local list = handshakes:list()
	for _, entry in ipairs(list) do
		explained(entry)
	end
	for _, entry in ipairs(of_streams:list()) do
		list[#list + 1] = entry
	end
	table.sort(list, function (a, b)
		return a.time > b.time
	end)
	return list
end

--- How many there ever were in this process.
function refused.total()
	return handshakes:total() + of_streams:total()
end

return refused
