--- Addresses of hosts, by the server's own resolver.
local adns = require "net.adns"

local resolver = {}

--- See contract.lua.
function resolver.resolve(name, callback)
	local addresses, waiting, problem = {}, 2, nil
	local function take(field)
		return function (answer, message)
			for _, record in ipairs(answer or {}) do
				addresses[#addresses + 1] = record[field]
			end
			problem = message or problem
			waiting = waiting - 1
			if waiting == 0 then
				callback(addresses[1] and addresses or nil, ("no address of %s is known%s"):format(name,
					problem and (" (%s)"):format(problem) or ""))
			end
		end
	end
	adns.lookup(take "a", name, "A")
	adns.lookup(take "aaaa", name, "AAAA")
end

return resolver
