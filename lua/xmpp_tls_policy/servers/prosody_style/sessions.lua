--- The session of a connection, as far as Prosody-style servers have the same fields. Only their folders read a
-- session's fields.
local verify_identity = require "util.x509".verify_identity

--- A table of functions (see contract.lua), to which a server's own are added.
return function ()

local sessions = {}

-- A client has authenticated and no resource yet: Prosody's "c2s_unbound".
local roles = {
	c2s_unauthed = "c2s", c2s_unbound = "c2s", c2s = "c2s",
	s2sin_unauthed = "s2sin", s2sin = "s2sin",
	s2sout_unauthed = "s2sout", s2sout = "s2sout",
}

--- The role of our end: "c2s", "s2sin" or "s2sout"; nil for a component's session and others.
function sessions.role(session)
	return roles[session.type]
end

--- Whether a client or server has authenticated.
function sessions.is_authenticated(session)
	local kind = session.type
	return kind == "c2s" or kind == "c2s_unbound" or kind == "s2sin" or kind == "s2sout"
end

--- Whether the server takes the stream for encrypted. That it does so is no proof: it believes the
-- next stream header after <starttls/> or <proceed/>.
function sessions.is_secure(session)
	return session.secure == true
end

--- Whether STARTTLS was agreed on, and the stream was not opened anew since.
function sessions.awaits_tls(session)
	return session.secure == false
end

--- Whether a session has ended; its fields are gone then.
function sessions.is_destroyed(session)
	return session.destroyed == true
end

--- Writes a line to the log under the session's name.
function sessions.log(session, level, format, ...)
	session.log(level, format, ...)
end

-- Sessions that went on on another connection -> its carrier, or false. Their own fields tell of the
-- first connection.
local carriers = setmetatable({}, { __mode = "k" })

local function carrier_of(session)
	if carriers[session] ~= nil then
		return carriers[session] or nil
	end
	if session.websocket_request or session.ws_session then
		return "WebSocket"
	end
	return (session.bosh_wait or session.bosh_version) and "BOSH" or nil
end

--- The carrier of a session that does not speak XMPP on its own connection: "BOSH" or
-- "WebSocket"; nil for one that does.
sessions.carrier = carrier_of

--- Whether a session speaks XMPP on its own connection, not through HTTP (BOSH, WebSocket),
-- which has a TLS of its own.
function sessions.speaks_xmpp_itself(session)
	return session.conn ~= nil and carrier_of(session) == nil
end

--- An old session goes on on the connection of another session (xep0198.5.resumption), which is still whole.
function sessions.carry_over(session, old)
	carriers[old] = sessions.carrier(session) or false
end

--- The domain that a server-to-server session is to or from, as far as its header says; nil for
-- clients. Of an incoming session it is a claim.
function sessions.peer(session)
	if session.direction == "outgoing" then
		return session.to_host
	end
	return session.direction == "incoming" and session.from_host or nil
end

--- The host of ours that the session's stream header names; nil while it names none.
function sessions.host(session)
	if session.direction == "outgoing" then
		return session.from_host
	elseif session.direction == "incoming" then
		return session.to_host
	end
	return session.host
end

--- The JID of a client that has authenticated: the full one, the bare one before it has bound a
-- resource; nil before.
function sessions.client_jid(session)
	if session.full_jid then
		return session.full_jid
	end
	return session.username and ("%s@%s"):format(session.username, session.host) or nil
end

--- The bare JID of a client that has authenticated, or nil.
function sessions.client_bare_jid(session)
	return session.username and ("%s@%s"):format(session.username, session.host) or nil
end

--- Whether a server-to-server session is authenticated for a domain of the peer.
function sessions.speaks_for(session, domain)
	if session.direction == "outgoing" then
		return session.type == "s2sout" and domain == session.to_host
	end
	local of_domain = session.hosts and session.hosts[domain]
	return of_domain and of_domain.authed or false
end

--- The domains of the peer that a server-to-server session is authenticated for: a list, sorted.
function sessions.domains_of(session)
	local list = {}
	local domains = session.direction == "incoming" and session.hosts or { [session.to_host or ""] = true }
	for domain in pairs(domains) do
		list[#list + 1] = sessions.speaks_for(session, domain) and domain or nil
	end
	table.sort(list)
	return list
end

--- Whether the server took the chain of the peer's certificate for valid, for whatever reason.
function sessions.has_valid_chain(session)
	return session.cert_chain_status == "valid"
end

--- Whether OpenSSL found that the peer's certificate leads to a trusted root. A chain may be valid for
-- another reason, which is one for the header's domain alone: a TLSA record (RFC 6698), or a module of
-- the operator.
function sessions.has_trusted_chain(session)
	local connection = sessions.has_valid_chain(session) and sessions.connection(session)
	return connection and connection.getpeerverification and connection:getpeerverification() == true or false
end

--- Whether the server found the peer's certificate valid for the domain that the header names.
function sessions.has_valid_certificate(session)
	return session.cert_chain_status == "valid" and session.cert_identity_status == "valid"
end

--- Whether the server found that the peer's certificate names the domain of the header.
function sessions.has_valid_identity(session)
	return session.cert_identity_status == "valid"
end

--- Whether the server's own check of names takes the peer's certificate for a domain.
function sessions.names_domain(session, domain)
	local connection = sessions.connection(session)
	local certificate = connection and connection.getpeercertificate and connection:getpeercertificate()
	return certificate ~= nil and verify_identity(domain, "xmpp-server", certificate) or false
end

--- Whether the server has checked the peer's certificate.
function sessions.has_checked_chain(session)
	return session.cert_chain_status ~= nil
end

--- Tells the server that the peer's certificate is not for the domain that the header names.
function sessions.set_identity_invalid(session)
	session.cert_identity_status = "invalid"
end

--- Whether a server's session was authenticated by SASL EXTERNAL.
function sessions.used_external(session)
	return session.external_auth == "succeeded"
end

--- The descriptor of the socket beneath a session; nil where there is none.
function sessions.descriptor(session)
	local socket = session.conn and session.conn:socket()
	local descriptor = socket and socket:getfd()
	return descriptor and descriptor >= 0 and descriptor or nil
end

--- The LuaSec connection of a session whose TLS is XMPP's own, else nil.
function sessions.connection(session)
	local conn = session.conn
	local has_tls = conn and conn.ssl
	-- A server has no carrier.
	if not has_tls or not session.direction and carrier_of(session) or not has_tls(conn) then
		return nil
	end
	return conn:socket()
end

--- The TLS of a connection that was made without us: { version, cipher, bits }, or nil.
function sessions.known_of(connection)
	local known = connection:info()
	return known and { version = known.protocol, cipher = known.cipher, bits = known.bits }
end

--- Ends a stream with an error (rfc6120.4.9.1.1.error-ends-stream). The server also logs `text`.
function sessions.close(session, condition, text)
	session:close({ condition = condition, text = text }, nil, text)
end

--- Ends a stream without an error, so that nothing but the end is sent. `text`: for the log.
function sessions.close_silently(session, text)
	session:close(nil, nil, text)
end

--- The Stream of a session (see stream/stream.lua), or nil: the one reference that a session
-- holds for us.
function sessions.stream(session)
	return session.tls_policy_stream
end

--- Gives a session its Stream.
function sessions.set_stream(session, stream)
	session.tls_policy_stream = stream
end

--- Publishes the TLS of a session to other modules: the table `session.tls_policy` that doc/scripting.md
-- documents.
function sessions.publish(session, public)
	session.tls_policy = public
end

return sessions

end
