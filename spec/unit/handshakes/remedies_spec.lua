-- Every remedy that the explanation of a refused offer prints is applied to a server with the same
-- configuration, and OpenSSL accepts the offer then. Remedies that are not printed do not help.
local adapter = require "support.adapter"
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local client_hello = require "support.client_hello"
local core = require "xmpp_tls_policy.core"
local failed_handshakes = require "xmpp_tls_policy.handshakes.failed_handshakes"
local metrics = require "xmpp_tls_policy.metrics"
local offers = require "support.offers"
local pki = require "support.pki"
local ssl = require "ssl"
local tls_policy = require "xmpp_tls_policy"

local gcm = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" }
local tls13 = { "TLS_AES_128_GCM_SHA256" }

-- Offers beside those of offers.lua.
local more_offers = {
	ecdsa_alone = { suites = { gcm[2] } },
	rsa_alone = { suites = { gcm[1] } },
	chacha = { suites = { "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" } },
	p384 = { suites = gcm, groups = { "secp384r1" } },
	p521 = { suites = gcm, groups = { "secp521r1" } },
	short_curve = { suites = gcm, groups = { 19 } },
	unknown_group = { suites = gcm, groups = { 0x6399 } },
	without_groups = { suites = gcm, extensions = { { 10 } } },
	without_schemes = { suites = gcm, extensions = { { 13 } } },
	sha1_schemes = { suites = gcm, signature_schemes = { 0x0201, 0x0203 } },
	ecdsa_schemes = { suites = gcm, signature_schemes = { 0x0403 } },
	rsa_schemes = { suites = gcm, signature_schemes = { 0x0401, 0x0804 } },
	tls13_p384 = { versions = { "TLSv1.3" }, suites = tls13, groups = { "secp384r1" } },
	tls13_ecdsa = { versions = { "TLSv1.3" }, suites = tls13, signature_schemes = { 0x0403 } },
	tls13_pss = { versions = { "TLSv1.3" }, suites = tls13, signature_schemes = { 0x0804 } },
	tls13_chacha = { versions = { "TLSv1.3" }, suites = { "TLS_CHACHA20_POLY1305_SHA256" } },
	tls13_old_suites = { versions = { "TLSv1.3", "TLSv1.2" }, suites = gcm },
	cbc_sha = { suites = { "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA" } },
	rsa_gcm = { suites = { "TLS_RSA_WITH_AES_128_GCM_SHA256" } },
	ccm = { suites = { 0xC09E } },
	unknown_suite = { suites = { 0xFEFE } },
	tls10_with_tls11 = { versions = { "TLSv1.1", "TLSv1" }, suites = offers.tls10.suites },
}

-- Configurations of a server: LuaSec's parameters, the lists that the operator wrote, and the key.
local configurations = {
	default = { {}, {} },
	loose = { { ciphers = "ALL:@SECLEVEL=0" }, {} },
	tls12 = { { protocol = "tlsv1_2" }, {} },
	no_tls13 = { { options = { "no_tlsv1_3" } }, {} },
	tls13 = { { protocol = "tlsv1_3" }, {} },
	own_ciphers = { { ciphers = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384" }, { ciphers = true } },
	own_old_ciphers = { { ciphers = "ECDHE+AES:RSA+AES:@SECLEVEL=0" }, { ciphers = true } },
	own_ciphersuites = { { ciphersuites = "TLS_AES_256_GCM_SHA384" }, { ciphersuites = true } },
	own_groups = { { curveslist = "P-256" }, { groups = true } },
	p256 = { {}, {}, "p256" },
	p384 = { {}, {}, "p384" },
	without_certificate = { {}, {}, false },
}

local function is_in(list, value)
	for _, item in ipairs(list) do
		if item == value then
			return true
		end
	end
	return false
end

local function copy(value)
	if type(value) ~= "table" then
		return value
	end
	local made = {}
	for key, item in pairs(value) do
		made[key] = copy(item)
	end
	return made
end

describe("a remedy for a refused offer #comparison", function ()
	local files, openssl_names, dh_pem = {}, {}, nil

	-- Contexts under a policy, by all that makes them: { adopted, luasec, context }.
	local contexts = {}

	local function dh_parameters()
		return dh_pem
	end

	setup(function ()
		for _, key in ipairs { "rsa2048", "p256", "p384" } do
			files[key] = pki.authority():issue { names = { "a.test" }, key = key }
		end
		dh_pem = pki.run { "openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048" }
		for line in pki.run({ "openssl", "ciphers", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0" }):gmatch "[^\n]+" do
			local standard, name = line:match "^(%S+)%s+%-%s+(%S+)"
			openssl_names[standard or ""] = name
		end
	end)

	teardown(function ()
		contexts = {}
		pki.remove()
	end)

	local function luasec_context(configuration)
		local key = configuration[3] == nil and "rsa2048" or configuration[3]
		local parameters = { mode = "server", protocol = "any", verify = "none" }
		if key then
			parameters.certificate, parameters.key = files[key].certificate, files[key].key
		end
		for name, value in pairs(configuration[1]) do
			parameters[name] = value
		end
		return assert(ssl.newcontext(parameters))
	end

	-- A configuration as one word.
	local function word_of(value)
		if type(value) ~= "table" then
			return tostring(value)
		end
		local words = {}
		for key, item in pairs(value) do
			words[#words + 1] = ("%s=%s"):format(tostring(key), word_of(item))
		end
		table.sort(words)
		return "{" .. table.concat(words, ",") .. "}"
	end

	local function context_of(configuration, policy, given)
		local key = table.concat({ word_of(configuration), policy:name(), policy.mode, word_of(given) }, " ")
		if not contexts[key] then
			local adopted, luasec = adopted_contexts.new(), luasec_context(configuration)
			adopted:enforce(luasec, {
				policy = policy, host = "a.test", role = given.role, operator = configuration[2],
				option = given.direct_tls and "x_ssl" or nil,
			})
			contexts[key] = { adopted = adopted, luasec = luasec, context = assert(core.context.adopt(luasec)) }
		end
		return contexts[key]
	end

	-- Whether an offer is accepted, and the adopted contexts.
	local function answer(configuration, policy, given, offer)
		local found = context_of(configuration, policy, given)
		local connection = assert(core.connection.new(found.context, { role = "server" }))
		assert(connection:feed(client_hello.build(offer)))
		connection:handshake()
		local accepted = connection:take():byte(1) == 22
		connection:close()
		return accepted, found.adopted
	end

	-- The entry of the list of failed handshakes; nil if the offer was accepted.
	local function refusal(configuration, policy, given, offer)
		core.observer.refusals()
		local accepted, adopted = answer(configuration, policy, given, offer)
		if accepted then
			return nil
		end
		local server = adapter.new()
		local failed = failed_handshakes.new {
			server = server, adopted = adopted, metrics = metrics.new { adopted = adopted, server = server },
		}
		failed:collect(function () end, function () end)
		return assert(failed:list()[1])
	end

	-- ---- applying ------------------------------------------------------------------

	local version_of = { ["TLS 1.0"] = "TLSv1", ["TLS 1.1"] = "TLSv1.1", ["TLS 1.2"] = "TLSv1.2", ["TLS 1.3"] = "TLSv1.3" }
	local scheme_numbers = { rsa_pkcs1_sha256 = 0x0401, rsa_pss_rsae_sha256 = 0x0804, ecdsa_secp256r1_sha256 = 0x0403,
		ecdsa_secp384r1_sha384 = 0x0503 }
	local default_groups = { "x25519", "secp256r1", "secp384r1", "ffdhe2048" }

	local function has_extension(offer, number)
		for _, extension in ipairs(offer.extensions or {}) do
			if extension[1] == number then
				return not extension[2]
			end
		end
		return false
	end

	local function restore_extension(offer, number)
		local kept = {}
		for _, extension in ipairs(offer.extensions or {}) do
			kept[#kept + 1] = extension[1] ~= number and extension or nil
		end
		offer.extensions = kept
	end

	-- The offer with the things that a remedy names added: "TLS 1.2 with a cipher suite such as X and a
	-- group such as Y", "one such as X and ...".
	local function changed_offer(offer, words)
		local made = copy(offer)
		local version = words:match "^(TLS 1%.%d)"
		if version then
			made.versions = made.versions or {}
			table.insert(made.versions, version_of[version])
			if offer.version == "SSLv2" or offer.version == "SSLv3" then
				made.groups = copy(default_groups)
			end
			made.version, made.compressions = "TLSv1.2", nil
			words = words:sub(#version + 1):gsub("^ with ", "")
		end
		for part in (words .. " and "):gmatch "(.-) and " do
			local name = part == "" and "" or assert(part:match "^a?n? ?%a[%a ]* such as (%S+)$", words)
			if name:find "^TLS_" then
				table.insert(made.suites, name)
			elseif scheme_numbers[name] then
				made.signature_schemes = { scheme_numbers[name] }
				restore_extension(made, 13)
			elseif name ~= "" then
				made.groups = has_extension(made, 10) and {} or made.groups or copy(default_groups)
				restore_extension(made, 10)
				table.insert(made.groups, name)
			end
		end
		return made
	end

	-- The configuration after "X and Y in the server's ssl options".
	local function changed_configuration(configuration, words)
		local made = copy(configuration)
		local parameters, operator = made[1], made[2]
		for word in (words .. " and "):gmatch "(.-) and " do
			if version_of[word] then
				parameters.protocol, parameters.options = version_of[word] > "TLSv1.1" and "any" or "sslv23", nil
			elseif word == "a lower security level of OpenSSL" then
				parameters.ciphers = (parameters.ciphers or "DEFAULT") .. ":@SECLEVEL=0"
			elseif word:find "^TLS_" and openssl_names[word] and word:find "_WITH_" then
				-- What DEFAULT leaves out can no longer be added.
				parameters.ciphers = (parameters.ciphers or "ALL:!aNULL") .. ":" .. openssl_names[word]
				operator.ciphers = true
			elseif word:find "^TLS_" then
				parameters.ciphersuites = (parameters.ciphersuites or "TLS_AES_256_GCM_SHA384") .. ":" .. word
				operator.ciphersuites = true
			elseif word == "DH parameters" then
				parameters.dhparam = dh_parameters
			else
				parameters.curveslist = (parameters.curveslist or "X25519") .. ":" .. word
				operator.groups = true
			end
		end
		return made
	end

	-- Applies a remedy, and says whether OpenSSL accepts the offer then.
	local function helps(remedy, configuration, policy, given, offer)
		local level = remedy:match '^level = "(%a+)"$'
		if level then
			return (answer(configuration, tls_policy.policy { profile = policy.profile, level = level }, given, offer))
		elseif remedy == "an exception" or remedy == "an exception, and STARTTLS" then
			local excepting = tls_policy.policy { profile = policy.profile, level = policy.level, exceptions = {
				["far.test"] = { level = "must", expires = "2999-12-31", reason = "spec" } } }
			return (answer(configuration, excepting:for_peer("far.test", os.time()), given, offer))
		elseif remedy:find " in the server's ssl options$" then
			local words = remedy:gsub(" in the server's ssl options$", "")
			return (answer(changed_configuration(configuration, words), policy, given, offer))
		elseif remedy:find " certificate" then
			local made, words = copy(configuration), remedy:match " and to offer (.*)$"
			made[3] = remedy:find "^an RSA" and "rsa2048" or "p256"
			return (answer(made, policy, given, words and changed_offer(offer, words) or offer))
		end
		return (answer(configuration, policy, given, changed_offer(offer, remedy)))
	end

	local function remedies_of(sentence)
		local list, words = {}, sentence:match "; needs (.*)$"
		for remedy in (words and words .. " or " or ""):gmatch "(.-) or " do
			list[#list + 1] = remedy
		end
		return list
	end

	local all_offers = copy(more_offers)
	for name, offer in pairs(offers) do
		all_offers[name] = offer
	end

	local function check(configuration_name, name, configuration, policy, given)
		local offer = all_offers[name]
		local entry = refusal(configuration, policy, given, offer)
		if not entry then
			return 0
		end
		local printed = remedies_of(entry.text)
		for _, remedy in ipairs(printed) do
			if not helps(remedy, configuration, policy, given, offer) then
				error(("%s, %s, %s: %s: %q does not help"):format(configuration_name, name, given.role, entry.text, remedy), 0)
			end
		end
		-- The remedies of ours that are not printed.
		if policy.mode ~= "report" and (policy:milder() or given.role ~= "c2s") then
			local exception = given.direct_tls and "an exception, and STARTTLS" or "an exception"
			local other = given.role == "c2s" and 'level = "must"' or exception
			if not is_in(printed, other) and helps(other, configuration, policy, given, offer) then
				error(("%s, %s, %s: %s: %q would help"):format(configuration_name, name, given.role, entry.text, other), 0)
			end
		end
		if not printed[1] then
			error(("%s, %s, %s: %s: no remedy at all"):format(configuration_name, name, given.role, entry.text), 0)
		end
		return 1
	end

	local function policies_of(profile)
		return {
			["at level should"] = tls_policy.policy { profile = profile },
			["at level must"] = tls_policy.policy { profile = profile, level = "must" },
			["in report mode"] = tls_policy.policy { profile = profile, mode = "report" },
		}
	end

	for configuration_name, configuration in pairs(configurations) do
		for _, profile in ipairs { "draft-saintandre-xmpp-tls-02", "rfc9325" } do
			for policy_name, policy in pairs(policies_of(profile)) do
				it(("helps, with the configuration %s and %s %s"):format(configuration_name, profile, policy_name), function ()
					local refused = 0
					for name in pairs(all_offers) do
						for _, role in ipairs { "c2s", "s2sin" } do
							refused = refused + check(configuration_name, name, configuration, policy, { role = role })
						end
					end
					assert.is_true(refused > 0)
				end)
			end
		end
	end

	it("helps with direct TLS, too", function ()
		for name in pairs(all_offers) do
			check("default", name, configurations.default, tls_policy.policy(), { role = "s2sin", direct_tls = true })
		end
	end)
end)
