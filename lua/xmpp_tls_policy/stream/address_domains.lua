--- Remembers the domains of addresses, because preparing an address is the most expensive step for
-- a stanza.
local address_domains = {}

-- Peers choose addresses, so their number is bounded.
local MOST_ADDRESSES = 2000
local LONGEST_ADDRESS = 3 * 1023 + 2 -- bytes; rfc7622.3.1.length-of-addresses

--- Returns function(address) -> the prepared domain of a JID, or nil for none. `split_jid`:
-- function(address) -> node, domain, resource, all prepared.
function address_domains.new(split_jid)
	local known, count = {}, 0
	return function (address)
		if not address then
			return nil
		end
		local domain = known[address]
		if domain == nil then
			if count >= MOST_ADDRESSES then
				known, count = {}, 0
			end
			local _, prepared = split_jid(address)
			domain = prepared or false
			if #address <= LONGEST_ADDRESS then
				known[address], count = domain, count + 1
			end
		end
		return domain or nil
	end
end

return address_domains
