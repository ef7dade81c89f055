--- The TLS handshakes that failed: the latest ones in memory, a line for each in the log, within
-- bounds, and counts.
local client_hello = require "xmpp_tls_policy.policy.client_hello"
local core = require "xmpp_tls_policy.core"
local dhe_limit = require "xmpp_tls_policy.handshakes.dhe_limit"
local explain_failure = require "xmpp_tls_policy.handshakes.explain_failure"
local latest_entries = require "xmpp_tls_policy.latest_entries"
local log_limit = require "xmpp_tls_policy.log_limit"
local network = require "xmpp_tls_policy.network"
local refused_peers = require "xmpp_tls_policy.refused_peers"
local shown = require "xmpp_tls_policy.text".shown

local failed_handshakes = {}

local methods = {}
local metatable = { __index = methods }

local function clock()
	return os.time()
end

--- `server`: the adapter; `adopted`: see contexts/adopted_contexts.lua; `metrics`; `peers`: see
-- refused_peers.lua (nil: its own); `kept`: the failed handshakes of the load before, or nil: the list
-- goes on from there. `now`: function() -> UTC seconds, the system's by default.
function failed_handshakes.new(options)
	local kept = options.kept
	return setmetatable({
		_server = options.server,
		_adopted = options.adopted,
		_metrics = options.metrics,
		_peers = options.peers or refused_peers.new { now = options.now or clock },
		_latest = kept and kept._latest or latest_entries.new(),
		_lines = kept and kept._lines or log_limit.new { now = options.now or clock },
	}, metatable)
end

-- A record of the core as an entry. Peers can cause many, so only the cheap part is done here, and
-- the rest in `explained`.
local function entry_of(self, record)
	local made = {
		time = record.time, what = "handshake", address = record.address, port = record.port, alert = record.alert,
		alert_sent = record.alert_sent, reason = record.reason,
		_record = record, _context = record.label and self._adopted:by_label(record.label),
	}
	local role = made._context and made._context.given.role
	-- Of an incoming stream it is the name that its header claimed before STARTTLS.
	if record.role == "client" or role == "s2sin" then
		made.domain = record.server_name and shown(record.server_name)
	end
	return made
end

-- An empty list has to be a list in JSON, too.
local function marked_lists(self, offer)
	for _, value in pairs(offer) do
		if type(value) == "table" then
			self._server.list(value)
		end
	end
	return offer
end

-- Adds to an entry why the handshake failed, and the clauses that it broke. Returns it.
local function explained(self, made)
	local record, context = made._record, made._context
	made._record, made._context = nil, nil
	if not record then
		return made
	end
	made.offer = record.offer and marked_lists(self, client_hello.named(record.offer))
	made.text, made.clauses = "failed in the handshake", self._server.list {}
	if not context then
		return made
	end
	made.host, made.role, made.policy = context.given.host, context.given.role, context.policy:name()
	-- Faults of a ClientHello are found before the server name in it is looked up.
	local name = not made.host and made.offer and made.offer.server_name
	if name and self._server.is_host(name:lower()) then
		made.host = name:lower()
	end
	local limited = dhe_limit.explanation(record, context.policy.dhe_per_second)
	if context.failure then
		made.text = "found no TLS, because the context cannot be brought under the policy: " .. context.failure
	elseif limited then
		made.text = limited
	else
		local clauses
		made.text, clauses = explain_failure(record, {
			policy = context.policy, role = made.role, settings = context.settings, before = context.before,
			operator = context.given.operator, direct_tls = context.given.option ~= nil,
			certificate = context.certificate ~= nil and context.certificate:facts(),
		})
		made.clauses = self._server.list(clauses)
	end
	return made
end

--- An entry of the list as one line.
function failed_handshakes.line(entry)
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

-- OpenSSL also sends an alert when the peer has gone away.
local function is_by_us(record)
	return record.alert_sent and record.reason ~= "unexpected eof while reading"
end

--- Takes in the handshakes that failed since the last call. `log`: function(level, format, ...);
-- `tell`: function(entry), called for those that have a line in the log.
function methods:collect(log, tell)
	local records, lost = core.observer.refusals()
	for _, record in ipairs(records) do
		local entry = entry_of(self, record)
		self._metrics:failed_handshake(entry._context and entry._context.given.role, is_by_us(record))
		self._latest:add(entry)
		local is_logged = self._lines:allows(network.of(entry.address))
		local context = entry._context and entry._context.given or {}
		if is_logged then
			explained(self, entry)
		end
		self._peers:add {
			role = context.role, host = context.host, domain = entry.domain, address = entry.address, text = entry.text,
			clauses = entry.clauses,
		}
		if is_logged then
			log("info", "TLS handshake failed: %s", failed_handshakes.line(entry))
			self._metrics:refusal(entry.role, "handshake", entry.clauses)
			tell(entry)
		end
	end
	if lost > 0 then
		self._metrics:lost_handshakes(lost)
		self._latest:count_lost(lost)
		self._lines:suppress(lost)
	end
	local suppressed = self._lines:turn()
	if suppressed then
		log("info", "%d more TLS handshakes failed that are not logged one by one", suppressed)
	end
end

--- The latest failed handshakes, the latest first: a list of { time (UTC seconds), what =
-- "handshake", host (nil: none in particular), role, domain (of a server; a claim of s2sin), address, port, policy,
-- text, clauses = list of ids, alert, alert_sent, reason, offer (see client_hello.named) }.
function methods:list()
	local list = self._latest:list()
	for _, entry in ipairs(list) do
		explained(self, entry)
	end
	return list
end

--- How many there ever were in this process.
function methods:total()
	return self._latest:total()
end

return failed_handshakes
