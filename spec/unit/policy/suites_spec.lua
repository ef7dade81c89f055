-- The table of suites: properties, numbers, and nothing twice.
local process = require "support.process"
local suites = require "xmpp_tls_policy.policy.suites"

local function matches(name, ...)
	for _, pattern in ipairs({ ... }) do
		if name:find(pattern) then
			return true
		end
	end
	return false
end

describe("suites.lua", function()
	-- rfc7905.2.chacha20-poly1305, rfc5246.6.2.3.3.aead-needs-tls12
	it("gives each suite the properties that its name tells", function()
		for _, suite in ipairs(suites.ciphers) do
			local name = suite.name
			assert.are.equal(matches(name, "_GCM_", "_CCM", "POLY1305"), suite.aead, name)
			assert.are.equal(not matches(name, "^TLS_RSA_", "^TLS_PSK_"), suite.forward_secrecy, name)
			assert.are.equal(matches(name, "_GCM_", "_CCM", "POLY1305", "SHA256$", "SHA384$"), suite.needs_tls12, name)
			assert.are.equal(matches(name, "_NULL_"), suite.encryption == "NULL" and suite.bits == 0, name)
			local bits = name:match("AES_(%d+)") or name:match("ARIA_(%d+)") or name:match("RC4_(%d+)")
				or name:match("RC2_CBC_(%d+)") or name:match("(%d+)_CBC") or name:find("CHACHA20") and 256
			assert.is_true(bits == nil or tonumber(bits) == suite.bits or suite.encryption:find("^DES") ~= nil, name)
		end
		for _, suite in ipairs(suites.ciphersuites) do
			assert.is_true(matches(suite.name, "^TLS_AES_", "^TLS_CHACHA20_", "^TLS_SHA"), suite.name)
		end
	end)

	it("lists nothing twice", function()
		for _, list in ipairs({ suites.ciphers, suites.ciphersuites, suites.groups }) do
			local seen = {}
			for _, record in ipairs(list) do
				assert.is_nil(seen[record.name], record.name)
				assert.is_nil(seen[record.number], record.name)
				seen[record.name], seen[record.number] = true, true
			end
		end
	end)

	it("numbers suites as OpenSSL and the specs' own table do", function()
		local checked = 0
		local list = process.check({ "openssl", "ciphers", "-V", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0" })
		for high, low, name in list:gmatch("0x(%x%x),0x(%x%x) %- (TLS_[%w_]+)") do
			if suites.by_name[name] then
				assert.are.equal(tonumber(high .. low, 16), suites.by_name[name].number, name)
				checked = checked + 1
			end
		end
		assert.is_true(checked > 40)
		for name, number in pairs(require("support.cipher_suites")) do
			assert.is_true(not suites.by_name[name] or suites.by_name[name].number == number, name)
		end
	end)
end)
