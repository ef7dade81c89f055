--- What is done at each moment of a stream, for the handlers of a server's events: they find out which session an
-- event is about, and hand on what is returned. Each returns true if the stream was ended or answered.
local core = require "xmpp_tls_policy.core"
local starttls = require "xmpp_tls_policy.stream.starttls"

local moments = {}

local methods = {}
local metatable = { __index = methods }

--- `service`: see service.lua.
function moments.new(service)
	return setmetatable({
		_server = service.server, _admission = service.admission, _contexts = service.ready_contexts,
		_shared_sessions = service.shared_sessions,
	}, metatable)
end

--- Before any feature is offered. A handshake may have ended: its session is to be shared.
function methods:opened(session)
	self._shared_sessions:drain()
	return self._admission:opened(session) or nil
end

--- After the server has put STARTTLS into the features (support.offer).
function methods:offered(session, features)
	local server, admission = self._server, self._admission
	if server.is_secure(session) or not server.speaks_xmpp_itself(session) then
		return nil
	elseif self._contexts:starttls(admission:stream(session)) == false then
		return admission:refuse(session, starttls.no_tls_refusal())
	end
	local policy = admission:policy_of(session)
	if not policy or not starttls.requires_tls(policy) then
		return nil
	elseif not server.offers_starttls(features) then
		return admission:refuse(session, starttls.no_offer_refusal(policy))
	end
	server.offer_only_starttls(features)
end

--- A stream to another server was made, and has its context.
function methods:outgoing_made(session)
	self._contexts:starttls(self._admission:stream(session))
end

-- Tells the core the name of the server at the other end, which a handshake that fails does not.
local function name_server(self, session)
	local server = self._server
	local name = server.peer(session)
	local descriptor = name and server.descriptor(session)
	if not descriptor then
		return
	end
	local done, message = core.observer.expect_server(descriptor, name)
	if not done then
		server.log_session(session, "warn", "If the TLS handshake fails, its record will not name the server: %s", message)
	end
end

-- A context belongs to one host: an element may be handled under another host than its stream's.
local function context_is_ready(self, session, host)
	if self._server.host(session) == host then
		return self._contexts:starttls(self._admission:stream(session))
	end
end

--- A peer asks for TLS, in an event of a host: the context may have been made under an older policy. There is
-- none yet where STARTTLS was not offered, because the stream has no version='1.0'
-- (rfc6120.4.7.5.no-version-no-features).
function methods:starttls_asked(session, host)
	local admission = self._admission
	local ready = context_is_ready(self, session, host)
	if ready == false then
		return admission:refuse(session, starttls.no_tls_refusal())
	elseif ready == nil and admission:is_enforced_on(session) then
		return admission:refuse(session, starttls.not_offered_refusal(admission:policy_of(session)))
	end
	admission:starttls_agreed(session)
	name_server(self, session)
end

--- A remote server is ready for TLS.
function methods:starttls_granted(session)
	self._admission:starttls_agreed(session)
	if self._server.role(session) == "s2sout" then
		name_server(self, session)
	end
end

--- A remote server offers no STARTTLS, or sends no features, being one of before XMPP 1.0
-- (rfc6120.4.7.5.no-version-no-features).
function methods:not_offered(session)
	local server, admission = self._server, self._admission
	local policy = admission:policy_of(session)
	local aborts = policy and starttls.aborts_without_offer(policy)
	if aborts then
		return admission:refuse(session, starttls.abort_refusal(policy))
	elseif aborts == false and server.starttls_context(session) then
		-- An attacker who strips the offer cannot strip the answer.
		server.send_starttls(session)
		return true
	end
end

--- The features of a remote server came, in an event of a host.
function methods:features_received(session, features, host)
	local server, admission = self._server, self._admission
	if server.role(session) ~= "s2sout" or server.host(session) ~= host then
		return nil
	elseif self._contexts:starttls(admission:stream(session)) == false then
		return admission:refuse(session, starttls.no_tls_refusal())
	elseif admission:opened(session) then
		return true
	elseif not server.is_secure(session) and not server.offers_starttls(features) then
		return self:not_offered(session)
	end
end

--- After the server's own check of a certificate, whose answer we only make stricter: it takes the Common Name
-- (rfc6125.6.4.4.no-common-name) and, on Prosody 13, the target of a signed SRV record.
function methods:certificate_named(session, domain)
	local server, admission = self._server, self._admission
	local names, enforced = admission:certificate_names(session, domain)
	if enforced and names == false and server.has_valid_identity(session) then
		server.log_session(session, "warn", "The certificate of %s does not name it as RFC 6125 requires: the Common Name "
			.. "does not count, nor does a wildcard for a top-level domain or the target of an SRV record", domain)
		server.set_identity_invalid(session)
		admission:identity_rejected(session, domain)
	end
end

return moments
