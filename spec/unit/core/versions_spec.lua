-- The versions that are read of contexts, which are remembered for contexts that are alike.
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local pki = require "support.pki"
local ssl = require "ssl"

local VERSIONS = { "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" }

local OLD = { "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA" }
local NEW = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256" }

-- Each part of a context that decides about its versions, as a server may make it, or as settings do.
local PARTS = {
	{ { options = {} }, { options = { "no_tlsv1", "no_tlsv1_1" } }, { options = { "no_tlsv1_3" } } },
	{ { level = 0 }, { level = 2 } },
	{ { curveslist = "X25519:ffdhe2048" }, { curveslist = "brainpoolP256r1" }, { curveslist = "ffdhe2048" } },
	{ { ciphersuites = "TLS_AES_128_GCM_SHA256" }, { ciphersuites = "", protocol = "tlsv1_2" } },
	{
		{}, { settings = { ciphers = OLD } }, { settings = { ciphers = NEW } },
		{ settings = { maximum_version = "TLSv1.2" } },
		{ settings = { minimum_version = "TLSv1.3" } }, { settings = { dh_bits = 3072 } },
		{ settings = { insecure_strength = true } }, { settings = { insecure_versions = true } },
		{ settings = { groups = { "secp256r1" } } }, { settings = { security_level = 1 } },
	},
}

-- All combinations of the parts.
local function product(place, chosen, list)
	if not PARTS[place] then
		list[#list + 1] = chosen
		return list
	end
	for _, part in ipairs(PARTS[place]) do
		local longer = {}
		for _, fields in ipairs { chosen, part } do
			for field, value in pairs(fields) do
				longer[field] = value
			end
		end
		product(place + 1, longer, list)
	end
	return list
end

describe("the versions of a context", function ()
	local files

	setup(function ()
		files = pki.self_signed { names = { "example.test" }, key = "rsa2048" }
	end)

	teardown(pki.remove)

	local function adopted(case)
		return assert(core.context.adopt(assert(ssl.newcontext {
			mode = "server", protocol = case.protocol or "any", certificate = files.certificate, key = files.key,
			verify = "none",
			options = case.options, curveslist = case.curveslist, ciphersuites = case.ciphersuites,
			ciphers = "ECDHE+AES:kRSA+AES:@SECLEVEL=" .. case.level,
		})))
	end

	local clients = {}
	local function client(version)
		if not clients[version] then
			clients[version] = assert(core.context.new { role = "client", verify = "none" })
			assert(clients[version]:apply { minimum_version = version, maximum_version = version, security_level = 0,
				groups = { "x25519", "brainpoolP256r1", "secp256r1", "ffdhe2048" } })
		end
		return clients[version]
	end

	-- The versions of a new context of a case, or the reason why its settings were refused.
	local function read(case)
		local made = adopted(case)
		local _, message = made:apply(case.settings or {})
		local settings = made:settings()
		return { settings.minimum_version, settings.maximum_version, message }, made
	end

	local function place_of(version)
		for place, name in ipairs(VERSIONS) do
			if name == version then
				return place
			end
		end
	end

	it("are those that handshakes negotiate, whatever contexts were read before #comparison", function ()
		local cases, first, refused = product(1, {}, {}), {}, 0
		for index, case in ipairs(cases) do
			local made
			first[index], made = read(case)
			local minimum, maximum = place_of(first[index][1]), place_of(first[index][2])
			refused = refused + (first[index][3] and 1 or 0)
			for place, version in ipairs(VERSIONS) do
				local one = handshake.between(client(version), made, nil, { role = "server" })
				local inside = minimum and place >= minimum and place <= maximum
				assert.is_true(not one or inside or false, ("%d: %s"):format(index, version))
				assert.is_true(one ~= nil or place ~= minimum and place ~= maximum, ("%d: no %s"):format(index, version))
			end
			made:close()
		end
		assert.is_true(refused > 0 and refused < #cases / 2, refused)
		-- The other way round, each comes after others.
		for index = #cases, 1, -1 do
			assert.same(first[index], (read(cases[index])), index)
		end
	end)

	-- A handshake may fail for more reasons than a version shows, so these are read only.
	it("are told apart by suites of TLS 1.3 alone, and while a context is disabled", function ()
		local base = { options = {}, level = 1, curveslist = "X25519" }
		local with, made = read(base)
		assert.equal("TLSv1.3", with[2])
		base.ciphersuites = ""
		assert.equal("TLSv1.2", (read(base))[2])
		assert(made:disable())
		assert.is_nil(made:settings().maximum_version)
		assert(made:release())
		assert.equal("TLSv1.3", made:settings().maximum_version)
	end)
end)
