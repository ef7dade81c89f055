-- The versions that lists leave something to negotiate for, beside OpenSSL's own handshakes.
local available = require "xmpp_tls_policy.policy.available"
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local pki = require "support.pki"
local usable_versions = require "xmpp_tls_policy.policy.usable_versions"

local ciphers = {
	["ECDHE with GCM"] = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" },
	["DHE with GCM"] = { "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" },
	["RSA with CBC"] = { "TLS_RSA_WITH_AES_128_CBC_SHA" },
	["ECDHE with CBC, DHE with GCM"] = { "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" },
}
local groups = {
	["a curve"] = { "x25519" }, ["a Brainpool curve"] = { "brainpoolP256r1" }, ["a finite field"] = { "ffdhe2048" },
	["a finite field and a short curve"] = { "ffdhe2048", "secp224r1" },
}

describe("the versions that lists leave something for", function ()
	local files

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
	end)

	teardown(pki.remove)

	-- Whether OpenSSL negotiates a version with a client that has everything else.
	local function negotiates(lists, version)
		local server = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
		local client = assert(core.context.new { role = "client", verify = "none" })
		assert(client:apply { security_level = 0, minimum_version = version, maximum_version = version,
			groups = { "x25519", "brainpoolP256r1", "ffdhe2048", "secp224r1" } })
		local applied = server:apply {
			security_level = 0, dh_bits = 2048, minimum_version = version, maximum_version = version,
			ciphers = lists.ciphers, ciphersuites = lists.ciphersuites, groups = lists.groups,
		}
		return applied ~= nil and handshake.between(client, server) ~= nil
	end

	for of_ciphers, list in pairs(ciphers) do
		for of_groups, names in pairs(groups) do
			it(("are those that OpenSSL negotiates: %s, %s"):format(of_ciphers, of_groups), function ()
				-- OpenSSL may be built without short curves.
				local lists = available.only { ciphers = list, ciphersuites = { "TLS_AES_128_GCM_SHA256" }, groups = names }
				for _, version in ipairs { "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" } do
					assert.equal(negotiates(lists, version), usable_versions.is_usable(lists, version), version)
				end
			end)
		end
	end

	it("come with the lists that have nothing for the others", function ()
		local lists = { ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" }, ciphersuites = {}, groups = { "x25519" } }
		assert.same({
			oldest = "TLSv1.2", newest = "TLSv1.2", lacking = { ciphers = true, ciphersuites = true },
			unusable = { { name = "TLSv1.1", lacking = { ciphers = true } },
				{ name = "TLSv1.3", lacking = { ciphersuites = true } } },
		}, usable_versions.of(lists, "TLSv1.1", "TLSv1.3"))
	end)

	it("lack nothing of a list that is unknown, or of a name that is", function ()
		for _, version in ipairs { "TLSv1", "TLSv1.3" } do
			assert.is_true(usable_versions.is_usable({}, version))
			assert.is_true(usable_versions.is_usable({ ciphers = { "TLS_NEW" }, ciphersuites = { "TLS_NEW" },
				groups = { "new" } }, version))
			assert.is_false(usable_versions.is_usable({ ciphers = {}, ciphersuites = {}, groups = {} }, version))
		end
	end)

	it("without groups keep the suites that need none", function ()
		assert.same({ "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" },
			usable_versions.without_groups(ciphers["ECDHE with CBC, DHE with GCM"]))
		assert.is_nil(usable_versions.without_groups(nil))
	end)
end)
