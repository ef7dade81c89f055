--- The objects that enforce policies on one server, made for one load of the module.
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local binding_mismatches = require "xmpp_tls_policy.stream.binding_mismatches"
local cutoff_reports = require "xmpp_tls_policy.stream.cutoff_reports"
local dhe_limit = require "xmpp_tls_policy.handshakes.dhe_limit"
local failed_handshakes = require "xmpp_tls_policy.handshakes.failed_handshakes"
local fleets = require "xmpp_tls_policy.fleet.fleets"
local foreseen_outages = require "xmpp_tls_policy.contexts.foreseen_outages"
local metrics = require "xmpp_tls_policy.metrics"
local new_admission = require "xmpp_tls_policy.stream.admission".new
local new_closing = require "xmpp_tls_policy.stream.closing".new
local own_certificate_check = require "xmpp_tls_policy.certificates.own_certificate_check"
local peer_certificates = require "xmpp_tls_policy.certificates.peer_certificates"
local policies = require "xmpp_tls_policy.policy.policies"
local ready_contexts = require "xmpp_tls_policy.stream.ready_contexts"
local refusal_log = require "xmpp_tls_policy.stream.refusal_log"
local refused_peers = require "xmpp_tls_policy.refused_peers"
local session_memory = require "xmpp_tls_policy.contexts.session_memory"
local shared_sessions = require "xmpp_tls_policy.sessions.shared_sessions"
local shut_hosts = require "xmpp_tls_policy.stream.shut_hosts"
local tls_contexts = require "xmpp_tls_policy.contexts.tls_contexts"
local weekly_digest = require "xmpp_tls_policy.digest.weekly_digest"
local work_queue = require "xmpp_tls_policy.work_queue"

local service = {}

-- Places for sessions that are looked at in one turn: a few milliseconds.
local SWEPT_AT_ONCE = 100000

local methods = {}
local metatable = { __index = methods }

local function clock()
	return os.time()
end

-- Adds each refusal to both.
local function both(first, second)
	return {
		add = function (_, entry)
			first:add(entry)
			second:add(entry)
		end,
	}
end

--- `server`: an adapter (see servers/contract.lua); `kept`: the service of the load before, or nil: a
-- reload forgets no session, no context and no count. Fields: server, policies, adopted,
-- tls_contexts, ready_contexts, metrics, refused_peers, refusal_log, failed_handshakes, closing, certificates,
-- own_certificates, outages, reports, fleets, digests, shared_sessions, binding_mismatches, admission.
function service.new(server, kept)
	local self = setmetatable({ server = server }, metatable)
	kept = kept or {}
	self.policies = policies.new { server = server, kept = kept.policies }
	-- When streams were judged last: { generation (see policies), time }.
	self._judged = kept._judged or { generation = self.policies:generation(), time = clock() }
	self.adopted = kept.adopted or adopted_contexts.new()
	self._unlocked = kept._unlocked or setmetatable({}, { __mode = "k" }) -- stores that were warned of
	self.shared_sessions = shared_sessions.new { server = server, now = clock, kept = kept.shared_sessions }
	self.metrics = metrics.new {
		server = server, adopted = self.adopted, kept = kept.metrics, shared_sessions = self.shared_sessions,
	}
	self.refused_peers = kept.refused_peers or refused_peers.new { now = clock }
	self.digests = kept.digests or weekly_digest.new { now = clock }
	self._refusals = kept._refusals or both(self.refused_peers, self.digests)
	self.refusal_log = kept.refusal_log or refusal_log.new { now = clock, peers = self._refusals }
	self.failed_handshakes = failed_handshakes.new {
		server = server, adopted = self.adopted, metrics = self.metrics, peers = self._refusals,
		kept = kept.failed_handshakes,
	}
	self.certificates = peer_certificates.new { server = server, metrics = self.metrics, kept = kept.certificates }
	self.tls_contexts = tls_contexts.new { server = server, policies = self.policies, adopted = self.adopted }
	self.ready_contexts = ready_contexts.new { server = server, policies = self.policies, contexts = self.tls_contexts }
	self._queue = work_queue.new { server = server }
	self.reports = cutoff_reports.new {
		server = server, metrics = self.metrics, certificates = self.certificates, queue = self._queue, kept = kept.reports,
	}
	self.fleets = fleets.new {
		server = server, adopted = self.adopted, queue = self._queue, kept = kept.fleets,
		facts_of = function (certificate)
			return self.certificates:facts_of(certificate)
		end,
	}
	self.metrics:count_shapes_of(self.fleets)
	self.own_certificates = own_certificate_check.new {
		server = server, policies = self.policies, adopted = self.adopted, queue = self._queue,
		kept = kept.own_certificates,
	}
	self.digests:use {
		server = server, policies = self.policies, queue = self._queue, fleets = self.fleets,
		own_certificates = self.own_certificates,
	}
	self.outages = foreseen_outages.new {
		server = server, policies = self.policies, adopted = self.adopted, queue = self._queue,
	}
	self.binding_mismatches = binding_mismatches.new {
		server = server, policies = self.policies, metrics = self.metrics, kept = kept.binding_mismatches,
	}
	self.closing = new_closing { server = server, refusal_log = self.refusal_log, metrics = self.metrics }
	self.admission = new_admission {
		server = server, policies = self.policies, certificates = self.certificates, closing = self.closing,
		metrics = self.metrics, contexts = self.adopted,
		on_unobserved = function ()
			self.tls_contexts:search_direct_tls()
		end,
		on_excepted = function (host, exception)
			self.digests:excepted(host, exception)
		end,
	}
	return self
end

-- Once for each store.
local function warn_of_unlocked(self)
	local store = self.adopted:sessions()
	local warning = store and session_memory.warning(store:stats())
	if warning and not self._unlocked[store] then
		self._unlocked[store] = true
		self.server.log("*", "warn", "%s", warning)
	end
end

--- Reads all options again and brings policies, the bound on DHE and the session store to them.
function methods:load_policies()
	self.policies:load()
	self.tls_contexts:configuration_loaded()
	self.metrics:read_store()
	dhe_limit.set(self.policies:policy_for().dhe_per_second)
	local done, message = self.adopted:keep_sessions(self.policies:policy_for().resumption)
	if not done then
		self.server.log("*", "error", "No session is resumed: %s", message)
	end
	self.shared_sessions:configure(self.policies:policy_for().resumption, self.adopted:sessions())
	self.ready_contexts:forget()
	warn_of_unlocked(self)
end

-- In a later turn, when the server has loaded all modules of all hosts.
local function look_at_configuration(self)
	self._queue:add("looking for hosts without STARTTLS", function ()
		shut_hosts.log(self.server, self.policies)
	end)
	self._queue:add("looking for options without effect", function ()
		self.policies:warn_of_options_without_effect()
	end)
	self._queue:add("warning of exceptions", function ()
		self.policies:warn_of_exceptions()
	end)
end

-- A host in report mode has a report, and no other has, nor anything stored of one.
local function follow_mode(self, host)
	local policy = self.policies:policy_for(host)
	if policy.mode == "report" then
		local milder = policy:milder()
		self.reports:open(host).level = milder and milder.level
	else
		self.reports:tidy(host)
	end
end

--- The modes of hosts may have changed.
function methods:follow_modes()
	for _, host in ipairs(self.policies:hosts()) do
		follow_mode(self, host)
	end
end

--- Makes the policy of a host active: before its streams are judged.
function methods:add_host(host)
	self.policies:load_host(host)
	self.certificates:open(host)
	self.fleets:open(host)
	follow_mode(self, host)
	-- Before the checks, which look at the last contexts: a server may make those of a host anew while it starts.
	self.tls_contexts:search_later()
	look_at_configuration(self)
	self.own_certificates:check(host)
	self.outages:check { host }
end

--- Logs the faults of our hosts and their certificates.
function methods:check_hosts()
	look_at_configuration(self)
	self.own_certificates:check_all(self.policies:hosts())
	self.outages:check(self.policies:hosts())
	self.fleets:judge_again()
	self.digests:send_weekly()
end

--- A server has authenticated: the shapes and the reports of the hosts of ours for which that counts take in its
-- domains, each pair once for a connection. The event may name another host, as dialback is for a pair of its own
-- (xep0220.1.2.pair-of-domains).
function methods:report_server(session)
	local stream = self.admission:stream(session)
	for host, domains in pairs(stream.authenticated_for or {}) do
		for domain in pairs(self.policies:covers(host) and domains or {}) do
			local policy = self.policies:policy_for(host, domain)
			if stream:speaks_for(domain) then
				self.fleets:see_server(stream, host, domain)
				if policy.mode == "report" then
					self.reports:see_server(policy, stream, host, domain)
				end
			end
		end
	end
end

--- A client has logged in by a mechanism of SASL (nil: unknown), bound to its connection by a type of
-- channel binding, or by none (nil). Returns true if the stream was ended.
function methods:client_logged_in(session, mechanism, binding)
	local stream = self.admission:stream(session)
	if self.admission:client_authenticated(session, mechanism) then
		return true
	end
	stream.binding = mechanism and mechanism:find "%-PLUS$" and binding or nil
	self.metrics:login(mechanism, stream.binding)
end

--- A client has authenticated, or goes on with an old session: the shapes and the report of its host take it in.
-- Harmless when it is called again.
function methods:report_client(session)
	local server = self.server
	local host = server.host(session)
	local policy = self.policies:covers(host) and self.policies:policy_for(host)
	-- Before it has bound a resource, Prosody does not count it as authenticated.
	if policy and server.client_bare_jid(session) and server.speaks_xmpp_itself(session) then
		local stream = self.admission:stream(session)
		self.fleets:see_client(stream, host)
		if policy.mode == "report" then
			self.reports:see_client(policy, stream, host)
		end
	end
end

--- A host has no policy any more. What is stored of it stays.
function methods:remove_host(host)
	self.policies:remove(host)
	self.fleets:close(host)
end

--- Forgets an account of a host that was deleted.
function methods:forget_account(host, jid)
	self.reports:forget_account(host, jid)
	self.fleets:forget_account(host, jid)
end

--- Stores at once what is kept of all hosts.
function methods:store_all()
	self.reports:store_all()
	self.fleets:store_all()
end

--- Takes in the handshakes that failed since the last call: log, counters, events.
function methods:collect_failures()
	local server = self.server
	self.failed_handshakes:collect(function (level, format, ...)
		server.log("*", level, format, ...)
	end, function (entry)
		server.fire(entry.host, "tls-policy/refused", { refusal = entry, domain = entry.domain, text = entry.text })
	end)
	local suppressed = self.refusal_log:suppressed()
	if suppressed then
		server.log("*", "info", "%d more streams were refused, which are not logged one by one", suppressed)
	end
end

--- Judges streams anew if a policy has changed, or an exception has ended, since the last call: no
-- stream outlives the exception under which it was accepted.
function methods:judge_streams_again()
	local generation, now = self.policies:generation(), os.time()
	local since = self._judged
	self._judged = { generation = generation, time = now }
	local has_ended = self.policies:has_ended_exception(since.time, now)
	if has_ended then
		self.tls_contexts:exceptions_ended()
	end
	if generation ~= since.generation or has_ended then
		self.admission:policies_changed()
	end
end

--- The work of each minute: a list of { what, action }.
function methods:minutely()
	return {
		{ what = "sweeping the session store", action = function ()
			-- Expired sessions are wiped even if no others come.
			local store = self.adopted:sessions()
			if store then
				store:sweep(SWEPT_AT_ONCE)
			end
		end },
		{ what = "keeping contexts by name", action = function ()
			self.tls_contexts:keep_named()
		end },
		{ what = "warning of exceptions", action = function ()
			self.policies:warn_of_exceptions()
		end },
		{ what = "ending exceptions", action = function ()
			self:judge_streams_again()
		end },
		{ what = "storing reports", action = function ()
			self.reports:store_hourly()
		end },
		{ what = "storing shapes", action = function ()
			self.fleets:store_hourly()
		end },
		{ what = "sweeping the certificate memory", action = function ()
			self.certificates:sweep()
		end },
		{ what = "checking our own certificates", action = function ()
			self.own_certificates:check_daily(self.policies:hosts())
		end },
		{ what = "sending the weekly digest", action = function ()
			self.digests:send_weekly()
		end },
	}
end

--- Ends all of it, when the module is unloaded: gives back contexts and forgets policies.
function methods:stop()
	self.server.refuse_unknown_names()
	self.shared_sessions:stop()
	self.adopted:keep {}
	self.tls_contexts:give_back()
	dhe_limit.clear()
	self.policies:clear()
end

return service
