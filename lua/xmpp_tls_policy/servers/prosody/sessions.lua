--- The session of a connection in Prosody; see prosody_style/sessions.lua for the fields that other servers have, too.
local chain_errors = require "xmpp_tls_policy.servers.prosody_style.chain_errors"
local modulemanager = require "core.modulemanager"
local sessions = require "xmpp_tls_policy.servers.prosody_style.sessions"()

--- All sessions of clients and servers, each once: those on connections, over HTTP, and those that
-- wait for their client to come back (XEP-0198). `module`: ours.
function sessions.all(module)
	local list, seen = {}, {}
	local function add(found)
		for _, session in pairs(found) do
			if not seen[session] then
				seen[session] = true
				list[#list + 1] = session
			end
		end
	end
	add(module:shared "/*/c2s/sessions")
	add(prosody.full_sessions)
	add(module:shared "/*/bosh/sessions")
	add(module:shared "/*/s2s/sessions")
	return list
end

--- The address of the peer, or nil.
function sessions.address(session)
	return session.ip
end

--- Whether a session waits for its client to come back on another connection (xep0198.5.resumption).
function sessions.is_hibernating(session)
	return session.hibernating ~= nil or session.conn == nil and sessions.carrier(session) == nil
end

--- The errors in the chain of the peer's certificate: a list of { depth (from 0, or text), message }.
function sessions.chain_errors(session)
	return chain_errors(session.cert_chain_errors)
end

--- The authority behind a certificate that this server takes for valid: "PKIX", a certificate
-- authority, with the name in the certificate; "DANE" (RFC 6698); "other", a module of the operator.
-- nil if there is none.
function sessions.vouched_by(session)
	if not sessions.has_valid_certificate(session) then
		return nil
	end
	local extra = session.conn and session.conn.extra
	if session.direction == "outgoing" and type(extra) == "table" and extra.tlsa then
		return "DANE"
	elseif sessions.has_trusted_chain(session) then
		return "PKIX"
	end
	return session.direction == "incoming" and modulemanager.is_loaded("*", "s2s_auth_dane_in") and "DANE" or "other"
end

--- The context that the server chose for STARTTLS on a session, or nil.
function sessions.starttls_context(session)
	return session.ssl_ctx
end

--- Gives a session another context for STARTTLS.
function sessions.set_starttls_context(session, context)
	session.ssl_ctx = context
end

--- Calls action() in the session's own coroutine, after all elements that came in before, and before
-- those that come: there handlers may wait (util.async). Without such a coroutine it is called at once.
function sessions.in_order(session, action)
	local thread, is_begun = session.thread, false
	if not thread then
		return action()
	end
	local function begin()
		if not is_begun then
			is_begun = true
			action()
		end
	end
	-- Prosody 13 has items for this. 0.12 looks into each item for the name of an event of streams.
	thread:run(setmetatable({ event = "callback", name = "tls-policy", callback = begin }, { __index = begin }))
end

return sessions
