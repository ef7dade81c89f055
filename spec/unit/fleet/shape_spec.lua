-- Shapes as the core packs them, beside the offers that it tells as tables.
local client_hello = require "support.client_hello"
local core = require "xmpp_tls_policy.core"
local hello_table = require "support.hello_table"
local handshake = require "support.handshake"
local pki = require "support.pki"
local shape = require "xmpp_tls_policy.fleet.shape"

describe("a shape", function ()
	local server

	setup(function ()
		local files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
		server = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
		assert(server:apply { ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA" },
			security_level = 0 })
		assert(server:observe(1, true))
	end)

	teardown(pki.remove)

	local function connect(settings, options)
		local client = assert(core.context.new { role = "client", verify = "none" })
		assert(client:apply(settings or {}))
		local one, other = handshake.between(client, server, options, { role = "server" })
		return one and other
	end

	it("has all of an offer but the server name", function ()
		local compared = 0
		for _, row in ipairs(hello_table.clients) do
			local client = assert(core.context.new { role = "client", verify = "none" })
			local one, other
			if client:apply(row[2]) then
				one, other = handshake.between(client, server, nil, { role = "server" })
			end
			if one then
				local offer, hello = assert(other:offer()), shape.offer(assert(other:take_shape()))
				offer.server_name = nil
				assert.same(offer, hello, row[1])
				compared = compared + 1
			end
		end
		assert.is_true(compared > 10, tostring(compared))
	end)

	it("is the same for each server name, and differs with ALPN", function ()
		local packed = {}
		for index, options in ipairs { {}, { server_name = "a.test" }, { alpn = "xmpp-client" } } do
			packed[index] = assert(assert(connect(nil, options)):take_shape())
		end
		assert.equal(packed[1], packed[2])
		assert.not_equal(packed[1], packed[3])
		assert.same({ "xmpp-client" }, shape.offer(packed[3]).alpn)
		assert.is_nil(shape.offer(packed[1]).alpn)
		assert.equal(packed[1], shape.without_alpn(packed[3]))
		assert.equal(packed[1], shape.without_alpn(packed[1]))
		assert.equal(shape.WITHOUT_TLS, shape.without_alpn(shape.WITHOUT_TLS))
	end)

	it("can be taken once, after the handshake", function ()
		local other = connect()
		assert.is_string(other:take_shape())
		assert.equal("missing", select(3, other:take_shape()))
		-- An offer that is kept stays.
		assert.is_table(other:offer())
		local waiting = assert(core.connection.new(server, { role = "server" }))
		assert(waiting:feed(client_hello.build { suites = { "TLS_RSA_WITH_AES_128_CBC_SHA" } }))
		assert(not waiting:handshake())
		assert.equal("handshake", select(3, waiting:take_shape()))
		core.observer.refusals()
	end)

	it("is there where offers are not kept, and they are not", function ()
		assert(server:observe(1, false))
		local other = connect()
		assert(server:observe(1, true))
		assert.equal("missing", select(3, other:offer()))
		assert.is_string(other:take_shape())
		assert.equal("missing", select(3, other:take_shape()))
		assert.equal("missing", select(3, other:offer()))
	end)

	it("says whether the client can do the extended master secret and secure renegotiation", function ()
		local _, can = shape.offer(assert(connect { maximum_version = "TLSv1.2" }:take_shape()))
		assert.same({ extended_master_secret = true, secure_renegotiation = true }, can)
		-- By bits of the first byte.
		assert.same({ extended_master_secret = false, secure_renegotiation = false },
			select(2, shape.offer("\1\1\3\3\0\0\0")))
		assert.same({ extended_master_secret = true, secure_renegotiation = false },
			select(2, shape.offer("\33\1\3\3\0\0\0")))
		assert.same({ extended_master_secret = false, secure_renegotiation = true },
			select(2, shape.offer("\65\1\3\3\0\0\0")))
	end)

	it("is the same as text", function ()
		local packed = assert(connect():take_shape())
		for _, one in ipairs { packed, shape.WITHOUT_TLS, shape.of_answer { version = "TLSv1.2", aead = true } } do
			assert.equal(one, shape.from_text(shape.to_text(one)))
			assert.matches("^%x%x%x%x%x%x%x%x%x%x%x%x$", shape.id(one))
		end
		for _, damaged in ipairs { false, "", "0", "zz", "01ff", ("00"):rep(600), shape.to_text(packed) .. "05" } do
			assert.is_nil(shape.from_text(damaged))
		end
		-- None of its beginnings is whole.
		for length = 1, #packed - 1 do
			local hello = shape.offer(packed:sub(1, length))
			assert.is_nil(hello)
		end
	end)

	it("is read from damaged text without an error, and is whole or nil", function ()
		local packed, seed, read = assert(connect():take_shape()), 11, 0
		local function random(most)
			seed = (seed * 16807) % 2147483647
			return seed % most
		end
		for _ = 1, 300 do
			local at = 1 + random(#packed)
			local damaged = packed:sub(1, at - 1) .. string.char(random(256)) .. packed:sub(at + 1 + random(3))
			local one = shape.from_text(shape.to_text(damaged))
			if one then
				read = read + 1
				assert.equal(damaged, one)
				assert.is_table(shape.best(one))
				assert.is_string(shape.id(shape.without_alpn(one)))
			end
		end
		assert.is_true(read > 0 and read < 300, tostring(read))
	end)

	it("is not whole if it was cut, or is too long", function ()
		assert.is_true(shape.is_whole "\1\1\3\3\0\0\0")
		assert.is_false(shape.is_whole "\129\1\3\3\0\0\0")
		assert.is_false(shape.is_whole("\17\1\3\3\0\0\0" .. ("\1a"):rep(300)))
		assert.is_true(shape.is_whole(shape.WITHOUT_TLS))
	end)

	it("of an answer has the facts that clauses judge", function ()
		local facts = {
			role = "client", version = "TLSv1.2", cipher_suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", aead = true,
			key_exchange = "ECDHE", encryption = "CHACHA20-POLY1305", forward_secrecy = true, authentication = "ECDSA",
			signature_scheme = "ecdsa_secp256r1_sha256", extended_master_secret = false, bits = 256,
			group = "x25519", group_bits = 253, server_name = "far.test", compression = false,
			secure_renegotiation = true, certificate = { facts = function ()
				return { key_type = "RSA", key_bits = 2048, subject = "CN=far.test" }
			end },
		}
		local packed = shape.of_answer(facts)
		assert.is_nil(packed:find("far.test", 1, true))
		assert.is_true(shape.is_whole(packed))
		local answer = shape.answer(packed)
		assert.same({ key_type = "RSA", key_bits = 2048 }, answer.certificate.facts())
		for _, name in ipairs {
			"version", "cipher_suite", "aead", "bits", "group", "group_bits", "compression", "role", "key_exchange",
			"encryption", "forward_secrecy", "authentication", "signature_scheme", "extended_master_secret",
			"secure_renegotiation",
		} do
			assert.equal(facts[name], answer[name], name)
		end
		assert.is_nil(answer.server_name)
		assert.is_nil(shape.answer(shape.WITHOUT_TLS))
		assert.is_nil(shape.offer(packed))
	end)

	it("tells the best that it can do", function ()
		assert.same({ version = "TLSv1.3", group = "x25519", hybrid = false },
			shape.best "\7\2\3\4\3\3\1\19\1\1\0\29\0")
		assert.same({ version = "TLSv1.3", group = "X25519MLKEM768", hybrid = true },
			shape.best "\7\1\3\4\1\19\1\2\17\236\0\29\0")
		assert.same({ version = "TLSv1.2", group = "x25519", hybrid = false },
			shape.best(shape.of_answer { version = "TLSv1.2", group = "x25519", key_exchange = "ECDHE" }))
		assert.same({ hybrid = false }, shape.best(shape.WITHOUT_TLS))
	end)
end)
