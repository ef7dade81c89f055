local client_hello = require "xmpp_tls_policy.audit.client_hello"
local core = require "xmpp_tls_policy.core"
local iana = require "xmpp_tls_policy.audit.iana"
local process = require "support.process"
local wire = require "xmpp_tls_policy.audit.wire"

describe("the registries of TLS", function ()
	it("have the numbers that OpenSSL has for the same suites", function ()
		local checked = 0
		local list = process.check { "openssl", "ciphers", "-V", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0" }
		for high, low, name in list:gmatch "0x(%x%x),0x(%x%x) %- (TLS_[%w_]+)" do
			if iana.suites[name] then
				assert.equal(tonumber(high .. low, 16), iana.suites[name], name)
				checked = checked + 1
			end
		end
		assert.is_true(checked > 80, checked)
	end)

	it("have the numbers that GnuTLS has for the same suites", function ()
		local checked = 0
		local function short(name)
			return (name:gsub("_WITH", ""):gsub("SHA1$", "SHA"):gsub("ARCFOUR", "RC4"):gsub("ANON", "anon"))
		end
		local list = process.check { "gnutls-cli", "-l" }
		for name, high, low in list:gmatch "(TLS_[%w_]+)%s+0x(%x%x), 0x(%x%x)" do
			local ours = iana.suite_names[tonumber(high .. low, 16)]
			if ours then
				assert.equal(short(ours):gsub("(CHACHA20_POLY1305)_.*", "%1"), short(name):gsub("(CHACHA20_POLY1305)_.*", "%1"))
				checked = checked + 1
			end
		end
		assert.is_true(checked > 80, checked)
	end)

	it("have one name for each number", function ()
		for name, number in pairs(iana.suites) do
			assert.equal(name, iana.suite_names[number])
		end
		assert.equal("0xFFFF", iana.name(iana.suite_names, 0xFFFF))
	end)
end)

describe("a reader of the wire format", function ()
	it("rfc8446.3.numbers-and-vectors: reads numbers and vectors", function ()
		local reader = wire.reader "\1\2\3\0\2ab!"
		assert.equal(0x010203, reader:integer(3))
		assert.equal("ab", reader:vector(2))
		assert.equal(1, reader:left())
		assert.equal("!", reader:bytes(1))
		assert.equal("\0\0\3abc", wire.vector("abc", 3))
		assert.equal("\0\1\1\0", wire.integers({ 1, 256 }, 2))
	end)

	it("gives nil, and stays where it is, when too few bytes are left", function ()
		local reader = wire.reader "\0\5ab"
		assert.is_nil(reader:vector(2))
		assert.is_nil(reader:bytes(5))
		assert.is_nil(wire.reader "\1":integer(2))
		assert.equal(4, reader:left())
		assert.equal("", wire.reader "\0":vector(1))
	end)

	it("rfc8446.4.2.extensions-once: takes no list of extensions that is cut or has one twice", function ()
		assert.same({ [1] = "", [2] = "a" }, wire.extensions "\0\1\0\0\0\2\0\1a")
		for _, bytes in ipairs { "\0", "\0\1", "\0\1\0\1", "\0\1\0\0\0\1\0\0" } do
			assert.is_nil(wire.extensions(bytes))
		end
	end)
end)

describe("a ClientHello made by hand", function ()
	local offer = {
		versions = { "TLSv1.3", "TLSv1.2" }, suites = { "TLS_AES_128_GCM_SHA256", "TLS_RSA_WITH_NULL_SHA" },
		groups = { "x25519", "secp256r1" }, server_name = "a.test", compressions = { "deflate", "null" },
		extensions = { { 16, "\0\4\3abc" } },
	}

	it("is read back as it was built", function ()
		local hello = client_hello.parse(client_hello.build(offer))
		assert.equal("TLSv1.2", hello.version)
		for _, field in ipairs { "versions", "suites", "groups", "compressions", "server_name" } do
			assert.same(offer[field], hello[field], field)
		end
		assert.same({ "x25519" }, hello.key_shares)
		assert.same("rsa_pss_rsae_sha256 rsa_pss_rsae_sha384", table.concat(hello.signature_schemes, " ", 1, 2))
		assert.same({ "abc" }, hello.alpn)
	end)

	it("is taken by OpenSSL as what it offers", function ()
		local server = assert(core.context.new { role = "server" })
		assert(server:observe(1, true))
		local connection = assert(core.connection.new(server))
		assert(connection:feed(client_hello.build(offer)))
		assert.is_nil(connection:handshake())
		connection:close()
		local refusals = core.observer.refusals()
		local seen = refusals[#refusals].offer
		assert.same({ 0x1301, 0x0002 }, seen.suites)
		assert.same({ 29, 23 }, seen.groups)
		assert.equal("a.test", seen.server_name)
	end)

	it("raises an error for a name that is in no registry", function ()
		assert.has_error(function ()
			client_hello.build { suites = { "TLS_OF_MY_OWN" } }
		end, "TLS_OF_MY_OWN")
	end)

	it("of SSLv2 has its form: two bytes of length, and suites of three bytes", function ()
		local bytes = client_hello.build { version = "SSLv2", suites = { "SSL_CK_RC4_128_WITH_MD5" } }
		assert.equal("\128\28\1\0\2\0\3\0\0\0\16\1\0\128" .. ("c"):rep(16), bytes)
	end)

	it("of SSLv3 has no extensions", function ()
		local hello = client_hello.parse(client_hello.build { version = "SSLv3", suites = { 5 } })
		assert.equal("SSLv3", hello.version)
		assert.same({}, hello.extensions)
	end)
end)

describe("a stranger's ClientHello", function ()
	it("is read as OpenSSL makes it", function ()
		local context = assert(core.context.new { role = "client", verify = "none" })
		assert(context:apply { minimum_version = "TLSv1.2", groups = { "secp256r1", "x25519" } })
		local connection = assert(core.connection.new(context, { server_name = "b.test", alpn = "xmpp-client" }))
		connection:handshake()
		local hello = client_hello.parse(connection:take())
		connection:close()
		assert.same({ "TLSv1.3", "TLSv1.2" }, hello.versions)
		assert.same({ "secp256r1", "x25519" }, hello.groups)
		assert.same({ "secp256r1" }, hello.key_shares)
		assert.same({ "xmpp-client" }, hello.alpn) -- rfc7301.3.1.protocol-list
		assert.equal("b.test", hello.server_name)
	end)

	it("that is cut anywhere is none", function ()
		local bytes = client_hello.build { versions = { "TLSv1.3" }, suites = { 0x1301 }, server_name = "a.test" }
		for length = 0, #bytes - 1 do
			assert.is_nil(client_hello.parse(bytes:sub(1, length)))
		end
	end)

	it("with malformed extensions has no value for them, and raises no error", function ()
		for _, kind in ipairs { 0, 10, 16, 43, 51 } do
			for _, body in ipairs { "", "\0", "\0\9", "\255\255\255", "\0\4\0\9ab" } do
				local hello = client_hello.parse(client_hello.build {
					versions = { "TLSv1.3" }, suites = { 0x1301 }, extensions = { { kind, body } },
				})
				assert.equal(body, hello.extensions[kind])
				assert.is_nil(hello.server_name)
			end
		end
	end)

	it("rfc6066.3.server-name-list: has the first name of the list, if that is a host name", function ()
		local function name_of(body)
			return client_hello.parse(client_hello.build { suites = { 5 }, extensions = { { 0, body } } }).server_name
		end
		assert.equal("a", name_of "\0\8\0\0\1a\0\0\1b")
		assert.is_nil(name_of "\0\4\1\0\1a")
	end)
end)
