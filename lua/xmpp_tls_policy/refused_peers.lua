-- How often each peer was refused, first and last. Anybody can be a peer, so only those of the latest
-- refusals are known: at least `keep` and at most twice as many.
local network = require "xmpp_tls_policy.network"

local refused_peers = {}

local methods = {}
local metatable = { __index = methods }

-- `now`: function() -> UTC seconds; `keep`: see above (default 1000).
function refused_peers.new(options)
	return setmetatable({
		_now = options.now, _keep = options.keep or 1000, _number = 0,
		_new = {}, -- key -> peer: those of the latest refusals
		_old = {}, -- key -> peer: those of before
	}, metatable)
end

-- A peer is a domain; where none is known, an address, of IPv6 its /64.
local function key_of(entry)
	return table.concat({
		entry.role or "", entry.host or "", entry.domain or network.of(entry.address) or "unknown",
	}, "\0")
end

local function peer_of(self, key, now)
	local peer = self._new[key]
	if not peer then
		if self._number >= self._keep then
			self._old, self._new, self._number = self._new, {}, 0
		end
		peer = self._old[key] or { count = 0, first = now }
		self._old[key], self._new[key] = nil, peer
		self._number = self._number + 1
	end
	return peer
end

-- Counts a refusal: an entry of stream/refusal_log.lua or handshakes/failed_handshakes.lua; nil for
-- fields that are not known.
function methods:add(entry)
	local now = self._now()
	local peer = peer_of(self, key_of(entry), now)
	for _, field in ipairs { "role", "host", "domain", "address", "text", "clauses" } do
		if entry[field] ~= nil then
			peer[field] = entry[field]
		end
	end
	peer.count, peer.last = peer.count + 1, now
end

-- All peers, those that were refused most often first: a new list of new tables { count, first, last
-- (UTC seconds), role, host, domain, address, text, clauses }, the latter as of the last refusal.
function methods:list()
	local list, key_of_peer = {}, {}
	for _, peers in ipairs { self._new, self._old } do
		for key, peer in pairs(peers) do
			local copied = {}
			for field, value in pairs(peer) do
				copied[field] = value
			end
			list[#list + 1], key_of_peer[copied] = copied, key
		end
	end
	table.sort(list, function (a, b)
		if a.count ~= b.count then
			return a.count > b.count
		end
		return key_of_peer[a] < key_of_peer[b]
	end)
	return list
end

return refused_peers
