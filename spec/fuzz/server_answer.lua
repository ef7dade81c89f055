-- The first flight of a hostile server, as the audit reads it: a byte for the form of the hello and for
-- the size of the pieces, and the server's bytes. Each input is also the start of a mutation of a seed.
local client_hello = require "xmpp_tls_policy.audit.client_hello"
local core = require "xmpp_tls_policy.core"
local hello_answers = require "support.hello_answers"
local mutations = require "support.mutations"
local offers = require "support.offers"
local pki = require "support.pki"
local question = require "xmpp_tls_policy.audit.question"
local server_answer = require "xmpp_tls_policy.audit.server_answer"

local target = {}

local kinds = { alert = true, malformed = true, sslv2 = true, server_hello = true, hello_retry_request = true }

local function is_same(one, other)
	if type(one) ~= "table" or type(other) ~= "table" then
		return one == other
	end
	for name, value in pairs(one) do
		if not is_same(value, other[name]) then
			return false
		end
	end
	for name in pairs(other) do
		if one[name] == nil then
			return false
		end
	end
	return true
end

-- The answer to bytes in pieces of so many, or what is there of it.
local function read(bytes, size, sslv2)
	local parser, answer = server_answer.new(sslv2), nil
	for position = 1, #bytes, size do
		answer = parser:feed(bytes:sub(position, position + size - 1))
		if answer then
			break
		end
	end
	return answer or parser:partial()
end

-- Names are ours, whatever was sent; the rest is bounded by what was sent.
local function check(answer, sent)
	assert(kinds[answer.kind], "kind")
	for _, field in ipairs { "version", "suite", "compression", "group", "description", "message", "key_exchange" } do
		assert(not tostring(answer[field]):find "[%c\128-\255]", field)
	end
	assert(#(answer.session_id or "") <= 32, "session_id")
	assert((answer.dhe_bits or 0) <= 8 * #sent, "dhe_bits")
	local size = 0
	for _, der in ipairs(answer.certificates or {}) do
		size = size + #der
	end
	for _, bytes in pairs(answer.extensions or {}) do
		size = size + #bytes
	end
	assert(size <= #sent, "more than was sent")
	if answer.kind ~= "malformed" then
		assert(not question.evidence(answer):find "[%c\128-\255]", "evidence")
	end
end

local function try(bytes)
	local first = bytes:byte(1) or 0
	local sslv2, size = first % 2 == 1, math.floor(first / 2) + 1
	bytes = bytes:sub(2)
	local whole, pieces = read(bytes, math.max(1, #bytes), sslv2), read(bytes, size, sslv2)
	assert(is_same(whole, pieces), "the pieces give another answer")
	if whole then
		check(whole, bytes)
	end
end

target.test = mutations.test(target, try)

-- What OpenSSL answers to an offer.
local function openssl_answer(context, offer)
	local connection = assert(core.connection.new(context))
	assert(connection:feed(client_hello.build(offer)))
	connection:handshake()
	local bytes = connection:take()
	connection:close()
	return bytes
end

function target.seeds()
	local files = pki.authority():issue { names = { "a.test" }, key = "p256" }
	local context = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
	assert(context:apply { security_level = 0, dh_bits = 1024, ciphers = { "TLS_DH_anon_WITH_AES_128_GCM_SHA256",
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" } })
	local list = {
		"\1" .. hello_answers.sslv2, "\1\128\3\0\0\1", "\0" .. hello_answers.alert(40), "\1" .. hello_answers.alert(70),
		"\0" .. hello_answers.retry("TLS_AES_128_GCM_SHA256", "X25519MLKEM768"),
		"\0" .. hello_answers.flight {
			suite = "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", dhe_bits = 512, extensions = "\255\1\0\1\0",
		},
		"\0\21\3\3\0\2\1\112" .. hello_answers.flight { suite = "TLS_RSA_WITH_RC4_128_MD5", compression = 1 },
	}
	for _, name in ipairs { "tls13", "tls12", "anonymous", "null" } do
		list[#list + 1] = "\0" .. openssl_answer(context, offers[name])
		list[#list + 1] = "\2" .. openssl_answer(context, offers[name])
	end
	list[#list + 1] = "\0" .. openssl_answer(context, { versions = { "TLSv1.3" }, suites = { 0x1301 }, groups = { 24 } })
	pki.remove()
	return list
end

return target
