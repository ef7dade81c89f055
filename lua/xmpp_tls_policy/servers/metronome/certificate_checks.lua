--- The checks of the certificates of servers. Metronome checks that of an incoming stream when the peer
-- authenticates, and that of an outgoing one when the stream is opened anew: here each is checked once the stream is
-- secured, before anything is offered or asked.
local moments = require "xmpp_tls_policy.servers.prosody_style.moments"
local safe_hooks = require "xmpp_tls_policy.servers.metronome.safe_hooks"
local sessions = require "xmpp_tls_policy.servers.metronome.sessions"

local certificate_checks = {}

local methods = {}
local metatable = { __index = methods }

-- Session -> connection. A followed connection leads to its session, which Lua 5.1 would keep for that.
local followed = setmetatable({}, { __mode = "kv" })

-- The admission that hears of the end of streams; nil: none. Streams outlive a load of the module, and refer to
-- nothing of it.
local present_admission

--- `service`: see service.lua.
function certificate_checks.new(service)
	return setmetatable({
		_admission = service.admission, _moments = moments.new(service),
		_checked = setmetatable({}, { __mode = "kv" }), -- see followed
	}, metatable)
end

--- Tells the admission of the end of streams. Returns a function that ends that.
function methods:follow_ends()
	local admission = self._admission
	present_admission = admission
	return function ()
		if present_admission == admission then
			present_admission = nil
		end
	end
end

-- Metronome has events for the end of authenticated streams alone. Calls the admission before Metronome strips the
-- session.
local function follow_end(session)
	local connection = session.conn
	if followed[session] == connection then
		return
	end
	followed[session] = connection
	local close, ondisconnect, has_ended = session.close, connection.ondisconnect, false
	local function ended()
		local admission = present_admission
		if admission and not has_ended then
			has_ended = true
			safe_hooks.call("the end of a stream", admission.ended, admission, session)
		end
	end
	function session.close(...)
		ended()
		return close(...)
	end
	function connection.ondisconnect(...)
		ended()
		return ondisconnect(...)
	end
end

--- Metronome has compared a certificate with a domain: `from` of an incoming stream, `to` of an outgoing one; nil: that
-- of the header.
function methods:looked_at(session, from, to)
	local header = sessions.peer(session)
	local domain = sessions.role(session) == "s2sout" and to or from or header
	if not domain or not sessions.connection(session) then
		return
	elseif domain == header then
		self._moments:certificate_named(session, domain)
		follow_end(session)
	end
	if not sessions.took_identity(session) then
		return
	elseif domain == header then
		if not sessions.has_valid_identity(session) then
			sessions.forget_identity(session)
		end
		return
	end
	local names, enforced = self._admission:certificate_names(session, domain)
	if enforced and names == false then
		sessions.forget_identity(session)
	end
end

-- The same event as that of Metronome's own checks, on the host of the stream.
local function check(session)
	local present = metronome.hosts[sessions.host(session)]
	if present then
		present.events.fire_event("s2s-check-certificate-status", session)
	end
end

--- A server's stream is opened. Once it is secured, its certificate is checked. Returns true if the stream was
-- ended.
function methods:opened(session)
	local connection = sessions.role(session) ~= "c2s" and sessions.is_secure(session) and sessions.connection(session)
	if not connection or self._checked[session] == connection then
		return nil
	end
	self._checked[session] = connection
	check(session)
	return self._admission:certificate_checked(session, sessions.peer(session)) or nil
end

--- The admission for a filter of elements, which see them before all handlers: the certificate is checked before the
-- first element of a secured stream is judged.
function methods:before_elements()
	local admission, checks = self._admission, self
	return setmetatable({
		may_pass = function (_, session, element)
			return not checks:opened(session) and admission:may_pass(session, element)
		end,
		-- No handler of Metronome's waits.
		awaits_certificate_check = function ()
			return false
		end,
	}, { __index = admission })
end

return certificate_checks
