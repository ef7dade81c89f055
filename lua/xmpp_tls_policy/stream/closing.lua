--- Ends streams that break a policy, and tells the log, the counters and other modules why.
-- A refusal is a table:
--   text        a sentence for the peer, the log and the administrator
--   condition   of the stream error: rfc6120.4.9.3.14.policy-violation or
--               rfc6120.4.9.3.8.internal-server-error; nil: the stream ends without an error
--   clauses     ids of the clauses that it breaks, as far as there are any
--   policy      the name of the policy
--   verdict     as far as there is one
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

--- Ends a stream. Returns true, so that a handler can return it.
function methods:refuse(stream, refusal)
	local server, session = self._server, stream.session
	-- It may repeat names that the peer chose.
	local text = shown(refusal.text)
	-- The server strips a session that it ends.
	local host, event = stream:host(), {
		session = session, domain = stream:peer(), facts = stream.facts, verdict = refusal.verdict,
		policy = refusal.policy, text = text,
	}
	self._refusal_log:add(server, self._metrics, stream, refusal)
	if refusal.encryption_required then
		server.send_encryption_required(session)
	end
	if refusal.condition then
		server.close(session, refusal.condition, text)
	else
		server.close_silently(session, text)
	end
	server.fire(host, "tls-policy/refused", event)
	return true
end

return closing
