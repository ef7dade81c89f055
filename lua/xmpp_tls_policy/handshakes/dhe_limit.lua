--- The bound on handshakes with DHE. One costs a server about four times as much as one with ECDHE, and
-- a client that computes nothing next to none of it. Clients that need DHE are very rare.
local core = require "xmpp_tls_policy.core"

local dhe_limit = {}

-- Seconds whose handshakes may come at once, as after a restart of the server.
local AT_ONCE = 5

--- Allows so many handshakes with DHE a second on all contexts under policies.
function dhe_limit.set(per_second)
	core.observer.limit_dhe(per_second, per_second * AT_ONCE)
end

--- Ends the bound.
function dhe_limit.clear()
	core.observer.limit_dhe(0, 0)
end

--- Why the bound refused a handshake, as a sentence that goes on from the peer's name; nil if it did
-- not. `record`: of core.observer.refusals(); `per_second`: as it was set.
function dhe_limit.explanation(record, per_second)
	if record.limit ~= "dhe" then
		return nil
	end
	return ("has nothing better than DHE, and came beyond dhe_per_second = %d; needs ECDHE, or a higher dhe_per_second")
		:format(per_second)
end

return dhe_limit
