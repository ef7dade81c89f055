--- Ends streams that break a policy, and tells the log, the counters and other modules why.
-- A refusal is a table:
--   text        a sentence for the peer, the log and the administrator
--   condition   of the stream error: rfc6120.4.9.3.14.policy-violation or
--               rfc6120.4.9.3.8.internal-server-error; nil: the stream ends without an error
--   clauses     ids of the clauses that it breaks, as far as there are any
--   policy      the name of the policy
--   verdict     as far as there is one
--   command     by which an administrator can accept the peer, for the log; nil: none
--   encryption_required   true: an attempt at SASL is answered first
--               (rfc6120.6.5.4.encryption-required)
local shown = require "xmpp_tls_policy.text".shown

local closing = {}

local methods = {}
local metatable = { __index = methods }

--- `server`: the adapter; `refusal_log`, `metrics`: see there.
function closing.new(options)
	return setmetatable({
		_server = options.server, _refusal_log = options.refusal_log, _metrics = options.metrics,
	}, metatable)
end

-- The text may repeat names that the peer chose.
local function event_of(stream, refusal)
	return {
		session = stream.session, domain = stream:peer(), facts = stream.facts, verdict = refusal.verdict,
		policy = refusal.policy, text = shown(refusal.text),
	}
end

--- Tells of a stream that the server itself ends because of us. Its session is still whole.
function methods:note(stream, refusal)
	stream.refused = true
	self._refusal_log:add(self._server, self._metrics, stream, refusal)
	self._server.fire(stream:host(), "tls-policy/refused", event_of(stream, refusal))
end

--- Ends a stream. Returns true, so that a handler can return it.
function methods:refuse(stream, refusal)
	local server, session = self._server, stream.session
	-- The server strips a session that it ends.
	local host, event = stream:host(), event_of(stream, refusal)
	stream.refused = true
	self._refusal_log:add(server, self._metrics, stream, refusal)
	if refusal.encryption_required then
		server.send_encryption_required(session)
	end
	if refusal.condition then
		server.close(session, refusal.condition, event.text)
	else
		server.close_silently(session, event.text)
	end
	server.fire(host, "tls-policy/refused", event)
	return true
end

return closing
