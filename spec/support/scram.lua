--- A client's login with SCRAM-SHA-1-PLUS, that is with a channel binding (RFC 5802), on an open stream.
local mime = require "mime"
local process = require "support.process"

local scram = {}

local function hex(bytes)
	return (bytes:gsub(".", function (character)
		return ("%02x"):format(character:byte())
	end))
end

local function bytes_of(digits)
	return (digits:gsub("%x%x", function (pair)
		return string.char(tonumber(pair, 16))
	end))
end

local function digest(input, ...)
	local output = process.check({ "openssl", "dgst", "-sha1", "-hex", ... }, { input = input })
	return bytes_of(assert(output:match "= (%x+)"))
end

local function hmac(key, input)
	return digest(input, "-mac", "HMAC", "-macopt", "hexkey:" .. hex(key))
end

local function salted_password(password, salt, iterations)
	local output = process.check {
		"openssl", "kdf", "-keylen", "20", "-kdfopt", "digest:SHA1", "-kdfopt", "hexpass:" .. hex(password),
		"-kdfopt", "hexsalt:" .. hex(salt), "-kdfopt", "iter:" .. iterations, "PBKDF2",
	}
	return bytes_of((output:gsub("[^%x]", "")))
end

local function exclusive_or(one, other)
	local bytes = {}
	for index = 1, #one do
		local a, b, sum = one:byte(index), other:byte(index), 0
		for bit = 0, 7 do
			sum = sum + ((math.floor(a / 2 ^ bit) + math.floor(b / 2 ^ bit)) % 2) * 2 ^ bit
		end
		bytes[index] = string.char(sum)
	end
	return table.concat(bytes)
end

-- The elements of the two versions of SASL (RFC 6120, XEP-0388).
local first_version = {}

local function element(name, attributes, content)
	return ("<%s xmlns='urn:ietf:params:xml:ns:xmpp-sasl'%s>%s</%s>"):format(name, attributes, content, name)
end

function first_version.begin(mechanism, bytes)
	return element("auth", (" mechanism='%s'"):format(mechanism), mime.b64(bytes))
end

function first_version.response(bytes)
	return element("response", "", mime.b64(bytes))
end

local second_version = {}

function second_version.begin(mechanism, bytes, inline)
	return ("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='%s'><initial-response>%s</initial-response>%s"
		.. "</authenticate>"):format(mechanism, mime.b64(bytes), inline)
end

function second_version.response(bytes)
	return ("<response xmlns='urn:xmpp:sasl:2'>%s</response>"):format(mime.b64(bytes))
end

--- `peer`: with the methods send(text) and read_until(pattern) of support/xmpp.lua. `binding`: {
-- name = "tls-unique", value = bytes }; or { flag = "y" or "n" }, for a login with SCRAM-SHA-1. `binding.inline`: for
-- SASL 2, what the client asks for with its login, or "". Returns whether the server accepted it, and its last answer.
function scram.login(peer, user, password, binding)
	local version = binding.inline and second_version or first_version
	local header = binding.flag and binding.flag .. ",," or ("p=%s,,"):format(binding.name)
	local first = ("n=%s,r=%s"):format(user, "fyko+d2lbbFgONRv9qkxdawL")
	peer:send(version.begin("SCRAM-SHA-1" .. (binding.flag and "" or "-PLUS"), header .. first, binding.inline))
	local text = assert(peer:read_until { "</challenge>", "</failure>" })
	local challenge = text:match "<challenge[^>]*>(.-)</challenge>"
	if not challenge then
		return false, text
	end
	challenge = mime.unb64(challenge)
	local nonce, salt, iterations = challenge:match "^r=(.-),s=(.-),i=(%d+)"
	local final = ("c=%s,r=%s"):format(mime.b64(header .. (binding.value or "")), nonce)
	local key = hmac(salted_password(password, mime.unb64(salt), iterations), "Client Key")
	local signature = hmac(digest(key), ("%s,%s,%s"):format(first, challenge, final))
	peer:send(version.response(("%s,p=%s"):format(final, mime.b64(exclusive_or(key, signature)))))
	text = assert(peer:read_until { binding.inline and "</success>" or "<success.->", "</failure>" })
	return text:find("<success", 1, true) ~= nil, text
end

return scram
