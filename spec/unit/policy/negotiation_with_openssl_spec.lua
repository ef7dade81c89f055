-- What a server lacks of a ClientHello, beside the answer of OpenSSL to the same ClientHello.
local client_hello = require "support.client_hello"
local codes = require "support.cipher_suites"
local core = require "xmpp_tls_policy.core"
local negotiation = require "xmpp_tls_policy.policy.negotiation"
local pki = require "support.pki"
local tls_policy = require "xmpp_tls_policy"

local version_numbers = { TLSv1 = 0x0301, ["TLSv1.1"] = 0x0302, ["TLSv1.2"] = 0x0303, ["TLSv1.3"] = 0x0304 }

-- The parts of ClientHellos. `version`: in the old field; `versions`: in the extension.
local versions = {
	{ version = "TLSv1" }, { version = "TLSv1.1" }, { version = "TLSv1.2" }, { versions = { "TLSv1.3" } },
	{ versions = { "TLSv1.3", "TLSv1.2" } }, { versions = { "TLSv1.2", "TLSv1" } },
}
local tls13_suites = { "TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256" }
local gcm_suites = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" }
local suites = {
	tls13_suites, gcm_suites, { "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" }, { "TLS_RSA_WITH_AES_128_GCM_SHA256" },
	{ "TLS_RSA_WITH_AES_128_CBC_SHA" }, { "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA" },
	{ tls13_suites[1], tls13_suites[2], gcm_suites[1], gcm_suites[2] },
}
local groups = { { 29, 23 }, { 24 }, { 29 }, { 19 }, { 256 }, {} }
local schemes = {
	{ 0x0804, 0x0805, 0x0403, 0x0503, 0x0807, 0x0401 }, { 0x0804 }, { 0x0403 }, { 0x0503 }, { 0x0401 }, { 0x0201, 0x0203 },
	{ 0x0807 }, {},
}

-- An empty list stands for the absence of the extension.
local function extension(number, list)
	return #list == 0 and { number } or nil
end

local function offer_of(version, names, group_list, scheme_list)
	local offer = { suites = names, groups = group_list, signature_schemes = scheme_list, extensions = {} }
	for field, value in pairs(version) do
		offer[field] = value
	end
	offer.extensions[1] = extension(10, group_list)
	offer.extensions[#offer.extensions + 1] = extension(13, scheme_list)
	return offer
end

local function hello_of(version, names, group_list, scheme_list)
	local hello = {
		versions = {}, suites = {}, groups = group_list[1] and group_list,
		signature_schemes = scheme_list[1] and scheme_list,
	}
	for index, name in ipairs(version.versions or { version.version }) do
		hello.versions[index] = version_numbers[name]
	end
	for index, name in ipairs(names) do
		hello.suites[index] = codes[name]
	end
	return hello
end

-- Calls visit(offer, hello) for each ClientHello of the product.
local function each_hello(visit)
	for _, version in ipairs(versions) do
		for _, names in ipairs(suites) do
			for _, group_list in ipairs(groups) do
				for _, scheme_list in ipairs(schemes) do
					visit(offer_of(version, names, group_list, scheme_list), hello_of(version, names, group_list, scheme_list))
				end
			end
		end
	end
end

local function changed(settings, changes)
	for field, value in pairs(changes) do
		settings[field] = value
	end
	return settings
end

local should, must = tls_policy.policy(), tls_policy.policy { level = "must" }
local bsi = tls_policy.policy { profile = "bsi-tr-02102-2-2025" }

local without_dh = should:settings()
without_dh.dh_bits = nil

-- Settings and the key of the certificate (false: none).
local servers = {
	["with RSA"] = { should:settings(), "rsa2048" },
	["with P-256"] = { should:settings(), "p256" },
	["with P-384"] = { should:settings(), "p384" },
	["with Ed25519"] = { should:settings(), "ed25519" },
	["without a certificate"] = { should:settings(), false },
	["without DH parameters"] = { without_dh, "rsa2048" },
	["with TLS 1.2 alone"] = { changed(should:settings(), { maximum_version = "TLSv1.2" }), "rsa2048" },
	["with TLS 1.3 alone"] = { changed(should:settings(), { minimum_version = "TLSv1.3" }), "rsa2048" },
	["of level must"] = { changed(must:settings(), { security_level = 0 }), "rsa2048" },
	["of level must, with P-256"] = { changed(must:settings(), { security_level = 0 }), "p256" },
	["of the BSI's profile"] = { bsi:settings(), "rsa2048" },
	["of the BSI's profile, with P-384"] = { bsi:settings(), "p384" },
	["of the BSI's profile, with Ed25519"] = { bsi:settings(), "ed25519" },
	["of level must with schemes of its own, with RSA"] = { changed(must:settings(), {
		security_level = 0, signature_schemes = { "rsa_pkcs1_sha1", "rsa_pss_rsae_sha256", "ecdsa_secp384r1_sha384" },
	}), "rsa2048" },
	["of level must, at OpenSSL's level 1"] = { changed(must:settings(), { security_level = 1 }), "rsa2048" },
	["of level must, up to TLS 1.1"] =
		{ changed(must:settings(), { security_level = 0, maximum_version = "TLSv1.1" }), "rsa2048" },
}

-- rfc8422.4.no-list-of-groups, rfc8422.5.1.curve-of-certificate, rfc8446.4.2.7.groups-of-tls13,
-- rfc5246.7.4.1.4.1.schemes-if-none-listed
describe("the answer to a ClientHello of a server #comparison", function ()
	teardown(pki.remove)

	-- Whether OpenSSL answers with more than an alert.
	local function is_answered(context, offer)
		local connection = assert(core.connection.new(context, { role = "server" }))
		assert(connection:feed(client_hello.build(offer)))
		connection:handshake()
		local answered = connection:take():byte(1) == 22
		connection:close()
		return answered
	end

	for name, server in pairs(servers) do
		it(name .. " is the one that OpenSSL gives", function ()
			local settings, key, options = server[1], server[2], { role = "server" }
			local certificate = false
			if key then
				local files = pki.authority():issue { names = { "example.test" }, key = key }
				options.certificate, options.key = files.certificate, files.key
				certificate = assert(core.certificate.from_pem(files.pem)):facts()
			end
			local context = assert(core.context.new(options))
			assert(context:apply(settings))
			local made, answered, all = negotiation.of_settings(settings, certificate), 0, 0
			each_hello(function (offer, hello)
				local is_expected = made:missing(hello) == nil
				if is_answered(context, offer) ~= is_expected then
					error(("%s: version %s, suites %s, groups %s, schemes %s"):format(tostring(made:missing(hello)),
						table.concat(hello.versions, " "), table.concat(offer.suites, " "), table.concat(offer.groups, " "),
						table.concat(offer.signature_schemes, " ")))
				end
				answered, all = answered + (is_expected and 1 or 0), all + 1
			end)
			local can_sign = key and not (key == "ed25519" and settings.signature_schemes)
			assert.is_true(answered < all and (answered > 0) == (can_sign or false))
		end)
	end
end)
