--- Decides what a stream may do. Everything that a policy allows or refuses on a stream is decided
-- here, by two rules:
--   1. Unknown means no. Where a policy is enforced, nothing passes on a stream until the pair
--      (host of ours, domain of the peer) that it concerns has been admitted under that host's
--      policy. A host without a policy does not affect the policy of another host.
--   2. A stream belongs to the host that its header named. Before authentication, an element for
--      another host of ours ends the stream. Dialback (XEP-0220) on an incoming stream is the one
--      exception: it is judged for its own pair.
-- The adapter of a server translates the server's events into the moments of checks.lua, and does
-- nothing else.
local address_domains = require "xmpp_tls_policy.stream.address_domains"
local cutoff_verdict = require "xmpp_tls_policy.stream.cutoff_verdict"
local new_checks = require "xmpp_tls_policy.stream.checks".new
local new_stream = require "xmpp_tls_policy.stream.stream".new
local shown = require "xmpp_tls_policy.text".shown
local starttls = require "xmpp_tls_policy.stream.starttls"

local admission = {}

local methods = {}
local metatable = { __index = methods }

local xmlns_dialback = "jabber:server:dialback"

-- Of one stream: a peer chooses for how many pairs it sends, and from and to which addresses.
local MOST_PAIRS = 1000
local MOST_ADDRESSES = 200
local LONGEST_ADDRESS = 256 -- bytes

--- `server`: the adapter; `policies`, `closing`, `metrics`: see there; `certificates`,
-- `on_unobserved`: see checks.lua; `contexts`: see stream.lua; `on_excepted`: function(host, exception), called for
-- each connection that is accepted under one, nil: nobody is told.
function admission.new(options)
	return setmetatable({
		_server = options.server,
		_policies = options.policies,
		_closing = options.closing,
		_metrics = options.metrics,
		_contexts = options.contexts,
		_on_excepted = options.on_excepted,
		_checks = new_checks(options),
		_domain_of = address_domains.new(options.server.split_jid),
	}, metatable)
end

--- The Stream of a session.
function methods:stream(session)
	local server = self._server
	local stream = server.stream(session)
	if stream and stream.server == server then
		return stream
	elseif not stream then
		stream = new_stream(server, session, self._contexts)
		server.set_stream(session, stream)
	end
	-- A reload of the module makes another adapter.
	stream:use(server, self._contexts)
	return stream
end

-- The policy for a pair on streams of a role; nil if there is none. The header of a server's
-- stream may name no host: the policy for all others holds then. `session`: where it may be a client's.
local function policy_for(self, role, host, domain, session)
	if not self._policies:covers(host) and (host or role ~= "s2sin") then
		return nil
	elseif role ~= "c2s" or not session then
		return self._policies:policy_for(host, domain)
	end
	return self._policies:policy_for(host, domain, self._server.address(session), self._server.client_bare_jid(session))
end

local function is_enforced(policy)
	return policy ~= nil and policy.mode ~= "report"
end

--- Whether a policy is enforced on a session, as its header names the pair.
function methods:is_enforced_on(session)
	local server = self._server
	local policy = policy_for(self, server.role(session), server.host(session), server.peer(session), session)
	return is_enforced(policy)
end

---- Judging -------------------------------------------------------------------

-- How a handshake ended; see metrics.lua.
local function outcome(stream, pair, refusal)
	if refusal then
		return "stream_refused"
	elseif pair.policy.mode ~= "report" then
		return stream.exception and "exception" or "accepted"
	end
	return cutoff_verdict.of_handshake(pair.policy, stream, pair.domain).refuse and "would_refuse" or "accepted"
end

local function count_handshake(self, stream, pair, refusal)
	if stream.facts and not stream.counted then
		stream.counted = true
		local ended = outcome(stream, pair, refusal)
		self._metrics:handshake(stream.role, stream.facts, ended)
		if ended == "exception" and self._on_excepted then
			self._on_excepted(pair.host, stream.exception)
		end
	end
end

-- Judges a pair at a moment. Returns true if the stream was ended.
local function judge(self, moment, stream, pair)
	local server = self._server
	if pair.policy.mode == "report" then
		self._checks:judge_for_report(stream, pair)
		if server.is_destroyed(stream.session) then
			return true
		end
		count_handshake(self, stream, pair)
		return false
	end
	local refusal = self._checks:refusal_at(moment, stream, pair)
	if server.is_destroyed(stream.session) then
		return true
	end
	count_handshake(self, stream, pair, refusal)
	return refusal ~= nil and self._closing:refuse(stream, refusal)
end

---- Admitted pairs ------------------------------------------------------------

-- The pairs of an encrypted stream that were judged under the present policies: host -> domain ->
-- ADMITTED, or JUDGED while the server has not taken the peer for authenticated yet. Without TLS a pair
-- is judged each time, as TLS may still come.
local ADMITTED, JUDGED = 1, 2

local function state_of(self, stream, host, domain)
	local policies = self._policies
	local domains = stream.admitted and stream.generation == policies:generation() and stream.policies == policies
		and stream.admitted[host]
	return domains and domains[domain]
end

local function set_state(self, stream, host, domain, state)
	if not stream:is_encrypted() then
		return
	end
	local policies = self._policies
	local generation = policies:generation()
	if stream.generation ~= generation or stream.policies ~= policies or not stream.admitted
		or stream.admitted_count >= MOST_PAIRS then
		stream.admitted, stream.admitted_count, stream.addresses = {}, 0, nil
		stream.generation, stream.policies = generation, policies
	end
	local domains = stream.admitted[host] or {}
	stream.admitted[host] = domains
	stream.admitted_count = stream.admitted_count + (domains[domain] and 0 or 1)
	domains[domain] = state
end

-- Remembers that stanzas between two addresses belong to an admitted pair. `way`: "in" or "out".
local function remember_addresses(stream, way, own, far)
	local known = stream.addresses
	if not own or not far or #own > LONGEST_ADDRESS or #far > LONGEST_ADDRESS or not stream.admitted then
		return
	elseif not known or known.count >= MOST_ADDRESSES then
		known = { count = 0, ["in"] = {}, out = {} }
		stream.addresses = known
	end
	local of_own = known[way][own] or {}
	known[way][own] = of_own
	known.count = known.count + (of_own[far] and 0 or 1)
	of_own[far] = true
end

--- Whether a stanza on a server's stream (nil: none yet) belongs to a pair that was admitted already, by
-- its addresses as they stand in it: of ours and of the peer. This is asked for each stanza, so it looks
-- at fields and calls nothing. `way`: "in" or "out".
function methods:is_known(stream, way, own, far)
	local known, policies = stream and stream.addresses, self._policies
	if not known or stream.policies ~= policies or stream.generation ~= policies.number then
		return false
	end
	local of_own = known[way][own]
	return of_own ~= nil and of_own[far] == true
end

-- Whether a pair may use a server's stream at a moment; the stream is ended otherwise.
local function may_use(self, moment, stream, host, domain)
	local state = state_of(self, stream, host, domain)
	if state == ADMITTED then
		return true
	end
	local policy = policy_for(self, stream.role, host, domain)
	if not policy then
		-- Nothing is noted: the host may get a policy.
		return true
	elseif not state and judge(self, moment, stream, { host = host, domain = domain, policy = policy }) then
		return false
	end
	if stream:is_authenticated_for(host, domain) then
		set_state(self, stream, host, domain, ADMITTED)
	end
	return true
end

---- Events ---------------------------------------------------------------------

-- Whether a session has no handshake by now that could be judged. `stream`: its Stream, or nil.
local function is_before_tls(server, session, stream)
	return not server.is_secure(session) and not (stream and stream.facts) and not server.is_destroyed(session)
end

--- Features are about to be offered on a stream, or were received. Returns true if the stream was
-- ended.
function methods:opened(session)
	local server = self._server
	if is_before_tls(server, session, server.stream(session)) then
		return false
	elseif not server.speaks_xmpp_itself(session) then
		-- The TLS is that of HTTP, and not ours to judge.
		return false
	end
	local stream = self:stream(session)
	local host, domain = stream:host(), stream:peer()
	local policy = policy_for(self, stream.role, host, domain, session)
	return policy ~= nil and judge(self, "opened", stream, { host = host, domain = domain, policy = policy })
end

--- STARTTLS was agreed on: from now on only TLS makes the stream secure.
function methods:starttls_agreed(session)
	self:stream(session).tls_agreed = true
end

--- Ends a stream for a reason that is no pair's: `refusal` as in closing.lua. Returns true.
function methods:refuse(session, refusal)
	return self._closing:refuse(self:stream(session), refusal)
end

--- The policy that holds for a session, as its header names the pair; nil if there is none.
function methods:policy_of(session)
	local server = self._server
	return policy_for(self, server.role(session), server.host(session), server.peer(session), session)
end

--- The server has checked the certificate that a server showed. Returns true if the stream was
-- ended.
function methods:certificate_checked(session, domain)
	local stream = self:stream(session)
	local host = stream:host()
	local policy = policy_for(self, stream.role, host, domain)
	stream.certificate_checked_on, stream.certificate_policy = self._server.connection(session), policy
	stream.went_on = true
	return policy ~= nil and judge(self, "certificate_checked", stream, { host = host, domain = domain, policy = policy })
end

--- Whether a certificate names a domain as RFC 6125 has it, and whether a policy is enforced on the stream. To be
-- called when the server's own check of names is over, which may take a name that RFC 6125 does not allow: the
-- Common Name, or a wildcard for a top-level domain.
function methods:certificate_names(session, domain)
	local stream = self:stream(session)
	local policy = policy_for(self, stream.role, stream:host(), domain)
	if not policy or not domain or not stream:read_facts() then
		return nil
	end
	local names = stream:identity(domain)
	return names, is_enforced(policy)
end

--- The server was told that a certificate does not name the domain that it found in it.
function methods:identity_rejected(session, domain)
	self:stream(session).rejected_domain = domain
end

-- Whether a stream that ended was not authenticated because a certificate's name was rejected: the
-- server demands a valid certificate, or did not offer SASL EXTERNAL to a peer that tried nothing else.
local function failed_by_rejection(self, stream)
	if not stream.rejected_domain or stream.refused or stream.authenticated_for
		or self._server.is_authenticated(stream.session) then
		return false
	end
	return not stream.went_on or stream.role == "s2sin" and not stream.used_dialback
end

--- A server's stream has ended; its session is still whole.
function methods:ended(session)
	local stream = self._server.stream(session)
	if not stream or not failed_by_rejection(self, stream) then
		return
	end
	local host, domain = stream:host(), stream.rejected_domain
	local policy = policy_for(self, stream.role, host, domain)
	if not is_enforced(policy) then
		return
	end
	local refusal = {
		clauses = { "cert.identity" }, policy = policy:name(),
		text = starttls.sentence(policy, "cert.identity", ("the certificate shown for %s does not name it as RFC 6125 "
			.. "requires; one that does is needed"):format(shown(domain))),
	}
	count_handshake(self, stream, { host = host, domain = domain, policy = policy }, refusal)
	self._closing:note(stream, refusal)
end

--- A server has authenticated as a domain, for a host of ours. `mechanism`: of SASL, or
-- "dialback"; the first one of a stream is kept. Returns true if the stream was ended.
function methods:authenticated(session, host, domain, mechanism)
	if self._server.is_destroyed(session) then
		return false
	end
	local stream = self:stream(session)
	stream.mechanism = stream.mechanism or mechanism
	stream:note_authenticated(host, domain)
	local policy = policy_for(self, stream.role, host, domain)
	if not policy then
		return false
	end
	local pair = { host = host, domain = domain, policy = policy, authenticated = true }
	if judge(self, "authenticated", stream, pair) then
		return true
	end
	set_state(self, stream, host, domain, JUDGED)
	return false
end

--- A client has authenticated, by a mechanism of SASL (nil: unknown). The exception of its network may be for other
-- accounts. Returns true if the stream was ended. Harmless when it is called again.
function methods:client_authenticated(session, mechanism)
	local stream = self:stream(session)
	stream.mechanism = stream.mechanism or mechanism
	if not stream.exception then
		return false
	end
	local host = stream:host()
	local policy = policy_for(self, "c2s", host, nil, session)
	if not policy or policy.exception == stream.exception then
		return false
	end
	return judge(self, "opened", stream, { host = host, domain = nil, policy = policy })
end

--- A client goes on with an old session on a new connection (xep0198.5.resumption). Harmless when it is called
-- again.
function methods:resumed(old, new)
	local server = self._server
	-- One over HTTP may not have been asked for its Stream yet.
	local stream = server.stream(new) or server.carrier(new) and self:stream(new)
	if stream and (stream.mechanism or server.is_authenticated(new)) then
		server.carry_over(new, old)
		stream.session = old
		server.set_stream(old, stream)
		stream:publish()
	end
end

---- Elements ------------------------------------------------------------------

local function foreign_refusal(policy, host, target)
	return {
		condition = "policy-violation", policy = policy:name(),
		text = ("an element for %s came on a stream %s, before authentication"):format(target,
			host and "to " .. host or "that names no host"),
	}
end

-- Rule 2. The refusal of an element for `target`, a host of ours.
local function refusal_of_foreign(self, stream, own, target)
	local other = policy_for(self, stream.role, target, stream:peer(), stream.session)
	local policy = is_enforced(own) and own or is_enforced(other) and other or nil
	if not policy then
		return nil
	elseif stream.role == "s2sout" and not stream:is_encrypted() and starttls.aborts_without_offer(policy) then
		local refusal = foreign_refusal(policy, stream:host(), target)
		-- Clause support.abort: nothing further is sent.
		refusal.condition = nil
		return refusal
	end
	return foreign_refusal(policy, stream:host(), target)
end

-- The pair of the header is judged again where the event in which that happens was not reached, as a
-- handler of another module may have failed in it, or another policy held then.
local function judge_header(self, stream, own)
	local server, session = self._server, stream.session
	local connection = stream.role ~= "c2s" and server.connection(session)
	local moment = "opened"
	if connection
		and (stream.certificate_checked_on ~= connection or stream.certificate_policy ~= own) then
		stream.certificate_checked_on, stream.certificate_policy = connection, own
		moment = "certificate_checked"
	elseif is_before_tls(server, session, stream) then
		return false
	end
	return judge(self, moment, stream, { host = stream:host(), domain = stream:peer(), policy = own })
end

-- An element of dialback, for a pair of its own (xep0220.1.2.pair-of-domains). True if the stream was ended.
local function judge_dialback(self, stream, target, element)
	local domain = self._domain_of(element.attr.from) or stream:peer()
	local policy = policy_for(self, stream.role, target, domain)
	return policy ~= nil and judge(self, "dialback", stream, { host = target, domain = domain, policy = policy })
end

-- The moment at which an element comes in that is from a server.
local function moment_of(element)
	return element.attr.xmlns and "element_in" or "stanza_in"
end

-- Any other element that says which server it is from. It may be handled after the peer has
-- authenticated, so its pair is judged as if it had. True if the stream was ended.
local function judge_ahead(self, stream, target, element)
	local domain = stream.role ~= "c2s" and self._domain_of(element.attr.from)
	local policy = domain and policy_for(self, stream.role, target, domain)
	return policy and judge(self, moment_of(element), stream, { host = target, domain = domain, policy = policy }) or false
end

local function before_authentication(self, session, element)
	local server, stream = self._server, self:stream(session)
	local role = stream.role
	local leads = not server.awaits_tls(session) and not server.is_secure(session) and starttls.leads_to_tls(role, element)
	if leads and not element.attr.to and is_before_tls(server, session, stream)
		and (role == "c2s" or not server.connection(session)) then
		return true
	end
	local host = stream:host()
	local own = policy_for(self, role, host, stream:peer(), session)
	local target = self._domain_of(element.attr.to)
	target = target and server.is_host(target) and target or nil
	local is_dialback = element.attr.xmlns == xmlns_dialback
	stream.used_dialback = stream.used_dialback or is_dialback or nil
	local has_own_pair = is_dialback and role == "s2sin"
	if target and target ~= host and not has_own_pair then
		local refusal = refusal_of_foreign(self, stream, own, target)
		if refusal then
			return not self._closing:refuse(stream, refusal)
		end
	end
	if is_enforced(own) then
		if not leads and not stream:is_encrypted() and starttls.requires_tls(own) then
			return not self._closing:refuse(stream, starttls.plaintext_refusal(own, element))
		elseif judge_header(self, stream, own) then
			return false
		end
	end
	if not target or leads or is_dialback and not has_own_pair then
		return true
	elseif is_dialback then
		return not judge_dialback(self, stream, target, element)
	end
	return not judge_ahead(self, stream, target, element)
end

-- On a stream that is authenticated for some pair: the pair of each element counts, whether the
-- peer has authenticated as its domain by now or not.
local function from_server(self, session, element)
	local attr = element.attr
	local host = self._domain_of(attr.to)
	if not host then
		return true
	end
	local stream = self._server.stream(session)
	local domain = self._domain_of(attr.from) or self._server.peer(session)
	local is_dialback = attr.xmlns == xmlns_dialback
	if stream and not is_dialback and state_of(self, stream, host, domain) == ADMITTED then
		remember_addresses(stream, "in", attr.to, attr.from)
		return true
	end
	stream = stream or self:stream(session)
	if is_dialback then
		if stream.role == "s2sout" and host ~= stream:host() then
			local own = policy_for(self, stream.role, stream:host(), stream:peer())
			local refusal = self._server.is_host(host) and refusal_of_foreign(self, stream, own, host)
			return not refusal or not self._closing:refuse(stream, refusal)
		end
		return not judge_dialback(self, stream, host, element)
	end
	return may_use(self, moment_of(element), stream, host, domain)
end

--- An element came in on a stream: { name, attr = { to, from, xmlns } }. Returns true if it may go
-- on to its handler; false if the stream was ended.
function methods:may_pass(session, element)
	local server = self._server
	if server.is_authenticated(session) then
		return server.role(session) == "c2s" or from_server(self, session, element)
	elseif not server.role(session) or not server.speaks_xmpp_itself(session) then
		return true
	end
	return before_authentication(self, session, element)
end

--- The domain of an address as the server compares domains; nil for none.
function methods:domain_of(address)
	return self._domain_of(address)
end

--- Whether stanzas from a host of ours may leave on a server's stream to a domain: the peer has
-- authenticated as that domain, and the pair is admitted. A stream that breaks the policy of the
-- host is ended; one that is only not authenticated as the domain stays, for its own. A stanza from
-- no host of ours is its stream's.
function methods:may_send(session, host, domain)
	local stream = self._server.stream(session)
	if stream and state_of(self, stream, host, domain) == ADMITTED then
		return true
	end
	stream = stream or self:stream(session)
	host = self._server.is_host(host) and host or stream:host()
	if not is_enforced(policy_for(self, stream.role, host, domain)) then
		return true
	end
	return stream:is_authenticated_for(host, domain) and may_use(self, "stanza_out", stream, host, domain)
end

--- The pair that a stanza { attr = { from, to } } concerns: by its addresses; by `host` and `domain`
-- where it has none.
function methods:pair_of(stanza, host, domain)
	local attr = stanza.attr
	return self._domain_of(attr.from) or host, self._domain_of(attr.to) or domain
end

--- The same as may_send for one stanza, by its own addresses.
function methods:may_send_stanza(session, stanza)
	local server, attr = self._server, stanza.attr
	local host, domain = self:pair_of(stanza, server.host(session), server.peer(session))
	if not self:may_send(session, host, domain) then
		return false
	end
	local stream = server.stream(session)
	if stream and state_of(self, stream, host, domain) == ADMITTED then
		remember_addresses(stream, "out", attr.from, attr.to)
	end
	return true
end

--- Whether a policy is enforced for a pair of servers.
function methods:is_enforced_for(host, domain)
	return is_enforced(policy_for(self, "s2sout", host, domain))
end

-- The hosts of ours that a stream may be used for: that it was admitted for, that its peer has
-- authenticated for, and the one of its header.
local function hosts_of(stream)
	local names = {}
	for _, hosts in ipairs { stream.admitted or {}, stream.authenticated_for or {} } do
		for host in pairs(hosts) do
			names[host] = true
		end
	end
	local own = stream:host()
	if own then
		names[own] = true
	end
	return names
end

--- Whether the server may still be checking the certificate that a server showed, before it has authenticated.
function methods:awaits_certificate_check(session)
	local server = self._server
	if server.role(session) == "c2s" or server.is_authenticated(session) then
		return false
	end
	local connection, stream = server.connection(session), server.stream(session)
	return connection ~= nil and not (stream and stream.certificate_checked_on == connection)
end

--- Whether another module is asked for its verdict on streams to a host, for which it may wait.
function methods:is_asked_of_others(host)
	return self._checks:is_asked_of_others(host)
end

local function is_asked_of_others_for(self, stream)
	for host in pairs(hosts_of(stream)) do
		if self:is_asked_of_others(host) then
			return true
		end
	end
	return false
end

local function judge_again_safely(self, session)
	local server = self._server
	local done, problem = xpcall(function ()
		self:judge_again(session)
	end, debug.traceback)
	if not done then
		server.log_limited("Internal error of the TLS policy in judging streams again", problem)
		-- Its next stanza is judged.
		self:stream(session).admitted, self:stream(session).addresses = nil, nil
	end
end

-- A client that was accepted under an exception is judged again where that no longer holds. One that hibernates is
-- judged when it comes back.
local function judge_client_again(self, session)
	local server = self._server
	local stream = server.stream(session)
	if not stream or not stream.exception or server.is_hibernating(session) then
		return
	end
	local host = stream:host()
	local policy = policy_for(self, "c2s", host, nil, session)
	if policy and policy.exception ~= stream.exception then
		judge(self, "opened", self:stream(session), { host = host, domain = nil, policy = policy })
	end
end

--- Policies have changed, or an exception has ended: each pair of each server's stream is judged
-- anew, and streams that were accepted under the older policy end. Of clients, only those count that were accepted
-- under an exception.
function methods:policies_changed()
	local server = self._server
	for _, session in ipairs(server.sessions()) do
		if server.role(session) == "c2s" then
			judge_client_again(self, session)
		elseif server.is_authenticated(session) then
			if is_asked_of_others_for(self, self:stream(session)) then
				server.in_order(session, function ()
					judge_again_safely(self, session)
				end)
			else
				judge_again_safely(self, session)
			end
		end
	end
end

--- Judges all pairs of a server's stream anew.
function methods:judge_again(session)
	local stream = self:stream(session)
	local domains = self._server.domains_of(session)
	for host in pairs(hosts_of(stream)) do
		for _, domain in ipairs(domains) do
			local policy = stream:is_authenticated_for(host, domain) and policy_for(self, stream.role, host, domain)
			if policy and judge(self, "reloaded", stream, { host = host, domain = domain, policy = policy }) then
				return
			end
		end
	end
end

return admission
