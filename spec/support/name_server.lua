--- A small DNS server on loopback, for specs: it answers over UDP from a table, signs if told to, and misbehaves
-- if told to.
local mime = require "mime"
local pki = require "support.pki"
local uv = require "luv"

local name_server = {}

local types = { A = 1, CNAME = 5, AAAA = 28, SRV = 33, RRSIG = 46, DNSKEY = 48, TLSA = 52, CAA = 257 }
local names_of_types = {}
for name, number in pairs(types) do
	names_of_types[number] = name
end

local function u16(number)
	return string.char(math.floor(number / 256) % 256, number % 256)
end

local function u32(number)
	return u16(math.floor(number / 65536)) .. u16(number % 65536)
end

--- A name as DNS writes it.
function name_server.wire(name)
	return (name:gsub("([^.]+)%.?", function (label)
		return string.char(#label) .. label
	end)) .. "\0"
end
local wire = name_server.wire

--- Data of records.
function name_server.a(address)
	return (address:gsub("(%d+)%.?", function (byte)
		return string.char(byte)
	end))
end

function name_server.srv(priority, weight, port, target)
	return u16(priority) .. u16(weight) .. u16(port) .. wire(target)
end

function name_server.caa(flags, tag, value)
	return string.char(flags, #tag) .. tag .. value
end

-- ---- signing (RFC 4034, RFC 8080) ------------------------------------------------

local ALGORITHM, TTL = 15, 60

local function key_tag(data)
	local sum = 0
	for index = 1, #data do
		sum = sum + data:byte(index) * (index % 2 == 1 and 256 or 1)
	end
	return (sum + math.floor(sum / 65536)) % 65536
end

-- A key for a zone: { anchor = its trust anchor, sign = function(owner, type, list of data) -> data of RRSIG }.
local function new_key(zone)
	local path = pki.path ".pem"
	pki.run { "openssl", "genpkey", "-algorithm", "ed25519", "-out", path }
	local public = pki.run({ "openssl", "pkey", "-in", path, "-pubout", "-outform", "DER" }):sub(-32)
	local data = u16(257) .. string.char(3, ALGORITHM) .. public
	local key = { data = data }
	key.anchor = ("%s. IN DNSKEY 257 3 %d %s"):format(zone, ALGORITHM, (mime.b64(public)))
	function key.sign(owner, type_number, records)
		local now, labels = os.time(), select(2, owner:gsub("[^.]+", ""))
		local head = u16(type_number) .. string.char(ALGORITHM, labels) .. u32(TTL) .. u32(now + 3600) .. u32(now - 3600)
			.. u16(key_tag(data)) .. wire(zone)
		local sorted = {}
		for index, record in ipairs(records) do
			sorted[index] = wire(owner) .. u16(type_number) .. u16(1) .. u32(TTL) .. u16(#record) .. record
		end
		table.sort(sorted)
		local signed = pki.write(head .. table.concat(sorted), ".dat")
		return head .. pki.run { "openssl", "pkeyutl", "-sign", "-inkey", path, "-rawin", "-in", signed }
	end
	return key
end

-- ---- answers ------------------------------------------------------------------------

local function read_name(message, position)
	local labels = {}
	while true do
		local size = message:byte(position)
		if size == 0 then
			return table.concat(labels, "."):lower(), position + 1
		end
		labels[#labels + 1], position = message:sub(position + 1, position + size), position + 1 + size
	end
end

local function record(owner, type_number, data)
	return wire(owner) .. u16(type_number) .. u16(1) .. u32(TTL) .. u16(#data) .. data
end

-- The records of an answer, their number and the response code.
local function answer_of(server, name, type_number)
	local zone = server.zones[name]
	if zone and type(zone[1]) == "number" then
		return "", 0, zone[1]
	end
	local data = zone and zone[names_of_types[type_number]]
	if server.key and name == server.signed and type_number == types.DNSKEY then
		data = { server.key.data }
	end
	local parts = {}
	for index, bytes in ipairs(data or {}) do
		parts[index] = record(name, type_number, bytes)
	end
	if data and server.key and ("." .. name):sub(-#server.signed - 1) == "." .. server.signed
		and not (zone and zone.unsigned) then
		local signed = zone and zone.forged and { "forged" } or data
		parts[#parts + 1] = record(name, types.RRSIG, server.key.sign(name, type_number, signed))
	end
	return table.concat(parts), #parts, (zone or data) and 0 or 3
end

local function reply(server, message)
	local name, after = read_name(message, 13)
	local type_number = message:byte(after) * 256 + message:byte(after + 1)
	server.asked[#server.asked + 1] = ("%s %s"):format(name, names_of_types[type_number] or type_number)
	local answers, count, code = answer_of(server, name, type_number)
	return message:sub(1, 2) .. string.char(0x85, 0x80 + code) .. u16(1) .. u16(count) .. u16(0) .. u16(1)
		.. message:sub(13, after + 3) .. answers
		-- EDNS, with the bit DO
		.. "\0" .. u16(41) .. u16(1232) .. u32(0x8000) .. u16(0)
end

--- Starts a server. `zones`: name -> { A = list of data, SRV = …, …; [1] = a response code instead; unsigned,
-- forged = true: without a signature, or with a wrong one }; nil: such a name does not exist.
-- `options`: { signed = the zone that is signed, spoil = function(reply, query) -> another reply or nil }.
-- Returns { address = "127.0.0.1@PORT", asked = list of "NAME TYPE", anchor = trust anchor, stop = function }.
function name_server.start(zones, options)
	options = options or {}
	local server = { zones = zones, asked = {}, signed = options.signed, key = options.signed and new_key(options.signed) }
	local handle = uv.new_udp()
	assert(handle:bind("127.0.0.1", 0))
	handle:recv_start(function (_, message, from)
		if message and #message > 16 then
			local answer = reply(server, message)
			if options.spoil then
				answer = options.spoil(answer, message)
			end
			if answer then
				handle:send(answer, from.ip, from.port)
			end
		end
	end)
	server.address = ("127.0.0.1@%d"):format(handle:getsockname().port)
	server.anchor = server.key and server.key.anchor
	function server.stop()
		handle:close()
		-- With a handle that is not freed yet, luv crashes when the Lua state is closed.
		uv.run "nowait"
	end
	return server
end

return name_server
