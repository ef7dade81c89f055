--- What passes on streams: without TLS nothing but what leads to it, and to each host
-- only what its policy has accepted.
local filters = require "util.filters"
local jid = require "util.jid"
local server = require "xmpp_tls_policy.prosody.server"
local stanza = require "util.stanza"
local streams = require "xmpp_tls_policy.prosody.streams"

local guard = {}

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"
local xmlns_streams = "http://etherx.jabber.org/streams"

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

--- Lets nothing but what leads to TLS pass on sessions without it, and nothing reach
-- a host whose policy the connection does not satisfy. `policy_of`: function(session)
-- -> policy, `policy_of_host`: function(host, domain of the peer) -> policy; nil where
-- the module is not in force; `see`: function(policy, session, host, domain), asked where
-- a server's stanza reaches a host, true if it closed the stream. Returns a function that
-- ends it.
function guard.start(policy_of, policy_of_host, see)
	local active = true
	local function pass(element, session)
		if active and authenticated[session.type] and stanza.is_stanza(element) then
			return may_reach(policy_of_host, see, session, element) and element or nil
		end
		local unauthenticated = incoming[session.type] or session.type == "s2sout_unauthed"
		if not active or not unauthenticated or session.secure and not streams.is_spoofed(session)
			or not stanza.is_stanza(element) or not server.speaks_xmpp_itself(session) then
			return element
		end
		local policy = strictest_policy(policy_of, policy_of_host, session, element)
		if not policy or not streams.requires_tls(policy) or may_pass(session, element) then
			return element
		end
		streams.refuse_plaintext(policy, session, element)
		return nil
	end
	local function add(session)
		filters.add_filter(session, "stanzas/in", pass, 1000)
	end
	filters.add_filter_hook(add)
	return function ()
		active = false
		filters.remove_filter_hook(add)
	end
end

return guard
