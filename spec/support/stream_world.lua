--- A server of plain tables, with policies, a certificate memory and an admission, so that specs can
-- put streams into any state. Its adapter is complete (see servers/contract.lua).
local copy = require "xmpp_tls_policy.copy"
local certificate_memory = require "xmpp_tls_policy.certificates.memory"
local contract = require "xmpp_tls_policy.servers.contract"
local new_admission = require "xmpp_tls_policy.stream.admission".new
local new_closing = require "xmpp_tls_policy.stream.closing".new
local new_peer_certificates = require "xmpp_tls_policy.certificates.peer_certificates".new
local new_refusal_log = require "xmpp_tls_policy.stream.refusal_log".new
local tls_policy = require "xmpp_tls_policy"

local stream_world = {}

---- Certificates of other servers -----------------------------------------------

-- What is stored of domains is in world.records, by host; what was written, in world.written.
local function new_store(world, host)
	local function records()
		return world.records[host] or {}
	end
	return {
		get = function (_, domain) return records()[domain] end,
		set = function (_, domain, record)
			world.records[host] = records()
			world.records[host][domain] = copy(record)
			world.written[#world.written + 1] = host .. " " .. domain
			return true
		end,
		keys = function () return pairs(records()) end,
	}
end

--- What a memory holds of a domain whose certificate was seen once.
function stream_world.record_of(certificate, domain)
	local record
	local memory = certificate_memory.new {
		now = os.time, store = {
			get = function () end, domains = pairs,
			set = function (_, _, new)
				record = copy(new)
				return true
			end,
		},
	}
	memory:see(domain, certificate:facts(), { direction = "in", verified = true, certificate_change = "refuse" })
	return assert(record)
end

---- The adapter -----------------------------------------------------------------

-- A session is a table: role, host, peer, secure (nil; false: STARTTLS was agreed on; true),
-- authenticated, account and address (of clients), authed = { [domain] = true }, connection, chain_valid,
-- identity_valid, unnamed = { [domain] = true }, for which the server's own check takes no certificate,
-- is_over_http, destroyed.
local session_functions = {}

function session_functions.role(session) return session.role end
function session_functions.host(session) return session.host end
function session_functions.peer(session) return session.peer end
function session_functions.address(session) return session.address or "192.0.2.1" end
function session_functions.client_bare_jid(session) return session.account end
function session_functions.is_secure(session) return session.secure == true end
function session_functions.awaits_tls(session) return session.secure == false end
function session_functions.is_destroyed(session) return session.destroyed == true end
function session_functions.speaks_xmpp_itself(session) return not session.is_over_http end
function session_functions.carrier(session) return session.carrier end
function session_functions.carry_over(session, old) old.carrier = session.carrier end
function session_functions.speaks_for(session, domain) return session.authed[domain] == true end
function session_functions.has_valid_chain(session) return session.chain_valid == true end
function session_functions.has_trusted_chain(session)
	return session.chain_valid == true and session.chain_untrusted ~= true
end
function session_functions.has_valid_identity(session) return session.identity_valid == true end
function session_functions.names_domain(session, domain)
	return not session.unnamed or session.unnamed[domain] ~= true
end
function session_functions.has_valid_certificate(session)
	return session.chain_valid and session.identity_valid or false
end
function session_functions.has_checked_chain(session) return session.chain_valid ~= nil end
function session_functions.connection(session) return session.connection end
function session_functions.stream(session) return session.stream end
function session_functions.set_stream(session, stream) session.stream = stream end

function session_functions.is_hibernating(session) return session.hibernating == true end

function session_functions.is_authenticated(session)
	return session.authenticated == true or next(session.authed) ~= nil
end

function session_functions.domains_of(session)
	local list = {}
	for domain in pairs(session.authed) do
		list[#list + 1] = domain
	end
	table.sort(list)
	return list
end

--- The prepared parts of an address: only ASCII, without a dot at the end.
function stream_world.split_jid(text)
	local bare, resource = text:match "^([^/]+)/(.+)$"
	local node, domain = (bare or text):match "^([^@/]+)@([^@/]+)$"
	domain = domain or (bare or text):match "^([^@/]+)$"
	if not domain then
		return nil
	end
	domain = domain:lower():gsub("%.$", "")
	return node and node:lower(), domain ~= "" and domain or nil, resource
end

-- The counts of what happens to sessions.
local function new_adapter(world)
	local adapter = {}
	for name, method in pairs(session_functions) do
		adapter[name] = method
	end
	local function count(session, what)
		session[what] = (session[what] or 0) + 1
	end
	function adapter.close(session, condition, text)
		count(session, "closed")
		session.condition, session.text = condition, text
	end
	function adapter.close_silently(session, text)
		count(session, "closed")
		session.text = text
	end
	function adapter.send_encryption_required(session)
		count(session, "encryption_required")
	end
	function adapter.publish(session, public)
		count(session, "published")
		session.public = public
	end
	function adapter.log_session(session, level, format, ...)
		session.lines = session.lines or {}
		session.lines[#session.lines + 1] = level .. " " .. format:format(...)
	end
	function adapter.fire(host, event, data)
		local list = event == "tls-policy/refused" and world.fired or world.other_events
		list[#list + 1] = { host = host, event = event, data = data }
	end
	function adapter.is_handled()
		return world.objection ~= nil
	end
	function adapter.in_order(_, action)
		action()
	end
	function adapter.ask(host, event, make)
		return world.objection and world.objection(host, event, make)
	end
	function adapter.is_host(domain)
		return world.hosts[domain] or false
	end
	function adapter.sessions()
		return world.sessions
	end
	function adapter.list(items)
		return items
	end
	function adapter.open_store(host)
		return new_store(world, host)
	end
	adapter.split_jid = stream_world.split_jid
	for name in pairs(contract.functions) do
		adapter[name] = adapter[name] or function ()
			error("these specs need no " .. name)
		end
	end
	return contract.check(adapter)
end

---- Policies ------------------------------------------------------------------

local policies = {}
policies.__index = policies

function policies:covers(host) return host ~= nil and self.by_host[host] ~= nil end
function policies:generation() return self.number end

function policies:policy_for(host, domain)
	return (host and self.by_host[host] or self.by_host["*"]):for_peer(domain, self.now)
end

--- Gives a host ("*": all others) a policy, or none.
function policies:set(host, policy)
	self.by_host[host] = policy
	self.number = self.number + 1
end

-- Options -> policy, so that equal options give the same object.
local made = {}

--- The policy of options: { level, mode, unauthenticated_s2s, certificate_change, exceptions }.
function stream_world.policy(options)
	local key = {}
	for name, value in pairs(options) do
		key[#key + 1] = name .. tostring(value)
	end
	table.sort(key)
	key = table.concat(key, " ")
	if not made[key] then
		made[key] = assert(tls_policy.policy(options))
	end
	return made[key]
end

---- The world -------------------------------------------------------------------

local world_methods = {}
local world_metatable = { __index = world_methods }

--- `hosts`: name -> policy, or false for a host without one; "*" is for all others.
function stream_world.new(hosts)
	local world = setmetatable({
		hosts = {}, sessions = {}, fired = {}, other_events = {}, unobserved = 0, handshakes = {}, refusals = {},
	}, world_metatable)
	world.policies = setmetatable({ by_host = {}, number = 1, now = os.time() }, policies)
	world.policies.by_host["*"] = stream_world.policy {}
	for name, policy in pairs(hosts) do
		world.hosts[name] = name ~= "*" or nil
		world.policies.by_host[name] = policy or nil
	end
	world.records, world.written = {}, {}
	world.server = new_adapter(world)
	world.refusal_log = new_refusal_log { now = os.time }
	world.metrics = {
		handshake = function (_, role, _, outcome)
			world.handshakes[#world.handshakes + 1] = assert(role) .. " " .. outcome
		end,
		refusal = function (_, role, stage, clauses)
			world.refusals[#world.refusals + 1] = { role = assert(role), stage = stage, clauses = clauses }
		end,
		certificate_change = function () end,
	}
	world.certificates = new_peer_certificates { server = world.server, metrics = world.metrics }
	world:load_again()
	return world
end

--- Does the same as a reload of the module: makes the parts that do not outlive it anew.
function world_methods:load_again()
	self.closing = new_closing { server = self.server, refusal_log = self.refusal_log, metrics = self.metrics }
	self.admission = new_admission {
		server = self.server, policies = self.policies, certificates = self.certificates, closing = self.closing,
		metrics = self.metrics,
		on_unobserved = function ()
			self.unobserved = self.unobserved + 1
		end,
	}
end

--- A session with the given fields. Its domains are authenticated for all hosts.
function world_methods:session(fields)
	fields.authed = fields.authed or {}
	self.sessions[#self.sessions + 1] = fields
	for domain in pairs(fields.authed) do
		self:authenticate(fields, domain)
	end
	return fields
end

--- The peer of a session has authenticated as a domain, for all hosts.
function world_methods:authenticate(session, domain)
	session.authed[domain] = true
	for host in pairs(self.hosts) do
		self.admission:stream(session):note_authenticated(host, domain)
	end
end

--- An element with `name`, `xmlns`, `to` and `from`; each may be nil.
function stream_world.element(name, xmlns, to, from)
	return { name = name, attr = { xmlns = xmlns, to = to, from = from } }
end

return stream_world
