-- The rules that clauses are made of, on facts that tell little; clauses_spec.lua has the rest.
local rules = require "xmpp_tls_policy.policy.rules"

describe("a rule", function()
	it("does not know a rule that is misspelt", function()
		assert.has_error(function()
			return require("xmpp_tls_policy.policy.rules").is_aaed
		end, "no such rule: is_aaed")
	end)

	it("on suites does not take an unknown property for a good one", function()
		for _, name in ipairs({ "encrypts", "is_no_rc4", "is_no_export", "is_aead", "is_no_cbc", "is_forward_secret" }) do
			assert.is_false(rules[name]({}), name)
		end
		assert.is_false(rules.has_bits(112)({}))
		assert.is_false(rules.has_bits(112)({ bits = "256" }))
	end)

	it("on strength takes 3DES for 112 bits, whatever it advertises", function()
		assert.is_true(rules.has_bits(112)({ bits = 168, encryption = "DES-EDE3-CBC" }))
		assert.is_false(rules.has_bits(113)({ bits = 168, encryption = "DES-EDE3-CBC" }))
	end)

	it("on RC4 knows its name alone", function()
		assert.is_false(rules.is_no_rc4({ encryption = "RC4" }))
		assert.is_false(rules.is_no_rc4({ encryption = "RC4-40" }))
		assert.is_true(rules.is_no_rc4({ encryption = "AES-256-GCM" }))
	end)

	it("on ephemeral DH judges every kind of it, and no other key exchange", function()
		local judge = rules.dh_judge(2048)
		for _, exchange in ipairs({ "DHE", "DHE-PSK" }) do
			assert.are.equal("an ephemeral DH key of 1024 bits was negotiated; at least 2048 are needed",
				judge({ key_exchange = exchange, group_bits = 1024 }))
			assert.are.equal("an ephemeral DH key of unknown length was negotiated; at least 2048 bits are needed",
				judge({ key_exchange = exchange }))
		end
		for _, exchange in ipairs({ "ECDHE", "RSA", "hybrid" }) do
			assert.is_nil(judge({ key_exchange = exchange, group_bits = 253 }))
		end
	end)

	it("that joins two judges asks the second if the first has nothing to say", function()
		local function says(text)
			return function() return text end
		end
		assert.are.equal("first", rules.either(says("first"), says("second"))({}))
		assert.are.equal("second", rules.either(says(nil), says("second"))({}))
	end)
end)
