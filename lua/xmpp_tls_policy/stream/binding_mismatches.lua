--- Logins whose channel binding does not match: somebody may end TLS between the client and us, with a
-- certificate that the client accepts (rfc5802.6.binding-finds-interception). Strangers can cause them,
-- so everything is bounded.
local log_limit = require "xmpp_tls_policy.log_limit"
local network = require "xmpp_tls_policy.network"
local text = require "xmpp_tls_policy.text"

local binding_mismatches = {}

local methods = {}
local metatable = { __index = methods }

local function clock()
	return os.time()
end

--- `server`: the adapter; `policies`; `metrics`; `now`: function() -> UTC seconds, the system's by default;
-- `kept`: the object of the load before, or nil.
function binding_mismatches.new(options)
	local kept, now = options.kept, options.now or clock
	return setmetatable({
		_server = options.server, _policies = options.policies, _metrics = options.metrics,
		_lines = kept and kept._lines or log_limit.new { now = now },
		-- A message an hour for each host.
		_messages = kept and kept._messages or log_limit.new { now = function ()
			return now() / 60
		end },
	}, metatable)
end

local ADVICE = "Somebody may intercept the connection with another certificate. Compare the certificate that the "
	.. "client gets with that of this server (tlspolicy:status()), from the client's network"

--- Takes in a mismatch. `name`: the type of the binding; `account`: the name that the client gave, which
-- nobody has checked, or nil.
function methods:add(session, name, account)
	local server = self._server
	local host, address = server.host(session), server.address(session)
	local who = account and text.quote(account) or "a client"
	local message = ("Login of %s from %s: the channel binding %s does not match. %s"):format(who,
		address or "an unknown address", name, ADVICE)
	self._metrics:binding_mismatch(name)
	if self._lines:allows(network.of(address)) then
		server.log_session(session, "warn", "%s", message)
	end
	server.fire(host, "tls-policy/binding-mismatch", {
		session = session, host = host, account = account, address = address, type = name,
	})
	if self._policies:policy_for(host).notify_admins and self._messages:allows(host) then
		for _, jid in ipairs(server.administrators(host)) do
			server.send_message(host, jid, "A channel binding does not match", message)
		end
	end
end

return binding_mismatches
