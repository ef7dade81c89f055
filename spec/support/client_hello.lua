-- ClientHello messages made by hand: offers that no present client makes, and malformed ones.

local alerts = require "support.alerts"
local socket = require "socket"
local suites = require "support.cipher_suites"
local xmpp = require "support.xmpp"

local client_hello = {}

local versions = {
	SSLv2 = 0x0002,
	SSLv3 = 0x0300,
	TLSv1 = 0x0301,
	["TLSv1.1"] = 0x0302,
	["TLSv1.2"] = 0x0303,
	["TLSv1.3"] = 0x0304,
}

local groups = {
	secp256r1 = 23,
	secp384r1 = 24,
	secp521r1 = 25,
	x25519 = 29,
	x448 = 30,
	ffdhe2048 = 256,
	ffdhe3072 = 257,
	X25519MLKEM768 = 0x11EC,
}

local compressions = { null = 0, deflate = 1 }

local function by_number(numbers)
	local names = {}
	for name, number in pairs(numbers) do
		names[number] = name
	end
	return names
end

local version_names, suite_names = by_number(versions), by_number(suites)
local group_names, compression_names = by_number(groups), by_number(compressions)

-- A number in `size` bytes, most significant first.
local function integer(value, size)
	local bytes = {}
	for i = size, 1, -1 do
		bytes[i] = string.char(value % 256)
		value = math.floor(value / 256)
	end
	return table.concat(bytes)
end

-- Text after its length in `size` bytes.
local function vector(text, size)
	return integer(#text, size) .. text
end

local function numbers(list, known, size)
	local bytes = {}
	for i, entry in ipairs(list) do
		bytes[i] = integer(type(entry) == "number" and entry or assert(known[entry], entry), size)
	end
	return table.concat(bytes)
end

local function number_of(entry, known)
	return type(entry) == "number" and entry or assert(known[entry], entry)
end

local function extension(kind, body)
	return integer(kind, 2) .. vector(body, 2)
end

-- RSA-PSS, ECDSA and RSA PKCS#1 with SHA-2, Ed25519, then SHA-1: every scheme of a server.
local signature_schemes = {
	0x0804, 0x0805, 0x0806, 0x0403, 0x0503, 0x0603, 0x0807, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201,
}

-- Any 32 bytes are an X25519 key. Without that group the hello has no share, and the server asks for one.
local function key_share(offered)
	for _, group in ipairs(offered) do
		if group == "x25519" then
			return integer(groups.x25519, 2) .. vector(("k"):rep(32), 2)
		end
	end
	return ""
end

local function extensions(offer)
	local list, replaced = {}, {}
	for _, extra in ipairs(offer.extensions or {}) do
		replaced[extra[1]] = true
	end
	local function add(kind, body)
		if not replaced[kind] then
			list[#list + 1] = extension(kind, body)
		end
	end
	if offer.server_name then
		add(0, vector("\0" .. vector(offer.server_name, 2), 2))
	end
	local offered = offer.groups or { "x25519", "secp256r1", "ffdhe2048" }
	add(10, vector(numbers(offered, groups, 2), 2))
	add(11, vector("\0", 1))
	add(13, vector(numbers(offer.signature_schemes or signature_schemes, {}, 2), 2))
	if offer.versions then
		add(43, vector(numbers(offer.versions, versions, 2), 1))
		add(45, vector("\1", 1))
		add(51, vector(offer.key_shares or key_share(offered), 2))
	end
	add(23, "") -- extended master secret
	add(0xFF01, "\0") -- renegotiation info
	for _, extra in ipairs(offer.extensions or {}) do
		if extra[2] then
			list[#list + 1] = extension(extra[1], extra[2])
		end
	end
	return vector(table.concat(list), 2)
end

local function record(kind, version, body)
	return string.char(kind) .. integer(version, 2) .. vector(body, 2)
end

-- SSLv2's own format: no session, a challenge of 16 bytes.
local function build_sslv2(offer)
	local specifications = numbers(offer.suites, suites, 3)
	local body = "\1" .. integer(versions.SSLv2, 2) .. integer(#specifications, 2) .. integer(0, 2) .. integer(16, 2)
		.. specifications .. ("c"):rep(16)
	return integer(0x8000 + #body, 2) .. body
end

-- The bytes of a ClientHello. An offer has
--   version       the highest one, in the old field: "SSLv2", "SSLv3", "TLSv1" … "TLSv1.2" (default)
--   versions      list of the extension of TLS 1.3; without it TLS 1.3 is not offered
--   suites        names or numbers
--   compressions  default { "null" }
--   groups, signature_schemes, server_name, key_shares (bytes), session_id (bytes)
--   extensions    { { number, bytes }, … }, which replace the default ones; without bytes, the extension
--                 is left out
function client_hello.build(offer)
	local version = number_of(offer.version or "TLSv1.2", versions)
	if version == versions.SSLv2 then
		return build_sslv2(offer)
	end
	local body = integer(version, 2)
		.. ("r"):rep(32)
		.. vector(offer.session_id or offer.versions and ("s"):rep(32) or "", 1)
		.. vector(numbers(offer.suites, suites, 2), 2)
		.. vector(numbers(offer.compressions or { "null" }, compressions, 1), 1)
	if version > versions.SSLv3 then
		body = body .. extensions(offer)
	end
	return record(22, math.min(version, versions.TLSv1), "\1" .. vector(body, 3))
end

-- A cursor over bytes. Reading past the end gives nil.
local function reader(bytes)
	local position = 1
	local self = {}
	function self.integer(size)
		if position + size - 1 > #bytes then
			return nil
		end
		local value = 0
		for i = position, position + size - 1 do
			value = value * 256 + bytes:byte(i)
		end
		position = position + size
		return value
	end
	function self.bytes(size)
		local text = bytes:sub(position, position + size - 1)
		position = position + size
		return text
	end
	function self.vector(size)
		return self.bytes(self.integer(size) or 0)
	end
	function self.rest()
		return #bytes - position + 1
	end
	return self
end

local function named(list, names, size)
	local result = {}
	local cursor = reader(list)
	while cursor.rest() >= size do
		local number = cursor.integer(size)
		result[#result + 1] = names[number] or ("0x%04X"):format(number)
	end
	return result
end

local function parse_extensions(bytes)
	local found = {}
	local cursor = reader(bytes)
	while cursor.rest() >= 4 do
		local kind = cursor.integer(2)
		found[kind] = cursor.vector(2)
	end
	return found
end

-- RFC 8446 4.2.8: the number of a group, the length of the key, and the key.
local function key_shares(bytes)
	local result = {}
	local cursor = reader(bytes:sub(3))
	while cursor.rest() >= 4 do
		local number = cursor.integer(2)
		result[#result + 1] = group_names[number] or ("0x%04X"):format(number)
		cursor.vector(2)
	end
	return result
end

-- The offer in a peer's ClientHello (a whole record): { version, versions, suites, compressions,
-- groups, key_shares (of which groups), server_name, extensions = { [number] = bytes } }. A suite
-- without a name here is "0x…".
function client_hello.parse(bytes)
	local cursor = reader(bytes:sub(10))
	local hello = { version = version_names[cursor.integer(2)] }
	cursor.bytes(32)
	cursor.vector(1)
	hello.suites = named(cursor.vector(2), suite_names, 2)
	hello.compressions = named(cursor.vector(1), compression_names, 1)
	local found = parse_extensions(cursor.vector(2))
	hello.extensions = found
	hello.versions = found[43] and named(found[43]:sub(2), version_names, 2)
	hello.groups = found[10] and named(found[10]:sub(3), group_names, 2)
	hello.key_shares = found[51] and key_shares(found[51])
	hello.server_name = found[0] and found[0]:sub(6)
	return hello
end

-- The random that makes a ServerHello a HelloRetryRequest (RFC 8446, 4.1.3).
local hello_retry_request = "\207\33\173\116\229\154\97\17\190\29\140\2\30\101\184\145"
	.. "\194\162\17\22\122\187\140\94\7\158\9\226\200\168\51\156"

local function parse_server_hello(body)
	local cursor = reader(body)
	local version = cursor.integer(2)
	local random = cursor.bytes(32)
	cursor.vector(1)
	local suite, compression = cursor.integer(2), cursor.integer(1)
	local found = parse_extensions(cursor.vector(2))
	if found[43] then
		version = reader(found[43]).integer(2)
	end
	return {
		kind = random == hello_retry_request and "hello_retry_request" or "server_hello",
		version = version_names[version] or version,
		suite = suite_names[suite] or suite,
		compression = compression_names[compression] or compression,
	}
end

local function parse_answer(bytes)
	local cursor = reader(bytes)
	local kind = cursor.integer(1)
	cursor.integer(2)
	local body = cursor.vector(2)
	if kind == 21 and #body == 2 then
		local number = body:byte(2)
		return {
			kind = "alert",
			level = body:byte(1) == 2 and "fatal" or "warning",
			description = alerts[number] or tostring(number),
		}
	elseif kind == 22 and body:byte(1) == 2 then
		return parse_server_hello(body:sub(5))
	end
	return { kind = "other", bytes = bytes }
end

local function read_record(peer, deadline)
	while true do
		local length = #peer.buffer >= 5 and reader(peer.buffer:sub(4, 5)).integer(2)
		if length and #peer.buffer >= 5 + length then
			return peer.buffer
		end
		local data, reason = peer:receive(deadline)
		if not data then
			return nil, reason
		end
		peer.buffer = peer.buffer .. data
	end
end

-- A connection to a target (see prosody.lua), after STARTTLS and before the first byte of TLS.
function client_hello.connect(target, options)
	local peer = xmpp.connect(target, options)
	if not target.direct_tls then
		local features, reason, text = peer:open()
		local ready
		if features then
			ready, reason, text = peer:request_tls()
		end
		if not ready then
			peer:close()
			error(("no STARTTLS: %s: %s"):format(tostring(reason), tostring(text)), 2)
		end
	end
	peer.buffer = ""
	return peer
end

-- Sends an offer, or any bytes, and returns the answer:
--   { kind = "alert", level = "fatal", description = "handshake_failure" }
--   { kind = "server_hello" or "hello_retry_request", version, suite, compression }
--   { kind = "closed", reason }    { kind = "timeout" }    { kind = "other", bytes }
-- An alert also has closed = true if the server then closed the connection.
-- options: timeout in seconds (30), from (s2s).
function client_hello.send(target, offer, options)
	local timeout = options and options.timeout or 30
	local peer = client_hello.connect(target, options)
	peer:send(type(offer) == "string" and offer or client_hello.build(offer))
	local bytes, reason = read_record(peer, socket.gettime() + timeout)
	local answer
	if bytes then
		answer = parse_answer(bytes)
		if answer.kind == "alert" then
			answer.closed = peer:read_all(timeout) ~= nil
		end
	elseif reason == "timeout" then
		answer = { kind = "timeout", bytes = peer.buffer }
	elseif peer.buffer ~= "" then
		answer = { kind = "other", bytes = peer.buffer }
	else
		answer = { kind = "closed", reason = reason }
	end
	peer:close()
	return answer
end

-- Sends bytes and closes the connection without waiting for an answer.
function client_hello.abandon(target, bytes, options)
	local peer = client_hello.connect(target, options)
	peer:send(bytes)
	peer:close()
end

return client_hello
