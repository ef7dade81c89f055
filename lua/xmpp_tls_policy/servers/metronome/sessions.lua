--- The session of a connection in Metronome; see prosody_style/sessions.lua for the fields that other servers have,
-- too.
local chain_errors = require "xmpp_tls_policy.servers.prosody_style.chain_errors"
local filters = require "xmpp_tls_policy.servers.metronome.filters"
local sessions = require "xmpp_tls_policy.servers.prosody_style.sessions"()

--- All sessions of clients and servers, each once: those on connections, over HTTP, and those that
-- wait for their client to come back (XEP-0198). `module`: ours.
function sessions.all(module)
	local list, seen = {}, {}
	local function add(session)
		if not seen[session] then
			seen[session] = true
			list[#list + 1] = session
		end
	end
	for _, found in ipairs {
		module:shared "/*/c2s/sessions", metronome.full_sessions, module:shared "/*/bosh/sessions",
		module:shared "/*/s2s/sessions",
	} do
		for _, session in pairs(found) do
			add(session)
		end
	end
	for session in pairs(metronome.incoming_s2s) do
		add(session)
	end
	return list
end

--- The address of the peer, or nil.
function sessions.address(session)
	return session.ip or session.conn and session.conn:ip() or nil
end

--- Whether a session waits for its client to come back on another connection (xep0198.5.resumption).
function sessions.is_hibernating(session)
	return session.halted ~= nil or session.conn == nil and sessions.carrier(session) == nil
end

-- Session -> { connection, named = whether the certificate names the domain of the header }. Metronome keeps one
-- answer for a session, which is about the domain that was checked last.
local identities = setmetatable({}, { __mode = "k" })

-- Lua 5.1 keeps a session for a connection that leads to it (see certificate_checks.lua).
local weak_connection = { __mode = "v" }

-- Session -> the connection on which the certificate does not count for the domain of the header.
local rejected = setmetatable({}, { __mode = "kv" })

--- Whether the server found that the peer's certificate names the domain of the header.
function sessions.has_valid_identity(session)
	local connection, domain = sessions.connection(session), sessions.peer(session)
	if not connection or not domain or session.cert_chain_status ~= "valid" or rejected[session] == connection then
		return false
	end
	local known = identities[session]
	if not known or known.connection ~= connection or known.domain ~= domain then
		known = setmetatable({
			connection = connection, domain = domain, named = sessions.names_domain(session, domain),
		}, weak_connection)
		identities[session] = known
	end
	return known.named
end

--- Whether the server found the peer's certificate valid for the domain that the header names.
function sessions.has_valid_certificate(session)
	return sessions.has_valid_identity(session)
end

--- Tells the server that the peer's certificate is not for the domain that the header names.
function sessions.set_identity_invalid(session)
	rejected[session] = sessions.connection(session)
	sessions.forget_identity(session)
end

--- Tells the server that the peer's certificate is not for the domain that it checked last.
function sessions.forget_identity(session)
	session.cert_identity_status = "invalid"
end

--- Whether the server took the peer's certificate for the domain that it checked last.
function sessions.took_identity(session)
	return session.cert_identity_status == "valid"
end

--- The errors in the chain of the peer's certificate: a list of { depth (from 0, or text), message }.
function sessions.chain_errors(session)
	local connection = sessions.connection(session)
	local valid, errors
	if connection and connection.getpeerverification then
		valid, errors = connection:getpeerverification()
	end
	return chain_errors(not valid and errors)
end

--- The authority behind a certificate that this server takes for valid; see contract.lua. Metronome knows no DANE.
function sessions.vouched_by(session)
	if not sessions.has_valid_certificate(session) then
		return nil
	end
	return sessions.has_trusted_chain(session) and "PKIX" or "other"
end

local connection_of = sessions.connection

--- The LuaSec connection of a session whose TLS is XMPP's own, else nil. A connection of Metronome calls itself
-- encrypted once STARTTLS is agreed on, and a session that waits for its client keeps the one that was closed.
function sessions.connection(session)
	local connection = session.halted == nil and connection_of(session) or nil
	return connection and connection.dohandshake and connection or nil
end

local function close(session, reason, text)
	local silence = filters.silencer(session)
	-- Before authentication the header was sent whenever we are asked. Metronome may note that later.
	if session.direction and not sessions.is_authenticated(session) then
		session.notopen = nil
	end
	session:close(reason, text)
	silence()
end

--- Ends a stream with an error (rfc6120.4.9.1.1.error-ends-stream). The server also logs `text`.
function sessions.close(session, condition, text)
	close(session, { condition = condition, text = text }, text)
end

--- Ends a stream without an error, so that nothing but the end is sent. `text`: for the log.
function sessions.close_silently(session, text)
	close(session, nil, sessions.role(session) ~= "c2s" and text or nil)
end

--- Metronome handles each element when it comes, so action() is called at once.
function sessions.in_order(_, action)
	return action()
end

return sessions
