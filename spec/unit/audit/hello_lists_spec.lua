local client_hello = require "xmpp_tls_policy.audit.client_hello"
local versions = require "xmpp_tls_policy.audit.probes.versions"

describe("the hello for a version", function ()
	local function hello(version)
		return client_hello.parse(client_hello.build(versions.offers[version]))
	end

	local function has(list, name)
		for _, other in ipairs(list) do
			if other == name then
				return true
			end
		end
		return false
	end

	it("offers this version, and nothing newer", function ()
		for _, version in ipairs { "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2" } do
			assert.equal(version, hello(version).version)
			assert.is_nil(hello(version).versions)
		end
		assert.same({ "TLSv1.3" }, hello "TLSv1.3".versions)
		assert.same({}, hello "TLSv1.3".key_shares)
	end)

	it("rfc5746.3.signalling-suite: of SSLv3 tells by a suite that it supports secure renegotiation", function ()
		assert.is_true(has(hello "SSLv3".suites, "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"))
		assert.is_false(has(hello "TLSv1".suites, "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"))
		assert.equal("\0", hello "TLSv1".extensions[0xFF01])
	end)

	it("rfc7919.4.own-group-without-offer: before TLS 1.3 offers no group for DHE", function ()
		assert.is_false(has(hello "TLSv1.2".groups, "ffdhe2048"))
		assert.is_true(has(hello "TLSv1.2".groups, "secp256r1"))
		assert.is_true(has(hello "TLSv1.3".groups, "ffdhe2048"))
	end)

	it("offers suites that the version has", function ()
		assert.is_false(has(hello "TLSv1".suites, "TLS_RSA_WITH_AES_128_GCM_SHA256"))
		assert.is_true(has(hello "TLSv1".suites, "TLS_RSA_WITH_AES_128_CBC_SHA"))
		assert.is_true(has(hello "TLSv1.2".suites, "TLS_RSA_WITH_AES_128_GCM_SHA256"))
		assert.is_true(has(hello "TLSv1.3".suites, "TLS_SHA256_SHA256"))
	end)
end)
