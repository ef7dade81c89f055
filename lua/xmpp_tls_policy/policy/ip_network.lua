--- Networks of IP addresses in CIDR notation (rfc4632.3.1.prefix-notation).
local ip_network = {}

-- rfc4291.2.5.5.2.ipv4-mapped
local mapped_front = ("\0"):rep(10) .. "\255\255"

local function ipv4_bytes(text)
	local parts = { text:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$" }
	for index, part in ipairs(parts) do
		if #part > 3 or tonumber(part) > 255 then
			return nil
		end
		parts[index] = string.char(tonumber(part))
	end
	return parts[1] and table.concat(parts)
end

-- The bytes of groups between colons; the last may be an IPv4 address. "" has none.
local function group_bytes(text)
	local bytes = {}
	for group in (text == "" and "" or text .. ":"):gmatch "([^:]*):" do
		local made = group:find(".", 1, true) and ipv4_bytes(group)
		if not made and group:find "^%x%x?%x?%x?$" then
			local number = tonumber(group, 16)
			made = string.char(math.floor(number / 256), number % 256)
		end
		if not made or bytes[1] and #bytes[#bytes] == 4 then
			return nil
		end
		bytes[#bytes + 1] = made
	end
	return table.concat(bytes)
end

local function ipv6_bytes(text)
	local front, back = text:match "^(.-)::(.*)$"
	local first, rest = group_bytes(front or text), back and group_bytes(back) or ""
	if not first or not rest or back and not group_bytes(back) or back and front:find(".", 1, true) then
		return nil
	end
	local missing = 16 - #first - #rest
	if front and missing < 2 or not front and missing ~= 0 then
		return nil
	end
	return first .. ("\0"):rep(missing) .. rest
end

--- The bytes of an address: 4, or 16 of IPv6; 4 also of an IPv4 address inside IPv6. nil for no address.
function ip_network.bytes(address)
	if type(address) ~= "string" or #address > 60 then
		return nil
	end
	local bytes = ipv4_bytes(address) or address:find(":", 1, true) and ipv6_bytes((address:gsub("%%.*", ""))) or nil
	if bytes and #bytes == 16 and bytes:sub(1, 12) == mapped_front then
		return bytes:sub(13)
	end
	return bytes
end

-- The bytes with all bits beyond a prefix as 0.
local function masked(bytes, prefix)
	local whole, bits = math.floor(prefix / 8), prefix % 8
	local made = bytes:sub(1, whole)
	if bits > 0 then
		local unit = 2 ^ (8 - bits)
		made = made .. string.char(math.floor(math.floor(bytes:byte(whole + 1) / unit) * unit))
	end
	return made .. ("\0"):rep(#bytes - #made)
end

-- An address as text; of IPv6, with the groups of 0 at its end left out.
local function text_of(bytes)
	if #bytes == 4 then
		return ("%d.%d.%d.%d"):format(bytes:byte(1, 4))
	end
	local groups = {}
	for place = 1, 16, 2 do
		groups[#groups + 1] = ("%x"):format(bytes:byte(place) * 256 + bytes:byte(place + 1))
	end
	local last = 8
	while last > 0 and groups[last] == "0" do
		last = last - 1
	end
	return table.concat(groups, ":", 1, last) .. (last < 8 and (last == 7 and ":0" or "::") or "")
end

--- A network in CIDR notation as { text, bytes, prefix }. Or nil and what is wrong with it, a sentence that goes on
-- from its name.
function ip_network.parse(text)
	local address, length = text:match "^([^/]*)/(%d+)$"
	local bytes = address and ip_network.bytes(address)
	if not bytes or address:find("%", 1, true) then
		return nil, 'is no network; accepted: one such as "192.0.2.0/24" or "2001:db8::/32"'
	elseif #bytes == 4 and address:find(":", 1, true) then
		return nil, ("is an IPv4 network inside IPv6; write it as IPv4, such as \"%s/24\""):format(text_of(masked(bytes, 24)))
	end
	local prefix, most = tonumber(length), #bytes * 8
	if #length > 3 or prefix < 1 or prefix > most then
		return nil, ("has the prefix length %s; accepted for %s: 1 to %d"):format(length, #bytes == 4 and "IPv4" or "IPv6",
			most)
	elseif masked(bytes, prefix) ~= bytes then
		return nil, ('has bits beyond its prefix length; the network is "%s/%d", the address alone "%s/%d"'):format(
			text_of(masked(bytes, prefix)), prefix, text_of(bytes), most)
	end
	return { text = ("%s/%d"):format(text_of(bytes), prefix), bytes = bytes, prefix = prefix }
end

--- Whether a network contains an address, by its bytes.
function ip_network.contains(network, bytes)
	return #bytes == #network.bytes and masked(bytes, network.prefix) == network.bytes
end

--- Whether two networks have an address in common.
function ip_network.overlap(a, b)
	return ip_network.contains(a, b.bytes) or ip_network.contains(b, a.bytes)
end

return ip_network
