-- The network that an IP address belongs to, as far as one customer has it.
local network = {}

-- The first 64 bits of an IPv6 address (rfc6177.2.site-prefix), the
-- whole of an IPv4 address; nil stays nil. Addresses are strings as sockets return them.
function network.of(address)
	if not address or not address:find(":", 1, true) then
		return address
	end
	local front, back = address:match "^(.-)::(.*)$"
	local parts = {}
	for part in (front or address):gmatch "[^:]+" do
		parts[#parts + 1] = part
	end
	if front then
		local _, count = back:gsub("[^:]+", "")
		for _ = #parts + 1, 8 - count do
			parts[#parts + 1] = "0"
		end
		for part in back:gmatch "[^:]+" do
			parts[#parts + 1] = part
		end
	end
	return table.concat(parts, ":", 1, math.min(4, #parts))
end

return network
