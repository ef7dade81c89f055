--- ClientHello messages made by hand, for offers that no TLS library of today makes, and the reading of
-- a stranger's.
local iana = require "xmpp_tls_policy.audit.iana"
local schemes = require "xmpp_tls_policy.policy.signature_schemes"
local wire = require "xmpp_tls_policy.audit.wire"

local integer, vector = wire.integer, wire.vector
local groups, versions = iana.groups, iana.versions

local client_hello = {}

local function number_of(entry, known)
	return type(entry) == "number" and entry or assert(known[entry], entry)
end

-- The numbers of names or numbers, each in `size` bytes.
local function numbers(list, known, size)
	local values = {}
	for i, entry in ipairs(list) do
		values[i] = number_of(entry, known)
	end
	return wire.integers(values, size)
end

-- RSA-PSS, ECDSA and RSA PKCS#1 with SHA-2, EdDSA, then SHA-1: every scheme of a server.
local signature_schemes = {
	0x0804, 0x0805, 0x0806, 0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x080A, 0x080B, 0x0401, 0x0501, 0x0601,
	0x0203, 0x0201,
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
			list[#list + 1] = integer(kind, 2) .. vector(body, 2)
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
			list[#list + 1] = integer(extra[1], 2) .. vector(extra[2], 2)
		end
	end
	return vector(table.concat(list), 2)
end

-- SSLv2's own format: no session, a challenge of 16 bytes.
local function build_sslv2(offer)
	local specifications = numbers(offer.suites, iana.suites, 3)
	local body = "\1" .. integer(versions.SSLv2, 2) .. integer(#specifications, 2) .. integer(0, 2) .. integer(16, 2)
		.. specifications .. ("c"):rep(16)
	return integer(0x8000 + #body, 2) .. body
end

--- The bytes of a ClientHello: a whole record. Its random bytes are fixed, for no secret is made with
-- them. An offer has
--   version       the highest one, in the old field: "SSLv2", "SSLv3", "TLSv1" … "TLSv1.2" (default)
--   versions      list of the extension of TLS 1.3; without it TLS 1.3 is not offered
--   suites        names or numbers
--   compressions  default { "null" }
--   groups        default { "x25519", "secp256r1", "ffdhe2048" }
--   signature_schemes (numbers), server_name, key_shares (bytes), session_id (bytes)
--   extensions    { { number, bytes }, … }, which replace the default ones; without bytes, the extension
--                 is left out
-- A name that iana.lua does not have raises an error.
function client_hello.build(offer)
	local version = number_of(offer.version or "TLSv1.2", versions)
	if version == versions.SSLv2 then
		return build_sslv2(offer)
	end
	local body = integer(version, 2)
		.. ("r"):rep(32)
		.. vector(offer.session_id or offer.versions and ("s"):rep(32) or "", 1)
		.. vector(numbers(offer.suites, iana.suites, 2), 2)
		.. vector(numbers(offer.compressions or { "null" }, iana.compressions, 1), 1)
	if version > versions.SSLv3 then
		body = body .. extensions(offer)
	end
	return "\22" .. integer(math.min(version, versions.TLSv1), 2) .. vector("\1" .. vector(body, 3), 2)
end

local scheme_names = {}
for number, scheme in pairs(schemes.by_number) do
	scheme_names[number] = scheme.name
end

-- ---- reading ---------------------------------------------------------------------

local function named(list, names, size)
	local result = {}
	local reader = wire.reader(list or "")
	while reader:left() >= size do
		result[#result + 1] = iana.name(names, reader:integer(size))
	end
	return result
end

-- The names of the groups of key shares (rfc8446.4.2.8.key-shares); nil if they are malformed.
local function key_shares(bytes)
	local result = {}
	local reader = wire.reader(bytes and wire.reader(bytes):vector(2) or "")
	while reader:left() > 0 do
		local number, key = reader:integer(2), reader:vector(2)
		if not key then
			return nil
		end
		result[#result + 1] = iana.name(iana.group_names, number)
	end
	return result
end

-- The first host name (rfc6066.3.server-name-list); any bytes.
local function server_name(bytes)
	local reader = bytes and wire.reader(wire.reader(bytes):vector(2) or "")
	return reader and reader:integer(1) == 0 and reader:vector(2) or nil
end

local function alpn(bytes)
	local result = {}
	local reader = wire.reader(wire.reader(bytes):vector(2) or "")
	while reader:left() > 0 do
		local name = reader:vector(1)
		if not name then
			return nil
		end
		result[#result + 1] = name
	end
	return result
end

local function read_body(bytes)
	local reader = wire.reader(bytes)
	local version, random, session_id = reader:integer(2), reader:bytes(32), reader:vector(1)
	local suites, compressions = reader:vector(2), reader:vector(1)
	local extension_bytes = reader:left() == 0 and "" or reader:vector(2)
	local found = extension_bytes and wire.extensions(extension_bytes)
	if not (version and random and session_id and suites and compressions and found) then
		return nil
	end
	return {
		version = iana.name(iana.version_names, version),
		random = random,
		session_id = session_id,
		suites = named(suites, iana.suite_names, 2),
		compressions = named(compressions, iana.compression_names, 1),
		extensions = found,
		versions = found[43] and named(wire.reader(found[43]):vector(1), iana.version_names, 2),
		signature_schemes = found[13] and named(wire.reader(found[13]):vector(2), scheme_names, 2),
		groups = found[10] and named(wire.reader(found[10]):vector(2), iana.group_names, 2),
		key_shares = found[51] and key_shares(found[51]),
		server_name = server_name(found[0]),
		alpn = found[16] and alpn(found[16]),
	}
end

--- Reads a peer's ClientHello, which is one whole record. Returns { version, random, session_id, versions,
-- suites, compressions, groups, signature_schemes, key_shares (of which groups), server_name, alpn, extensions =
-- { [number] = bytes } }, or nil if it is none. A number without a name here is "0x…"; server_name and
-- alpn may hold any bytes.
function client_hello.parse(bytes)
	local record = wire.reader(bytes)
	local kind, _, message = record:integer(1), record:integer(2), record:vector(2)
	local reader = kind == 22 and wire.reader(message or "")
	local body = reader and reader:integer(1) == 1 and reader:vector(3)
	return body and read_body(body) or nil
end

return client_hello
