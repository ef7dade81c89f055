local core = require "xmpp_tls_policy.core"
local known_settings = require "xmpp_tls_policy.contexts.known_settings"
local pki = require "support.pki"
local ssl = require "ssl"

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

local function context(fields)
	local options = {
		mode = "server", protocol = "any", options = { "no_sslv3" }, curveslist = "P-384:X25519", ciphers = "ECDHE+AESGCM",
		ciphersuites = "TLS_AES_128_GCM_SHA256",
	}
	for field, value in pairs(fields or {}) do
		options[field] = value
	end
	return assert(core.context.adopt(assert(ssl.newcontext(options))))
end

local pem
local function dh_parameters()
	pem = pem or pki.run { "openssl", "dhparam", "-dsaparam", "1024" }
	return pem
end

local differences = {
	{ options = { "no_sslv3", "no_tlsv1_3" } }, { options = { "no_sslv3", "no_ticket" } },
	{ options = { "no_sslv3", "no_renegotiation" } }, { options = { "no_sslv3", "cipher_server_preference" } },
	{ curveslist = "X25519:P-384" }, { curveslist = "X25519" }, { ciphers = "ECDHE+AESGCM:@SECLEVEL=0" },
	{ ciphers = "ECDHE+AESGCM+AES128" }, { ciphersuites = "TLS_AES_256_GCM_SHA384" },
	{ dhparam = dh_parameters },
}

describe("the known settings of contexts", function ()
	it("are read into one table for contexts that are alike, and that of each context", function ()
		local known = known_settings.new()
		local first = assert(known:read(context(), false))
		assert.equal(first, (known:read(context(), false)))
		local seen = { [first] = true }
		for index, difference in ipairs(differences) do
			local one = context(difference)
			local settings = one:settings()
			local read = assert(known:read(one, false))
			assert.is_nil(seen[read], index)
			seen[read] = true
			settings.has_dhe = settings.own_dh_bits ~= nil
			assert.same(settings, read)
			assert.equal(read, (known:read(context(difference), false)))
		end
		assert.equal(first, (known:read(context(), false)))
	end)

	it("have DHE where the server has parameters for it, and for any client", function ()
		local known = known_settings.new()
		assert.is_false(known:read(context(), false).has_dhe)
		assert.is_true(known:read(context(), true).has_dhe)
		assert.is_false(known:read(context(), false).has_dhe)
	end)

	it("are made once for contexts that are alike, and anew for another policy or the operator's lists", function ()
		local known, of_policy = known_settings.new(), policy()
		local in_force = { minimum_version = "TLSv1.2", groups = { "a", "b" } }
		local first, second = known:of(of_policy, in_force, {}, "-")
		assert.same({ minimum_version = "TLSv1.2", groups = { "x25519" } }, first)
		assert.equal("call 1", second)
		assert.same({ first, "call 1" }, { known:of(of_policy, in_force, {}, "-") })
		assert.equal(first, (known:of(of_policy, in_force, {}, "-")))
		assert.same({ "a", "b" }, (known:of(of_policy, in_force, { groups = true }, "groups")).groups)
		assert.equal("call 3", (select(2, known:of(of_policy, { minimum_version = "TLSv1.3" }, {}, "-"))))
		local other = policy()
		known:of(other, in_force, {}, "-")
		assert.equal(1, other.calls)
	end)

	it("are asked for again where none can be made", function ()
		local known, of_policy, in_force = known_settings.new(), policy(), { maximum_version = "TLSv1" }
		for _ = 1, 2 do
			assert.same({ nil, "no version is left" }, { known:of(of_policy, in_force, {}, "-") })
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

	it("have the same text with hybrid groups, which older versions of OpenSSL lack, and without", function ()
		local known = known_settings.new()
		local function text(...)
			return known:text { groups = { ... } }
		end
		local without = text("x25519", "secp256r1")
		assert.equal(without, text("X25519MLKEM768", "x25519", "secp256r1"))
		assert.equal(without, text("x25519", "SecP256r1MLKEM768", "secp256r1"))
		assert.not_equal(without, text("X25519MLKEM768", "x25519"))
		assert.not_equal(without, text("secp256r1", "x25519"))
		-- Hybrid groups alone are another matter.
		assert.not_equal(text(), text "X25519MLKEM768")
		assert.not_equal(text "SecP256r1MLKEM768", text "X25519MLKEM768")
		assert.not_equal(without, text "X25519MLKEM768")
	end)
end)
