--- Parts of a server that specs need beside those of the contract (servers/contract.lua): options of its own. Each kind
-- of server declares which of them it lacks, and why. Specs ask for a part, never for a name.
local contract = require "xmpp_tls_policy.servers.contract"

local surface = {}

surface.parts = {
	["option.c2s_ssl"] = "clients and servers may have TLS settings of their own on a host",
	["dialback.key"] = "the harness computes the key of a host for dialback from its option dialback_secret",
	["storage.none"] = "a driver of the server's finds nothing that was stored, and stores nothing",
	["option.s2s_secure_auth"] = "an option ends the streams of servers that no valid certificate vouches for",
}

--- The surface of a kind of server. `adapter`: its adapter's lacks.lua; `own`: part of the above -> why it lacks it.
-- left_out: part -> how many specs were left out for want of it.
function surface.new(adapter, own)
	local self = { lacks = own, left_out = {} }

	--- Why the server lacks a part, or nil.
	function self.reason(part)
		assert(surface.parts[part] or contract.parts[part], part)
		return own[part] or adapter[part]
	end

	--- To be called in a spec: leaves it out, by busted's `pending`, where the server lacks the part.
	function self.need(part, pending)
		local reason = self.reason(part)
		if reason then
			self.left_out[part] = (self.left_out[part] or 0) + 1
			pending(("%s: %s"):format(part, reason))
		end
	end

	return self
end

return surface
