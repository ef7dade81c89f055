-- The suites and groups that OpenSSL has here.
local available = require "xmpp_tls_policy.policy.available"
local core = require "xmpp_tls_policy.core"
local suites = require "xmpp_tls_policy.policy.suites"

local lists = { "ciphers", "ciphersuites", "groups" }

local function all_names()
	local settings = { minimum_version = "TLSv1.2", security_level = 0 }
	for _, list in ipairs(lists) do
		settings[list] = {}
		for index, record in ipairs(suites[list]) do
			settings[list][index] = record.name
		end
	end
	return settings
end

describe("settings without what OpenSSL does not have", function ()
	it("keep what a context takes, in its order, and the rest", function ()
		local settings = all_names()
		local kept = available.only(settings)
		assert.same({ "TLSv1.2", 0 }, { kept.minimum_version, kept.security_level })
		local context = assert(core.context.new { role = "server" })
		local dropped = assert(context:apply(settings))
		context:close()
		for _, list in ipairs(lists) do
			local is_dropped, expected = {}, {}
			for _, name in ipairs(dropped[list] or {}) do
				is_dropped[name] = true
			end
			for _, name in ipairs(settings[list]) do
				expected[#expected + 1] = not is_dropped[name] and name or nil
			end
			assert.same(expected, kept[list])
		end
		-- No OpenSSL that we support has it.
		assert.is_true(#kept.ciphers < #settings.ciphers)
	end)

	it("are a new table, and lists that are not there stay away", function ()
		local settings = { groups = { "x25519", "no such group" }, dh_bits = 2048 }
		local kept = available.only(settings)
		assert.same({ groups = { "x25519", "no such group" }, dh_bits = 2048 }, kept)
		assert.not_equal(settings.groups, kept.groups)
	end)
end)
