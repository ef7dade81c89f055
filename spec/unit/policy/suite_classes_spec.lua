local hello_lists = require "xmpp_tls_policy.audit.hello_lists"
local iana = require "xmpp_tls_policy.audit.iana"
local policy_suites = require "xmpp_tls_policy.policy.suites"
local suite_classes = require "xmpp_tls_policy.policy.suite_classes"

-- Name of an observation -> the predicate.
local belongs = {}
for _, class in ipairs(suite_classes.list) do
	belongs[class[1]] = class[2]
end

describe("the classes of suites", function ()
	it("agree with the table of policies", function ()
		local compared = 0
		for _, record in ipairs(policy_suites.ciphers) do
			local name = record.name
			if iana.suites[name] then
				compared = compared + 1
				assert.equal(record.bits, suite_classes.bits(name), name)
				local expected = {
					["suites.null"] = record.encryption == "NULL",
					["suites.rc4"] = record.encryption == "RC4",
					["suites.export"] = record.bits == 40,
					["suites.under_112_bits"] = record.bits < 112,
					["suites.under_128_bits"] = record.bits < 128,
					["suites.anonymous"] = record.authentication == "anonymous",
					["suites.cbc"] = record.encryption:find "CBC" ~= nil,
					["suites.rsa_key_transport"] = record.key_exchange == "RSA",
					["suites.static_dh"] = false,
					["suites.dhe"] = record.key_exchange == "DHE" and record.authentication ~= "anonymous",
					["suites.aead"] = record.aead,
					["suites.forward_secret"] = record.forward_secrecy and record.authentication ~= "anonymous",
				}
				for class, is_in in pairs(expected) do
					assert.equal(is_in, belongs[class](name), name .. " " .. class)
				end
			end
		end
		assert.is_true(compared >= 60, compared)
	end)

	for class, names in pairs {
		["suites.static_dh"] = { "TLS_DH_RSA_WITH_AES_128_CBC_SHA", "TLS_DH_DSS_WITH_AES_256_GCM_SHA384",
			"TLS_ECDH_RSA_WITH_NULL_SHA", "TLS_ECDH_ECDSA_WITH_AES_128_GCM_SHA256" },
		["suites.anonymous"] = { "TLS_DH_anon_EXPORT_WITH_RC4_40_MD5", "TLS_ECDH_anon_WITH_AES_128_CBC_SHA" },
		["suites.under_112_bits"] = { "TLS_RSA_EXPORT1024_WITH_RC4_56_SHA", "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5" },
		["suites.under_128_bits"] = { "TLS_ECDH_RSA_WITH_3DES_EDE_CBC_SHA" },
		["suites.aead"] = { "TLS_RSA_WITH_AES_128_CCM_8" },
	} do
		it(class .. " has its suites", function ()
			for _, name in ipairs(names) do
				assert.is_true(belongs[class](name), name)
			end
		end)
	end

	it("give each suite of TLS 1.2 and older its bits", function ()
		for _, name in ipairs(hello_lists.tls12) do
			assert.is_number(suite_classes.bits(name), name)
		end
		assert.is_nil(suite_classes.bits "0xFAFA")
		assert.is_true(#hello_lists.tls12 > 150)
	end)
end)
