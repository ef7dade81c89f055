--- Shapes: all that decides about a handshake and that peers with the same software and configuration have
-- in common. A shape is a string, of one of three kinds:
--   the offer of a client or server that connects to us, as the core packs it (observer.take_shape);
--   the answer of a server to which we connect: what was negotiated, as text behind a space;
--   " no TLS".
local client_hello = require "xmpp_tls_policy.policy.client_hello"
local digest = require "xmpp_tls_policy.core".digest
local suites = require "xmpp_tls_policy.policy.suites"

local shape = {}

shape.WITHOUT_TLS = " no TLS"

-- Longer ones are not kept: a shape takes 1 KiB of memory at most.
shape.LONGEST = 320

local function is_offer(packed)
	return packed:byte() ~= 32
end

local function as_hex(bytes)
	return (bytes:gsub(".", function (character)
		return ("%02x"):format(character:byte())
	end))
end

--- A short name, 12 digits, that is the same on each server.
function shape.id(packed)
	return as_hex(digest("SHA256", packed):sub(1, 6))
end

--- As text for a storage, and back; nil if the text is none of a shape.
function shape.to_text(packed)
	return as_hex(packed)
end

--- The packed shape of a text that to_text made, or nil for anything else.
function shape.from_text(text)
	if type(text) ~= "string" or #text % 2 ~= 0 or #text == 0 or #text > 2 * shape.LONGEST or text:find "[^%x]" then
		return nil
	end
	local packed = text:gsub("%x%x", function (digits)
		return string.char(tonumber(digits, 16))
	end)
	return (not is_offer(packed) or shape.offer(packed)) and packed or nil
end

-- ---- offers ------------------------------------------------------------------------

local fields = { "versions", "suites", "groups", "signature_schemes" }

local function has_bit(byte, bit)
	return math.floor(byte / 2 ^ bit) % 2 == 1
end

local function names_of(bytes)
	local names, at = {}, 1
	while at <= #bytes do
		local length = bytes:byte(at)
		names[#names + 1] = bytes:sub(at + 1, at + length)
		at = at + 1 + length
	end
	return at == #bytes + 1 and names or nil
end

--- The offer of a shape: a ClientHello as the core reads it (numbers), and { extended_master_secret,
-- secure_renegotiation }, whether the client can do them. Nil if it is no offer, or damaged.
function shape.offer(packed)
	if not is_offer(packed) then
		return nil
	end
	local bits, hello, at = packed:byte(1), {}, 2
	for index, field in ipairs(fields) do
		local count = packed:byte(at)
		if not count or #packed < at + 2 * count then
			return nil
		end
		local numbers = {}
		for number = 1, count do
			local high, low = packed:byte(at + 2 * number - 1, at + 2 * number)
			numbers[number] = high * 256 + low
		end
		hello[field] = has_bit(bits, index - 1) and numbers or nil
		at = at + 1 + 2 * count
	end
	local names = names_of(packed:sub(at))
	if not names then
		return nil
	end
	hello.alpn = has_bit(bits, 4) and names or nil
	return hello, { extended_master_secret = has_bit(bits, 5), secure_renegotiation = has_bit(bits, 6) }
end

-- The place behind the lists of an offer, where the names of ALPN begin.
local function end_of_lists(packed)
	local at = 2
	for _ = 1, #fields do
		at = at + 1 + 2 * packed:byte(at)
	end
	return at
end

--- The same shape without ALPN: with direct TLS a client has another one than with STARTTLS.
function shape.without_alpn(packed)
	if not is_offer(packed) or not has_bit(packed:byte(), 4) then
		return packed
	end
	return string.char(packed:byte() - 16) .. packed:sub(2, end_of_lists(packed) - 1)
end

--- Whether a shape may be kept: nothing of it was cut, and it is not too long.
function shape.is_whole(packed)
	return #packed <= shape.LONGEST and not (is_offer(packed) and has_bit(packed:byte(), 7))
end

-- ---- answers -----------------------------------------------------------------------

-- The facts of a connection (doc/scripting.md) that are the server's choice, and their types. The text has their
-- values in this order; more can come at its end.
local chosen = {
	{ "version", "string" }, { "cipher_suite", "string" }, { "key_exchange", "string" }, { "encryption", "string" },
	{ "bits", "number" }, { "aead", "boolean" }, { "forward_secrecy", "boolean" }, { "authentication", "string" },
	{ "group", "string" }, { "group_bits", "number" }, { "signature_scheme", "string" }, { "compression", "string" },
	{ "extended_master_secret", "boolean" }, { "secure_renegotiation", "boolean" },
}

-- The same of the server's certificate, as far as clauses judge it.
local of_certificate = { { "key_type", "string" }, { "key_bits", "number" } }

local function add_values(words, fields_of_it, facts)
	for _, field in ipairs(fields_of_it) do
		local value = facts[field[1]]
		words[#words + 1] = type(value) == field[2] and tostring(value):gsub(";", "") or ""
	end
end

--- The shape of the answer of a server, by the facts of our connection to it. `certificate`: the facts of its
-- certificate, where they are known already.
function shape.of_answer(facts, certificate)
	local words = {}
	add_values(words, chosen, facts)
	add_values(words, of_certificate, certificate or facts.certificate and facts.certificate:facts() or {})
	return " " .. table.concat(words, ";")
end

local function value_of(kind, word)
	if word == "" then
		return nil
	elseif kind == "boolean" then
		return word == "true"
	elseif kind == "number" then
		return tonumber(word)
	end
	return word
end

-- Sets fields to the words that `next_word` returns.
local function read_values(facts, fields_of_it, next_word)
	for _, field in ipairs(fields_of_it) do
		facts[field[1]] = value_of(field[2], next_word() or "")
	end
	return facts
end

--- The facts of such a shape, as far as it has them; nil if it is no answer.
function shape.answer(packed)
	if is_offer(packed) or packed == shape.WITHOUT_TLS then
		return nil
	end
	local next_word = (packed:sub(2) .. ";"):gmatch "([^;]*);"
	local facts = read_values({ role = "client", resumed = false }, chosen, next_word)
	local certificate = read_values({}, of_certificate, next_word)
	facts.compression = facts.compression or false
	facts.certificate = certificate.key_type and { facts = function ()
		return certificate
	end } or nil
	return facts
end

-- ---- in words ----------------------------------------------------------------------

-- The groups that are known, and whether one is a hybrid.
local function groups_of(hello)
	local first, has_hybrid
	for _, number in ipairs(hello.groups or {}) do
		local group = suites.groups_by_number[number]
		first = first or group and group.name
		has_hybrid = has_hybrid or group and group.kind == "hybrid"
	end
	return first, has_hybrid or false
end

--- What a shape can do at best: { version, group (names, nil: none that is known), hybrid = boolean }. Of an
-- answer it is what the server chose. The first group of an offer is the one that the client prefers.
function shape.best(packed)
	local answer = shape.answer(packed)
	if answer then
		local group = answer.group and suites.groups_by_name[answer.group:lower()]
		return { version = answer.version, group = group and group.name, hybrid = answer.key_exchange == "hybrid" }
	end
	local hello = shape.offer(packed)
	if not hello then
		return { hybrid = false }
	end
	local group, hybrid = groups_of(hello)
	return { version = client_hello.newest_versions(hello), group = group, hybrid = hybrid }
end

return shape
