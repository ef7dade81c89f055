local client_hello = require "xmpp_tls_policy.audit.client_hello"
local core = require "xmpp_tls_policy.core"
local offers = require "support.offers"
local pki = require "support.pki"
local server_answer = require "xmpp_tls_policy.audit.server_answer"
local wire = require "xmpp_tls_policy.audit.wire"

local vector = wire.vector

local function record(kind, body)
	return string.char(kind) .. "\3\3" .. vector(body, 2)
end

local function message(kind, body)
	return string.char(kind) .. vector(body, 3)
end

local function server_hello(suite, extensions)
	return message(2, "\3\3" .. ("r"):rep(32) .. vector("id", 1) .. wire.integer(suite, 2) .. "\0"
		.. (extensions and vector(extensions, 2) or ""))
end

-- The answer to bytes; they come whole, and again one at a time.
local function answer_to(bytes, sslv2)
	local whole, parser = server_answer.new(sslv2):feed(bytes), server_answer.new(sslv2)
	local piecemeal
	for position = 1, #bytes do
		piecemeal = parser:feed(bytes:sub(position, position))
		if piecemeal then
			break
		end
	end
	assert.same(whole, piecemeal)
	return whole, parser
end

describe("the answer of OpenSSL", function ()
	local server, files

	setup(function ()
		files = pki.authority():issue { names = { "a.test" }, key = "rsa2048" }
		server = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
		assert(server:apply { insecure_versions = true, minimum_version = "TLSv1", maximum_version = "TLSv1.3",
			security_level = 0, dh_bits = 2048, no_compression = true })
	end)

	teardown(pki.remove)

	local function ask(offer)
		local connection = assert(core.connection.new(server))
		assert(connection:feed(client_hello.build(offer)))
		connection:handshake()
		local answer = answer_to(connection:take())
		connection:close()
		return answer
	end

	it("in TLS 1.2 has version, suite, curve, certificates and extensions", function ()
		local answer = ask { suites = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" }, groups = { "secp384r1" } }
		assert.equal("server_hello", answer.kind)
		assert.equal("TLSv1.2", answer.version)
		assert.equal("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", answer.suite)
		assert.equal("null", answer.compression)
		assert.equal("ECDHE", answer.key_exchange)
		assert.equal("secp384r1", answer.group) -- rfc8422.5.4.curve-parameters
		assert.equal(assert(core.certificate.from_pem(files.pem)):der(), answer.certificates[1])
		assert.is_string(answer.extensions[0xFF01])
		assert.is_string(answer.extensions[23])
		assert.is_true(answer.complete)
	end)

	it("rfc5246.7.4.3.dh-parameters: to DHE has the length of the prime", function ()
		local answer = ask(offers.dhe)
		assert.equal("DHE", answer.key_exchange)
		assert.equal(2048, answer.dhe_bits)
	end)

	it("in TLS 1.3 ends with the ServerHello", function ()
		local answer = ask { versions = { "TLSv1.3" }, suites = { "TLS_AES_256_GCM_SHA384" } }
		assert.equal("server_hello", answer.kind)
		assert.equal("TLSv1.3", answer.version)
		assert.equal("x25519", answer.group)
		assert.is_true(answer.complete)
	end)

	it("rfc8446.4.1.3.hello-retry-random: to a hello without a key share asks for one", function ()
		local answer = ask { versions = { "TLSv1.3" }, suites = { "TLS_AES_128_GCM_SHA256" }, groups = { "secp256r1" } }
		assert.equal("hello_retry_request", answer.kind)
		assert.equal("secp256r1", answer.group)
		assert.equal("TLS_AES_128_GCM_SHA256", answer.suite)
	end)

	it("to an offer that it refuses is an alert", function ()
		assert.same({ kind = "alert", level = "fatal", description = "handshake_failure", complete = true }, ask(offers.rc4))
	end)
end)

describe("an answer that was made by hand", function ()
	local key_exchange = message(12, vector("\0\0\4" .. ("p"):rep(127), 2) .. vector("\2", 2) .. vector("y", 2))

	it("may have several messages in a record, and a message in several records", function ()
		local bytes = server_hello(0x0033) .. message(11, vector("", 3)) .. key_exchange .. message(14, "")
		local one = answer_to(record(22, bytes))
		local several = answer_to(record(22, bytes:sub(1, 3)) .. record(22, bytes:sub(4, 60)) .. record(22, bytes:sub(61)))
		assert.same(one, several)
		assert.is_true(one.complete)
	end)

	it("with a prime of 1019 bits has that length, without the zeros before it", function ()
		assert.equal(127 * 8 + 3, answer_to(record(22, server_hello(0x0033) .. key_exchange .. message(14, ""))).dhe_bits)
	end)

	it("rfc6066.3.unrecognized-name-may-be-a-warning: goes on after a warning", function ()
		local answer = answer_to(record(21, "\1\112") .. record(22, server_hello(0x002F) .. message(14, "")))
		assert.equal("TLS_RSA_WITH_AES_128_CBC_SHA", answer.suite)
	end)

	it("rfc8446.5.1.record-version-is-ignored: is an alert whatever version its record has", function ()
		assert.equal("protocol_version", answer_to("\21\254\253\0\2\2\70").description)
		assert.equal("malformed", answer_to("\22\254\253" .. vector(server_hello(0x002F), 2)).kind)
	end)

	it("of an alert after a ServerHello is the alert", function ()
		local answer = answer_to(record(22, server_hello(0x0033)) .. record(21, "\2\80"))
		assert.same({ kind = "alert", level = "fatal", description = "internal_error", complete = true }, answer)
		assert.equal("close_notify", answer_to(record(21, "\1\0")).description)
	end)

	it("that takes up a session ends with the change of the cipher", function ()
		local answer = answer_to(record(22, server_hello(0x002F)) .. record(20, "\1"))
		assert.is_true(answer.resumed)
		assert.is_true(answer.complete)
	end)

	it("that stops after the ServerHello is there in part", function ()
		local parser = server_answer.new()
		assert.is_nil(parser:feed(record(22, server_hello(0x0005))))
		assert.equal("TLS_RSA_WITH_RC4_128_SHA", parser:partial().suite)
		assert.is_nil(parser:partial().complete)
		assert.is_nil(server_answer.new():partial())
	end)

	it("has numbers for what has no name here", function ()
		local answer = answer_to(record(22, server_hello(0xFAFA) .. message(14, "")))
		assert.equal("0xFAFA", answer.suite)
	end)

	it("of SSLv2 is a SERVER-HELLO or an error", function ()
		local hello = "\4\0\1\0\2\0\0\0\0\0\0"
		assert.same({ kind = "sslv2", version = "SSLv2", complete = true }, answer_to("\128\11" .. hello, true))
		assert.same({ kind = "sslv2", version = "SSLv2", complete = true }, answer_to("\0\14\3" .. hello .. "pad", true))
		assert.equal("sslv2_error_1", answer_to("\128\3\0\0\1", true).description)
		assert.equal("handshake_failure", answer_to(record(21, "\2\40"), true).description)
		assert.equal("malformed", answer_to("\128\11" .. hello).kind)
		assert.equal("malformed", answer_to("\128\0", true).kind)
	end)
end)

describe("a malformed answer", function ()
	local cases = {
		["text"] = "HTTP/1.1 400 Bad Request\r\n",
		["a stream error"] = "<stream:error>",
		["another major version"] = "\22\4\3\0\1a",
		["rfc8446.5.1.record-size: a record that is too long"] = "\22\3\3\64\1",
		["an empty record"] = record(22, ""),
		["data before the ServerHello"] = record(23, "data"),
		["a change of the cipher before it"] = record(20, "\1"),
		["a first message that is none"] = record(22, message(11, vector("", 3))),
		["an alert of three bytes"] = record(21, "\2\40\0"),
		["a ServerHello that is cut"] = record(22, message(2, "\3\3" .. ("r"):rep(32))),
		["rfc5246.7.4.1.2.longest-session-id: one with an ID of 33 bytes"] = record(22, message(2, "\3\3"
			.. ("r"):rep(32) .. vector(("i"):rep(33), 1) .. "\0\5\0")),
		["a version extension without a version"] = record(22, server_hello(5, "\0\43\0\0")),
		["an extension twice"] = record(22, server_hello(5, "\0\1\0\0\0\1\0\0")),
		["certificates that are cut"] = record(22, server_hello(0x2F) .. message(11, vector("\0\0\9der", 3))),
		["a list of certificates that is cut"] = record(22, server_hello(0x2F) .. message(11, "\0\0\9der")),
		["a DHE without a prime"] = record(22, server_hello(0x33) .. message(12, "\9\9")),
		["an ECDHE without a curve"] = record(22, server_hello(0xC02F) .. message(12, "\3")),
	}
	for name, bytes in pairs(cases) do
		it("is " .. name, function ()
			local answer = answer_to(bytes)
			assert.equal("malformed", answer.kind)
			assert.is_string(answer.message)
		end)
	end

	it("is one that does not end", function ()
		local parser, sent, answer = server_answer.new(), 0, nil
		local bytes = record(22, server_hello(0x2F)) .. record(22, ("\99\0\64\0" .. ("x"):rep(0x4000)):sub(1, 16000))
		while not answer do
			answer = parser:feed(bytes)
			sent, bytes = sent + #bytes, record(21, "\1\90"):rep(100)
			assert.is_true(sent < 300000)
		end
		assert.equal("malformed", answer.kind)
		assert.matches("longer than 262144 bytes", answer.message)
	end)

	it("changes no more after it was read", function ()
		local parser = server_answer.new()
		local answer = parser:feed(record(21, "\2\40"))
		assert.equal(answer, parser:feed(record(22, server_hello(5))))
		assert.equal("alert", answer.kind)
	end)
end)
