--- The command `refused`: the latest handshakes and streams that were refused, and why.
local counted = require "xmpp_tls_policy.text".counted
local new_filter = require "xmpp_tls_policy.commands.refusal_filter"
local time = require "xmpp_tls_policy.commands.output".time

-- Peers that are shown beside the latest refusals.
local MOST_PEERS = 20

-- Two lists, the latest first each, as one. Of the same second, entries of one list keep their order, and streams
-- come before handshakes, which are collected later than they fail. Only the times of handshakes have fractions.
local function merged(handshakes, streams)
	local list, next_stream = {}, 1
	for _, handshake in ipairs(handshakes) do
		while streams[next_stream] and streams[next_stream].time >= math.floor(handshake.time) do
			list[#list + 1] = streams[next_stream]
			next_stream = next_stream + 1
		end
		list[#list + 1] = handshake
	end
	for index = next_stream, #streams do
		list[#list + 1] = streams[index]
	end
	return list
end

-- Entries of failed_handshakes.lua and of refusal_log.lua in one list, and the peers that were refused
-- (see refused_peers.lua). Or nil and a message.
local function found_by(service, wanted)
	local is_wanted, message = new_filter(service.server, wanted)
	if not is_wanted then
		return nil, message
	end
	local list, peers = {}, {}
	for _, entry in ipairs(merged(service.failed_handshakes:list(), service.refusal_log:list())) do
		list[#list + 1] = is_wanted(entry) and entry or nil
	end
	for _, peer in ipairs(service.refused_peers:list()) do
		peers[#peers + 1] = is_wanted(peer) and peer or nil
	end
	return list, peers
end

-- Marks the lists in an entry, so that JSON has lists where they are empty, too.
local function with_lists(server, entry)
	server.list(entry.clauses)
	for _, value in pairs(entry.offer or {}) do
		if type(value) == "table" then
			server.list(value)
		end
	end
	return entry
end

-- The header of an incoming stream only claims a domain.
local function peer_of(entry)
	local address = entry.address or "unknown"
	if entry.domain and entry.role == "s2sin" then
		return ("%s, claims %s"):format(address, entry.domain)
	end
	return entry.domain or address
end

local function print_refusals(out, list)
	local rows = {}
	for index, entry in ipairs(list) do
		local text = entry.command and ("%s; to accept it: %s"):format(entry.text, entry.command) or entry.text
		rows[index] = { time(entry.time), entry.role or "", entry.host or "any", peer_of(entry), text,
			table.concat(entry.clauses, " ") }
	end
	if rows[1] then
		out:wrapped_table({ "Time", "Role", "Host", "From", "Why", "Clauses" }, rows, 5)
	end
end

local function print_peers(out, peers)
	local rows = {}
	for index = 1, math.min(#peers, MOST_PEERS) do
		local peer = peers[index]
		rows[index] = { ("%d"):format(peer.count), peer.role or "", peer.host or "any", peer_of(peer), time(peer.first),
			time(peer.last) }
	end
	if rows[1] then
		out:wrapped_table({ "Refused", "Role", "Host", "Peer", "First", "Last" }, rows, 5)
	end
	if #peers > MOST_PEERS then
		out:print("and %s more, which \"json\" lists", counted(#peers - MOST_PEERS, "peer"))
	end
end

--- See run.lua.
return {
	name = "refused",
	argument = "filter",
	help = "Show the latest handshakes and streams that were refused, the reasons, and how often each peer was refused. "
		.. "Filters: a domain, an address, a role (c2s, s2s, s2sin, s2sout), a clause",
	data = function (service, wanted)
		local list, peers = found_by(service, wanted)
		if not list then
			return nil, peers
		end
		for _, entry in ipairs(list) do
			with_lists(service.server, entry)
		end
		for _, peer in ipairs(peers) do
			peer.clauses = service.server.list(peer.clauses or {})
		end
		return { refused = service.server.list(list), refused_peers = service.server.list(peers) }
	end,
	show = function (out, service, wanted)
		local list, peers = found_by(service, wanted)
		if not list then
			return nil, peers
		end
		print_refusals(out, list)
		print_peers(out, peers)
		return true, ("%s shown, of %d since the server started"):format(counted(#list, "refusal"),
			service.failed_handshakes:total() + service.refusal_log:total())
	end,
}
