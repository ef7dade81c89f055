--- What passes on streams: without TLS nothing but what leads to it, and to each host
-- only what its policy has accepted.
local filters = require "util.filters"
local jid = require "util.jid"
local protected = require "xmpp_tls_policy.servers.prosody.safe_hooks"
local server = require "xmpp_tls_policy.servers.prosody.server"
local stanza = require "util.stanza"
local streams = require "xmpp_tls_policy.stream.admission"

local guard = {}

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"
local xmlns_streams = "http://etherx.jabber.org/streams"

-- Ends the guard that was started last: a load of the module that failed did not.
local stop

local incoming = { c2s_unauthed = true, s2sin_unauthed = true }
local authenticated = { s2sin = true, s2sout = true }

local function is_starttls(element)
	return element.name == "starttls" and element.attr.xmlns == xmlns_tls
end

-- What leads to TLS on a stream that we opened.
local function is_answer(element)
	return element.attr.xmlns == xmlns_tls or element.attr.xmlns == xmlns_streams
end

-- Once STARTTLS was agreed, Prosody has `secure` false until the stream is opened
-- anew: what comes between was sent before TLS, whatever it looks like.
local function may_pass(session, element)
	if incoming[session.type] then
		return session.secure == nil and is_starttls(element)
	end
	return session.secure == nil and is_answer(element)
end

-- The policy of the host that an element is for, as Prosody will take it, and for the
-- domain that it is from; or nil.
local function policy_of_target(policy_of_host, session, element)
	local _, host = jid.prepped_split(element.attr.to)
	local _, domain = jid.prepped_split(element.attr.from)
	domain = domain or server.peer(session)
	return host and policy_of_host(host, domain), host, domain
end

-- Whether a stanza of a server's is for a host whose policy its connection satisfies;
-- else the stream is closed. Prosody itself refuses what is from a domain that the
-- stream is not authenticated for.
local function may_reach(policy_of_host, see, session, element)
	local policy, host, domain = policy_of_target(policy_of_host, session, element)
	return not policy or not server.speaks_for(session, domain)
		or not streams.judge_domain(policy, session, host, domain) and not see(policy, session, host, domain)
end

-- Without TLS the strictest of those counts that a stream's header and an element
-- name: a header without a host must not open what a host would have closed.
local function strictest_policy(policy_of, policy_of_host, session, element)
	local of_target = policy_of_target(policy_of_host, session, element)
	if of_target and streams.requires_tls(of_target) then
		return of_target
	end
	return policy_of(session)
end

--- Lets nothing but what leads to TLS pass on sessions without it, nothing on others before
-- they are judged, and nothing reach a host whose policy the connection does not satisfy.
-- Asks, in a table:
--   policy_of       function(session) -> policy
--   policy_of_host  function(host, domain of the peer) -> policy; nil from both where the
--                   module is not in force
--   judge           function(policy, session), before anything passes on a session with TLS
--                   that is not authenticated: true if it closed the stream
--   see             function(policy, session, host, domain), where a server's stanza reaches
--                   a host: true if it closed the stream
-- `sessions`: those that are there already. Returns a function that ends it.
function guard.start(ask, sessions)
	if stop then
		stop()
	end
	local active = true
	local function may_pass_without_tls(session, element)
		local policy = strictest_policy(ask.policy_of, ask.policy_of_host, session, element)
		if not policy or not streams.requires_tls(policy) or may_pass(session, element) then
			return true
		end
		streams.refuse_plaintext(policy, session, element)
	end
	-- The events in which a session is judged come first, but another module may fail in
	-- them before we are asked.
	local function may_pass_with_tls(session)
		local policy = ask.policy_of(session)
		return not policy or policy.mode == "report" or not ask.judge(policy, session)
	end
	local function decide(element, session)
		if authenticated[session.type] then
			return may_reach(ask.policy_of_host, ask.see, session, element)
		elseif not server.speaks_xmpp_itself(session) then
			return true
		elseif session.secure and not streams.is_spoofed(session) then
			return may_pass_with_tls(session)
		end
		return may_pass_without_tls(session, element)
	end
	local function pass(element, session)
		local watched = authenticated[session.type] or incoming[session.type] or session.type == "s2sout_unauthed"
		if not active or not watched or not stanza.is_stanza(element) then
			return element
		end
		local done, may = protected.call("what passes on streams", decide, element, session)
		if not done then
			may = not protected.refuse(session)
		end
		return may and element or nil
	end
	local guarded = setmetatable({}, { __mode = "k" })
	local function add(session)
		filters.add_filter(session, "stanzas/in", pass, 1000)
		guarded[session] = true
	end
	filters.add_filter_hook(add)
	for _, session in ipairs(sessions) do
		add(session)
	end
	function stop()
		active = false
		filters.remove_filter_hook(add)
		for session in pairs(guarded) do
			filters.remove_filter(session, "stanzas/in", pass)
		end
	end
	return stop
end

return guard
