-- ClientHellos in names and words.
local client_hello = require "xmpp_tls_policy.policy.client_hello"
local hello_numbers = require "support.hello_numbers"
local offers = require "support.offers"

describe("a ClientHello", function ()
	it("has names for its numbers", function ()
		assert.same({
			versions = { "TLSv1.3", "0x7F1C" }, suites = { "TLS_AES_128_GCM_SHA256", "0xFEFE" },
			groups = { "x25519", "X25519MLKEM768", "0x6399" }, signature_schemes = { "ed25519", "0x0708" },
			server_name = "example.test", alpn = { "xmpp-client" }, cut = true,
		}, client_hello.named {
			versions = { 0x0304, 0x7F1C }, suites = { 0x1301, 0xFEFE }, groups = { 29, 4588, 0x6399 },
			signature_schemes = { 0x0807, 0x0708 }, server_name = "example.test", alpn = { "xmpp-client" }, cut = true,
		})
		assert.same({}, client_hello.named {})
	end)

	-- A number is the hash and then the signature.
	it("rfc5246.7.4.1.4.1.hash-and-signature: has names for pairs", function ()
		local hashes = { [2] = "sha1", [4] = "sha256", [5] = "sha384", [6] = "sha512" }
		local curves = { [4] = "secp256r1_", [5] = "secp384r1_", [6] = "secp521r1_" }
		for hash, name in pairs(hashes) do
			assert.same({ "rsa_pkcs1_" .. name, "ecdsa_" .. (curves[hash] or "") .. name }, client_hello.named {
				signature_schemes = { hash * 256 + 1, hash * 256 + 3 },
			}.signature_schemes)
		end
	end)

	it("rfc8446.4.2.3.signature-schemes: has names for the newer ones", function ()
		assert.same({
			"rsa_pss_rsae_sha256", "rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512", "ed25519", "ed448", "rsa_pss_pss_sha256",
			"rsa_pss_pss_sha384", "rsa_pss_pss_sha512",
		}, client_hello.named {
			signature_schemes = { 0x0804, 0x0805, 0x0806, 0x0807, 0x0808, 0x0809, 0x080A, 0x080B },
		}.signature_schemes)
	end)

	it("has no more names than somebody reads, and escaped ones", function ()
		local hello = { suites = {}, server_name = "a\nb", alpn = { "x\0" } }
		for index = 1, 33 do
			hello.suites[index] = 0x1301
		end
		local named = client_hello.named(hello)
		assert.equal(32, #named.suites)
		assert.same({ "a\\010b", { "x\\000" }, true }, { named.server_name, named.alpn, named.cut })
		hello.suites[33] = nil
		assert.is_nil(client_hello.named(hello).cut)
	end)

	for _, case in ipairs {
		{ {}, nil, nil, "an unknown version" },
		{ { versions = { 0x7F1C } }, nil, nil, "an unknown version" },
		{ { versions = { 0x0303, 0x0304, 0x0301 } }, "TLSv1.3", "TLSv1.2", "TLS 1.3" },
		{ { versions = { 0x0304 } }, "TLSv1.3", nil, "TLS 1.3" },
		{ { versions = { 0x0301, 0x0302 } }, "TLSv1.1", "TLSv1.1", "TLS 1.1" },
		{ { versions = { 0x0002 } }, "SSLv2", "SSLv2", "SSL 2.0" },
	} do
		it("has a newest version: " .. case[4], function ()
			assert.same({ case[2], case[3] }, { client_hello.newest_versions(case[1]) })
			assert.equal("offers nothing newer than " .. case[4], client_hello.newest(case[1]))
		end)
	end

	it("has a sentence for each thing that can be missing", function ()
		assert.equal("nothing newer than TLS 1.0 is offered; TLS 1.2 or newer is needed",
			client_hello.sentence(hello_numbers.of(offers.tls10), "version", "TLSv1.2"))
		assert.equal("none of the cipher suites offered complies: TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, "
			.. "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", client_hello.sentence(hello_numbers.of(offers.dhe), "suite", "TLSv1.2"))
		assert.equal("none of the groups offered complies: secp192r1, 0x6399",
			client_hello.sentence(hello_numbers.of(offers.tls12, { 19, 0x6399 }), "group", "TLSv1.2"))
		assert.equal("none of the cipher suites offered complies: none", client_hello.sentence({}, "suite", "TLSv1.2"))
	end)
end)
