local shared_facts = require "xmpp_tls_policy.stream.shared_facts"

describe("facts of connections", function ()
	local function facts(more)
		local made = { version = "TLSv1.3", bits = 256, resumed = false, cipher_suite = "TLS_AES_256_GCM_SHA384" }
		for field, value in pairs(more or {}) do
			made[field] = value
		end
		return made
	end

	it("are one table where they are equal", function ()
		local shared = shared_facts.new()
		local first, server_name = facts(), facts { server_name = "a.test" }
		assert.equal(first, shared:of(first))
		assert.equal(first, shared:of(facts()))
		assert.equal(server_name, shared:of(server_name))
		assert.equal(server_name, shared:of(facts { server_name = "a.test" }))
		assert.equal(first, shared:of(facts()))
	end)

	it("are tables of their own where anything differs, whatever clients choose", function ()
		local shared, seen = shared_facts.new(), {}
		for _, more in ipairs {
			{}, { bits = 128 }, { bits = "256" }, { resumed = true }, { resumed = "false" }, { server_name = "a" },
			{ alpn = "a" }, { alpn = "a", server_name = "b" }, { alpn = "a server_name 1 b" },
			{ alpn = "a\0server_name\0b" }, { server_name = "b alpn 1 a" },
		} do
			local made = shared:of(facts(more))
			assert.is_nil(seen[made])
			assert.same(facts(more), made)
			seen[made] = true
		end
	end)

	it("with a certificate are their connection's alone", function ()
		local shared, certificate = shared_facts.new(), {}
		local first, second = facts { certificate = certificate }, facts { certificate = certificate }
		assert.equal(first, shared:of(first))
		assert.equal(second, shared:of(second))
	end)

	it("go with the last stream that has them", function ()
		local shared = shared_facts.new()
		local gone = setmetatable({ [shared:of(facts())] = true }, { __mode = "k" })
		collectgarbage()
		collectgarbage()
		assert.is_nil(next(gone))
	end)
end)
