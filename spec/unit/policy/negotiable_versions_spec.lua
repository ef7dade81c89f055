-- The versions that the key of a server's certificate leaves.
local handshake = require "support.handshake"
local core = require "xmpp_tls_policy.core"
local negotiable_versions = require "xmpp_tls_policy.policy.negotiable_versions"
local pki = require "support.pki"

local rsa = { key_type = "RSA" }
local ec = { key_type = "EC", curve = "secp256r1" }
local gcm = { "TLS_AES_128_GCM_SHA256" }

local function settings(ciphers, more)
	local made = {
		minimum_version = "TLSv1.2", ciphers = ciphers, ciphersuites = gcm, groups = { "x25519", "secp256r1" },
		dh_bits = 2048,
	}
	for name, value in pairs(more or {}) do
		made[name] = value
	end
	return made
end

local both = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" }
local only_rsa = { both[1], "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" }
local only_12 = { maximum_version = "TLSv1.2" }

-- Settings, certificate, versions.
local cases = {
	{ settings(both), rsa, "TLSv1.2 TLSv1.3" },
	{ settings(both), ec, "TLSv1.2 TLSv1.3" },
	{ settings(only_rsa), rsa, "TLSv1.2 TLSv1.3" },
	{ settings(only_rsa), ec, "TLSv1.3" },
	{ settings(only_rsa, only_12), ec, "" },
	{ settings({ both[2] }, only_12), rsa, "" },
	{ settings(only_rsa), nil, "TLSv1.2 TLSv1.3" },
	{ settings(only_rsa), false, "" },
	{ settings({}), rsa, "TLSv1.3" },
	{ settings(both, { ciphersuites = {} }), rsa, "TLSv1.2" },
}

describe("the versions that can be negotiated", function ()
	local certificates = {}

	setup(function ()
		local authority = pki.authority()
		certificates.RSA = authority:issue { names = { "a.test" }, key = "rsa2048" }
		certificates.EC = authority:issue { names = { "a.test" }, key = "p256" }
	end)

	teardown(pki.remove)

	for index, case in ipairs(cases) do
		it(("are those that suites, groups and the key leave (case %d)"):format(index), function ()
			assert.equal(case[3], table.concat(negotiable_versions.of(case[1], case[2]), " "))
		end)

		-- The core takes no empty list.
		if case[2] and case[1].ciphers[1] and case[1].ciphersuites[1] then
			it(("are those that OpenSSL negotiates (case %d)"):format(index), function ()
				local issued = certificates[case[2].key_type]
				local found = {}
				for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
					local server = assert(core.context.new {
						role = "server", certificate = issued.certificate, key = issued.key,
					})
					assert(server:apply(case[1]))
					local client = assert(core.context.new { role = "client", verify = "none" })
					assert(client:apply { minimum_version = version, maximum_version = version })
					found[#found + 1] = handshake.between(client, server) and version or nil
				end
				assert.equal(case[3], table.concat(found, " "))
			end)
		end
	end

	it("are said to be lost where the key is the reason", function ()
		assert.is_nil((negotiable_versions.lost(settings(only_rsa), rsa)))
		assert.is_nil((negotiable_versions.lost(settings({}), rsa)))
		assert.same({ "TLS 1.2 cannot be negotiated: none of the cipher suites fits the EC key of the certificate", false },
			{ negotiable_versions.lost(settings(only_rsa), ec) })
		assert.is_true(select(2, negotiable_versions.lost(settings(only_rsa, only_12), ec)))
	end)
end)
