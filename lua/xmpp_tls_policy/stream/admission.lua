--- What is decided on streams, where a handshake cannot: what is offered, what was
-- negotiated, and how a stream ends. What passes on them is guard.lua's.
local core = require "xmpp_tls_policy.core"
local escaped = require "xmpp_tls_policy.text".escaped
local events = require "xmpp_tls_policy.servers.prosody.events"
local metrics = require "xmpp_tls_policy.metrics"
local quote = require "xmpp_tls_policy.text".quote
local server = require "xmpp_tls_policy.servers.prosody.server"
local stanza = require "util.stanza"
local refused = require "xmpp_tls_policy.handshakes.failed_handshakes"

local streams = {}

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"
local xmlns_sasl = "urn:ietf:params:xml:ns:xmpp-sasl"

-- Policies give way to newer ones at a reload.
local weak = { __mode = "k" }

local roles = {
	c2s_unauthed = "c2s", c2s = "c2s",
	s2sin_unauthed = "s2sin", s2sin = "s2sin",
	s2sout_unauthed = "s2sout", s2sout = "s2sout",
}

--- The role of a session: "c2s", "s2sin" or "s2sout"; nil for others.
function streams.role(session)
	return roles[session.type]
end

--- To be called once when a stream is refused, before it is closed; the session is
-- stripped then. `details`: clauses = ids of those that it breaks, facts, verdict and
-- policy = its name, each as far as there is one. Returns a function to be called after
-- the stream was closed.
local function tell(session, text, details)
	local host, domain = server.host(session), server.peer(session)
	refused.stream(session, host, roles[session.type], domain, text, details.clauses)
	return function ()
		events.fire(host, "tls-policy/refused", {
			session = session, domain = domain, facts = details.facts, verdict = details.verdict,
			policy = details.policy, text = text,
		})
	end
end

--- Ends a stream with an error (RFC 6120 4.9). `details` as in tell, nil for none.
-- Returns true.
function streams.refuse(session, condition, text, details)
	local told = tell(session, text, details or {})
	session:close({ condition = condition, text = text }, nil, text)
	told()
	return true
end

--- Ends a stream whose TLS the policy could not be brought to.
function streams.refuse_without_tls(session)
	return streams.refuse(session, "internal-server-error",
		"TLS is not available; the log of the server says why")
end

-- A clause that only a stream can hold, as a sentence for its end.
local function sentence(policy, id, text)
	local clause = policy:explain(id)
	if not clause then
		return text
	end
	clause.clause, clause.text = clause.id, text
	return policy:sentence(clause)
end

-- Whether a clause is held, and not only reported on.
local function holds(policy, id)
	return policy.mode ~= "report" and policy:enforces(id)
end

-- The clause by which the policy wants TLS, or nil.
local function wants_tls(policy)
	return policy:enforces "support.required" and "support.required"
		or policy:enforces "support.strict" and "support.strict" or nil
end

--- The clause by which the policy lets nothing pass without TLS but what leads to it; nil
-- if it has none, or is only reported on.
function streams.requires_tls(policy)
	local id = wants_tls(policy)
	return id and holds(policy, id) and id or nil
end

--- Ends a stream on which something was to pass without TLS: an element, or (nil) all of it.
function streams.refuse_plaintext(policy, session, element)
	if element and element.name == "auth" and element.attr.xmlns == xmlns_sasl then
		-- RFC 6120 6.5.4
		local send = session.sends2s or session.send
		send(stanza.stanza("failure", { xmlns = xmlns_sasl }):tag "encryption-required":up())
	end
	local id = streams.requires_tls(policy)
	streams.refuse(session, "policy-violation",
		sentence(policy, id, "nothing but <starttls/> is accepted on a stream without TLS"),
		{ clauses = { id }, policy = policy:name() })
end

---- What was negotiated ------------------------------------------------------

--- What a verdict refuses for, in one line.
function streams.sentences(policy, verdict)
	local list = {}
	for _, breach in ipairs(verdict.broken) do
		if breach.enforced then
			list[#list + 1] = policy:sentence(breach)
		end
	end
	return table.concat(list, "; ")
end

--- The ids of the clauses that a verdict refuses for.
function streams.clauses(verdict)
	local ids = {}
	for _, breach in ipairs(verdict.broken) do
		ids[#ids + 1] = breach.enforced and breach.clause or nil
	end
	return ids
end

local function has_valid_certificate(session)
	return session.cert_chain_status == "valid" and session.cert_identity_status == "valid"
end

-- Whether a server-to-server session's certificate covers a domain; nil if it showed
-- none. The server has looked for the one that the stream's header names.
local function identity(session, domain)
	if domain == server.peer(session) and session.tls_policy_identity ~= nil then
		return session.tls_policy_identity
	end
	local certificate = session.tls_policy.facts.certificate
	if certificate and domain then
		return certificate:matches(domain, "xmpp-server")
	end
end

--- Whether a certificate vouches for a server-to-server session, for a domain of the
-- peer's: one that leads to a trusted root and covers it.
function streams.is_authenticated(session, domain)
	if domain == server.peer(session) then
		return has_valid_certificate(session)
	end
	return session.cert_chain_status == "valid" and identity(session, domain) or false
end

-- What the library is told of a session; see clauses.lua. A peer that is not
-- authenticated by its certificate may yet be by dialback.
local function describe(session, domain)
	return {
		domain = domain,
		service = "xmpp-server",
		identity = identity(session, domain),
		authenticated = streams.is_authenticated(session, domain),
	}
end

--- Prosody takes a session for secured as soon as its stream is opened anew, even
-- if that came in one packet with <starttls/> or <proceed/>, before any TLS.
function streams.is_spoofed(session)
	return session.secure and session.tls_policy_starttls and not server.connection(session)
end

--- To be called when STARTTLS is agreed on: from now on only TLS makes the session
-- secure.
function streams.expect_tls(session)
	session.tls_policy_starttls = true
end

local function copy(fields)
	local new = {}
	for field, value in pairs(fields) do
		new[field] = value
	end
	return new
end

-- Others' modules may find a connection wanting that the policy does not, by returning
-- a string from this event; nothing that they do makes it milder.
local function ask_others(session, host, domain, verdict, policy)
	local objection = events.ask(host, "tls-policy/verdict", function ()
		local broken = {}
		for index, breach in ipairs(verdict.broken) do
			broken[index] = copy(breach)
		end
		return {
			session = session, domain = domain, facts = copy(session.tls_policy.facts), policy = policy:name(),
			verdict = { refuse = verdict.refuse, broken = broken },
		}
	end)
	-- It may repeat what a stranger sent.
	return objection and escaped(objection)
end

-- What was negotiated under an exception is always said to be.
local function note_exception(policy, session, verdict)
	local exception = policy.exception
	if exception and not verdict.refuse then
		session.tls_policy.exception = exception
		session.log("info", "Accepted under the exception for %s until %s (%s)",
			exception.domain, exception.expires, quote(exception.reason))
	end
end

-- Judges a session whose facts are known, for a host of ours and a domain of its peer's.
-- True if the stream was closed.
local function judge_for(policy, session, host, domain)
	local known = session.tls_policy
	local verdict = policy:judge(known.facts, session.direction and describe(session, domain) or nil)
	local objection = ask_others(session, host, domain, verdict, policy)
	known.verdict, known.policy = verdict, policy:name()
	if policy.mode == "report" then
		known.objection = objection
		return
	end
	if verdict.refuse or objection then
		return streams.refuse(session, "policy-violation",
			verdict.refuse and streams.sentences(policy, verdict) or objection,
			{ clauses = streams.clauses(verdict), facts = known.facts, verdict = verdict, policy = policy:name() })
	end
	note_exception(policy, session, verdict)
end

-- The same, once for each policy, host and domain.
local function judge_once(policy, session, host, domain)
	local judged, key = session.tls_policy.judged, ("%s %s"):format(host or "", domain or "")
	if judged[policy] and judged[policy][key] then
		return
	end
	local closed = judge_for(policy, session, host, domain)
	judged[policy] = judged[policy] or {}
	judged[policy][key] = true
	return closed
end

-- What came of a handshake; see metrics.lua.
local function outcome(policy, session, domain, closed)
	if closed then
		return "stream_refused"
	end
	local known = session.tls_policy
	if policy.mode ~= "report" then
		return known.exception and "exception" or "accepted"
	end
	local verdict = policy:judge_as_enforced(known.facts, session.direction and describe(session, domain) or nil,
		core.observer.offer(known.connection))
	return (verdict.refuse or known.objection) and "would_refuse" or "accepted"
end

--- Judges what a secured session negotiated, and leaves facts and verdict in
-- session.tls_policy. Returns true if the stream was closed; and then, second,
-- true if nothing was known of the connection.
function streams.judge(policy, session)
	if streams.is_spoofed(session) and policy.mode ~= "report" then
		return streams.refuse(session, "policy-violation",
			"a stream was opened after STARTTLS was agreed on, and before TLS was negotiated")
	end
	local connection = session.secure and server.connection(session)
	if not connection then
		return
	end
	if not session.tls_policy or session.tls_policy.connection ~= connection then
		local facts, message = core.observer.facts(connection)
		if not facts and policy.mode == "report" then
			return nil, true
		elseif not facts then
			return streams.refuse(session, "internal-server-error", message), true
		end
		session.tls_policy = {
			connection = connection, facts = facts, mode = policy.mode, judged = setmetatable({}, weak),
		}
	end
	local role, domain, known = roles[session.type], server.peer(session), session.tls_policy
	local closed = judge_once(policy, session, server.host(session), domain)
	if not known.counted then
		known.counted = true
		metrics.handshake(role, known.facts, outcome(policy, session, domain, closed))
	end
	return closed
end

local dialback_alone = "no valid certificate vouches for %s, and dialback alone is not accepted here"

--- Whose certificate vouches for a server-to-server session, after all that check
-- it. True if the stream was closed.
function streams.judge_authentication(policy, session, domain)
	if policy.mode == "report" or policy.unauthenticated_s2s ~= "refuse"
		or streams.is_authenticated(session, domain) then
		return
	end
	return streams.refuse(session, "policy-violation",
		sentence(policy, "unauth.encrypt", dialback_alone:format(domain or "the peer")),
		{ clauses = { "unauth.encrypt" }, policy = policy:name() })
end

--- Judges a session for a domain that it has been authenticated for, and a host of ours
-- that it reaches: on one stream a server may speak for several, to several, and policy
-- and others' objections may be other ones for each. True if the stream was closed.
function streams.judge_domain(policy, session, host, domain)
	if not session.secure then
		if streams.requires_tls(policy) then
			streams.refuse_plaintext(policy, session)
			return true
		end
		return
	end
	if not session.tls_policy then
		return
	end
	return judge_once(policy, session, host, domain) or streams.judge_authentication(policy, session, domain)
end

---- What is only reported on ---------------------------------------------------

-- The ways in which a stream breaks a clause that no facts tell of.
local function breaches_of_stream(policy, session, domain)
	local breaches = {}
	if not session.secure then
		local id = session.direction == "outgoing" and policy:enforces "support.abort" and "support.abort"
			or wants_tls(policy)
		breaches[1] = id and policy:breach(id, "the stream was authenticated without TLS")
	elseif session.direction and policy.unauthenticated_s2s == "refuse"
		and not streams.is_authenticated(session, domain) then
		local sentence_of = dialback_alone:format(domain)
		breaches[1] = policy:breach("unauth.encrypt", sentence_of)
			or { clause = "unauthenticated_s2s", enforced = true, text = sentence_of }
	end
	return breaches
end

--- The verdict on an authenticated session if the policy were enforced, for a domain of a
-- server's (nil for a client).
function streams.verdict_if_enforced(policy, session, domain)
	local known = session.secure and session.tls_policy
	local verdict = { refuse = false, broken = {} }
	if known then
		verdict = policy:judge_as_enforced(known.facts, session.direction and describe(session, domain) or nil,
			core.observer.offer(known.connection))
		if known.objection then
			verdict.broken[#verdict.broken + 1] = { clause = "tls-policy/verdict", enforced = true, text = known.objection }
			verdict.refuse = true
		end
	end
	for _, breach in ipairs(breaches_of_stream(policy, session, domain)) do
		verdict.broken[#verdict.broken + 1] = breach
		verdict.refuse = true
	end
	return verdict
end

---- What is offered ----------------------------------------------------------

--- Where the policy requires TLS, its offer says so (RFC 6120 5.3.1) and stands
-- alone. The stanza that mod_tls adds is one for all streams, and not ours to
-- change.
function streams.offer_only_starttls(policy, features)
	if not streams.requires_tls(policy) then
		return
	end
	features:maptags(function (feature)
		if feature.name ~= "starttls" or feature.attr.xmlns ~= xmlns_tls then
			return nil
		elseif feature:get_child "required" then
			return feature
		end
		return stanza.clone(feature):tag "required":up()
	end)
end

--- The features of a remote server on a stream without TLS. True if the answer was
-- given.
function streams.answer_features(policy, session, features)
	if session.secure or features:get_child("starttls", xmlns_tls) then
		return
	end
	return streams.answer_silence(policy, session)
end

--- The same where a server of before XMPP 1.0 has no features.
function streams.answer_silence(policy, session)
	if session.secure then
		return
	elseif holds(policy, "support.abort") then
		local text = sentence(policy, "support.abort", "the remote server offers no STARTTLS")
		local told = tell(session, text, { clauses = { "support.abort" }, policy = policy:name() })
		-- Without a stream error: nothing more is to be sent than what closes it.
		session:close(nil, nil, text)
		told()
		return true
	elseif holds(policy, "support.attempt") and session.ssl_ctx then
		-- Whoever strips the offer may not strip the answer.
		session.sends2s(stanza.stanza("starttls", { xmlns = xmlns_tls }))
		return true
	end
end

return streams
