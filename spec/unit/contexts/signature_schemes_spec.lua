-- A policy whose profile names signature schemes, on real handshakes of both roles: the product of certificates,
-- versions, schemes of the other side and levels. The expected outcome is computed from the rule: a scheme has to be
-- common, allowed by the profile, fit the key, and exist in the version.
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local pki = require "support.pki"
local ssl = require "ssl"
local tls_policy = require "xmpp_tls_policy"

-- signature.pss in the words of its section: name -> key, and the curve that TLS 1.3 demands.
local of_profile = {
	rsa_pss_rsae_sha256 = { "RSA" }, rsa_pss_rsae_sha384 = { "RSA" }, rsa_pss_rsae_sha512 = { "RSA" },
	ecdsa_secp256r1_sha256 = { "EC", "p256" }, ecdsa_secp384r1_sha384 = { "EC", "p384" },
	ecdsa_secp521r1_sha512 = { "EC", "p521" },
}
-- Those that OpenSSL has beside them, of at least 112 bits (rfc8446.4.2.3.signature-schemes).
local others = {
	rsa_pkcs1_sha256 = { "RSA" }, rsa_pkcs1_sha512 = { "RSA" }, ecdsa_sha224 = { "EC" }, ed25519 = { "ed25519" },
}
local not_in_tls13 = { rsa_pkcs1_sha256 = true, rsa_pkcs1_sha512 = true, ecdsa_sha224 = true }

local kind_of_key = { rsa2048 = "RSA", p256 = "EC", p384 = "EC", ed25519 = "ed25519" }

local offers = {
	{ "rsa_pkcs1_sha256", "rsa_pkcs1_sha512" }, { "rsa_pkcs1_sha256", "rsa_pss_rsae_sha384" },
	{ "rsa_pss_rsae_sha512" }, { "ecdsa_secp256r1_sha256" }, { "ecdsa_secp384r1_sha384", "ed25519" }, { "ed25519" },
	{ "ecdsa_sha224" }, { "ecdsa_sha224", "ecdsa_secp521r1_sha512", "rsa_pkcs1_sha256" },
	{ "ed25519", "rsa_pkcs1_sha512", "ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256" },
}

-- The schemes of the rule by which a server with a key can sign, as a set.
local function common(offer, key, version, level)
	local found = {}
	for _, name in ipairs(offer) do
		local scheme = of_profile[name] or level == "must" and others[name]
		local fits = scheme and scheme[1] == kind_of_key[key]
		if fits and version == "TLSv1.3" then
			fits = not not_in_tls13[name] and (scheme[1] ~= "EC" or scheme[2] == key)
		end
		found[name] = fits or nil
	end
	return found
end

-- signature.pss
describe("signature schemes of a profile, with real handshakes", function ()
	local certificates = {}

	setup(function ()
		local authority = pki.authority()
		for key in pairs(kind_of_key) do
			certificates[key] = authority:issue { names = { "example.test" }, key = key }
		end
	end)

	teardown(pki.remove)

	local function policy_of(level)
		return assert(tls_policy.policy { profile = "bsi-tr-02102-2-2025", level = level })
	end

	-- The core's Context of LuaSec's, under the policy; LuaSec's own has to be kept.
	local function enforced(options, policy, role)
		local luasec = assert(ssl.newcontext(options))
		local entry = adopted_contexts.new():enforce(luasec, {
			policy = policy, host = "example.test", role = role, operator = {},
		})
		assert.is_nil(entry.failure)
		return assert(core.context.adopt(luasec)), luasec, entry
	end

	local function server_options(key)
		return { mode = "server", protocol = "any", verify = "none", certificate = certificates[key].certificate,
			key = certificates[key].key }
	end

	local only = { minimum_version = true, maximum_version = true }

	local function settings(version, schemes)
		local made = { signature_schemes = schemes, groups = { "secp256r1", "secp384r1" } }
		for field in pairs(only) do
			made[field] = version
		end
		return made
	end

	-- Whether the other side can have such an offer at all: OpenSSL has no hello for schemes that the version lacks.
	local function apply(context, version, offer)
		local applied, message = context:apply(settings(version, offer))
		assert.is_true(applied ~= nil or message == "no protocol version is left", message)
		return applied ~= nil
	end

	-- Runs the handshakes of all versions and offers with one key; `ends(offer, version)` returns the contexts of client
	-- and server, nil if one cannot be. Returns how many succeeded, of how many.
	local function run(key, level, ends)
		local policy, succeeded, all = policy_of(level), 0, 0
		for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
			for _, offer in ipairs(offers) do
				local wanted = common(offer, key, version, level)
				local name = ("%s, %s, %s, %s"):format(key, level, version, table.concat(offer, " "))
				local client, server = ends(offer, version)
				local one, other
				if client then
					one, other = handshake.between(client, server, { role = "client" }, { role = "server" })
				end
				assert.equal(next(wanted) ~= nil, one ~= nil, name)
				for _, connection in ipairs(one and { one, other } or {}) do
					local facts = connection:facts()
					assert.is_true(wanted[facts.signature_scheme], name)
					local refuses = policy:judge(facts).refuse
					assert.is_false(refuses, name)
				end
				succeeded, all = succeeded + (one and 1 or 0), all + 1
			end
		end
		return succeeded, all
	end

	for key in pairs(kind_of_key) do
		for _, level in ipairs { "should", "must" } do
			it(("decide as a server with %s at level %s #comparison"):format(key, level), function ()
				local server, luasec = enforced(server_options(key), policy_of(level), "c2s")
				local succeeded, all = run(key, level, function (offer, version)
					local client = assert(core.context.new { role = "client", verify = "none" })
					return apply(client, version, offer) and client or nil, server
				end)
				assert.is_truthy(luasec)
				assert.is_true(succeeded < all and (succeeded > 0 or key == "ed25519" and level == "should"))
			end)

			it(("decide as a client of a server with %s at level %s #comparison"):format(key, level), function ()
				local client, luasec = enforced({ mode = "client", protocol = "any", verify = "none" }, policy_of(level), "s2sout")
				local succeeded, all = run(key, level, function (offer, version)
					local server = assert(core.context.new { role = "server", certificate = certificates[key].certificate,
						key = certificates[key].key })
					return apply(server, version, offer) and client or nil, server
				end)
				assert.is_truthy(luasec)
				assert.is_true(succeeded < all and (succeeded > 0 or key == "ed25519" and level == "should"))
			end)
		end
	end

	it("are asked of a client's certificate, too", function ()
		local options = server_options "p256"
		options.verify, options.verifyext = { "peer" }, { "lsec_continue" }
		local server, luasec = enforced(options, policy_of "should", "s2sin")
		for _, case in ipairs { { { "rsa_pkcs1_sha256", "ecdsa_secp256r1_sha256" }, false },
			{ { "rsa_pss_rsae_sha256", "ecdsa_secp256r1_sha256" }, true } } do
			local client = assert(core.context.new { role = "client", verify = "none",
				certificate = certificates.rsa2048.certificate, key = certificates.rsa2048.key })
			assert(client:apply(settings("TLSv1.2", case[1])))
			local _, one = handshake.between(client, server, nil, { role = "server" })
			local scheme = type(one) == "userdata" and one:facts().client_signature_scheme or nil
			assert.equal(case[2] and "rsa_pss_rsae_sha256" or nil, scheme)
		end
		assert.is_truthy(luasec)
	end)

	it("stay as the server has them under a profile that names none, and after release", function ()
		for _, profile in ipairs(tls_policy.profile_names) do
			for _, level in ipairs { "should", "must" } do
				local policy = assert(tls_policy.policy { profile = profile, level = level })
				local contexts, luasec = adopted_contexts.new(), assert(ssl.newcontext(server_options "p256"))
				local before = assert(core.context.adopt(luasec)):settings().signature_schemes
				contexts:enforce(luasec, { policy = policy, host = "example.test", role = "c2s", operator = {} })
				local context = assert(core.context.adopt(luasec))
				local names_some = profile:find "^bsi" ~= nil and level == "should"
				assert.equal(names_some, #context:settings().signature_schemes < #before, profile)
				assert.equal(names_some, policy:settings().signature_schemes ~= nil)
				contexts:enforce(luasec, { policy = tls_policy.policy { profile = "rfc9325" }, host = "example.test",
					role = "c2s", operator = {} })
				assert.same(before, context:settings().signature_schemes)
			end
		end
	end)
end)
