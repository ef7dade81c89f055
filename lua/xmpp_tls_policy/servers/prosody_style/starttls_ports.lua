--- The ports on which a server offers STARTTLS.
local portmanager = require "core.portmanager"

local services = { c2s = "c2s", s2sin = "s2s" }

--- Those for clients ("c2s") or servers ("s2sin"): a list of numbers, sorted.
return function (role)
	local ports, seen = {}, {}
	for name, _, port in portmanager.get_active_services():iter(nil, nil, nil, nil) do
		if name == services[role] and not seen[port] then
			seen[port] = true
			ports[#ports + 1] = port
		end
	end
	table.sort(ports)
	return ports
end
