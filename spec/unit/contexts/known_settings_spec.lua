local known_settings = require "xmpp_tls_policy.contexts.known_settings"

local function policy()
	local made = { calls = 0 }
	function made:settings_for(in_force, operator)
		self.calls = self.calls + 1
		if in_force.maximum_version == "TLSv1" then
			return nil, "no version is left"
		end
		return { minimum_version = in_force.minimum_version, groups = operator.groups and in_force.groups or { "x25519" } },
			"call " .. self.calls
	end
	return made
end

local function in_force(fields)
	local settings = { minimum_version = "TLSv1.2", security_level = 1, no_compression = true, groups = { "a", "b" } }
	for field, value in pairs(fields or {}) do
		settings[field] = value
	end
	return settings
end

describe("the known settings of contexts", function ()
	it("are made once for contexts that are alike", function ()
		local known, of_policy = known_settings.new(), policy()
		local given = in_force()
		local first, second, of_context = known:of(of_policy, given, {}, "-")
		assert.same({ minimum_version = "TLSv1.2", groups = { "x25519" } }, first)
		assert.equal("call 1", second)
		assert.equal(given, of_context)
		local again, still, of_other = known:of(of_policy, in_force(), {}, "-")
		assert.equal(given, of_other)
		assert.equal(first, again)
		assert.equal("call 1", still)
		assert.equal(1, of_policy.calls)
	end)

	it("are made anew for any difference: of a field, a list, the operator's lists or the policy", function ()
		local known, of_policy = known_settings.new(), policy()
		known:of(of_policy, in_force(), {}, "-")
		for index, fields in ipairs {
			{ minimum_version = "TLSv1.3" }, { security_level = 2 }, { no_compression = false }, { groups = { "a" } },
			{ groups = { "b", "a" } }, { groups = {} }, { own_dh_bits = 2048 },
		} do
			known:of(of_policy, in_force(fields), {}, "-")
			assert.equal(index + 1, of_policy.calls)
		end
		assert.same({ "a", "b" }, (known:of(of_policy, in_force(), { groups = true }, "groups")).groups)
		local other = policy()
		known:of(other, in_force(), {}, "-")
		assert.equal(1, other.calls)
	end)

	it("are asked for again where none can be made", function ()
		local known, of_policy = known_settings.new(), policy()
		for _ = 1, 2 do
			assert.same({ nil, "no version is left" }, { known:of(of_policy, in_force { maximum_version = "TLSv1" }, {}, "-") })
		end
		assert.equal(2, of_policy.calls)
	end)

	it("have a text that tells versions and lists apart", function ()
		local known = known_settings.new()
		local texts = {}
		for _, settings in ipairs {
			{}, { minimum_version = "TLSv1.2" }, { maximum_version = "TLSv1.2" }, { ciphers = { "a" } },
			{ ciphersuites = { "a" } }, { groups = { "a" } }, { groups = { "a", "b" } }, { groups = { "b", "a" } },
		} do
			local text = known:text(settings)
			assert.is_nil(texts[text])
			texts[text] = true
			assert.equal(text, known:text(settings))
		end
	end)
end)
