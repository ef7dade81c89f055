local address_domains = require "xmpp_tls_policy.stream.address_domains"

describe("the domain of an address", function ()
	-- Prepares addresses of the form name or user@name, and counts how often.
	local function counting()
		local calls = { count = 0 }
		local domain_of = address_domains.new(function (address)
			calls.count = calls.count + 1
			local node, domain = address:match "^(%w+)@([%w.]+)$"
			domain = domain or address:match "^[%w.]+$"
			return node, domain and domain:lower(), nil
		end)
		return domain_of, calls
	end

	it("is the prepared one, or nil", function ()
		local domain_of = counting()
		assert.equal("example.test", domain_of "user@Example.TEST")
		assert.equal("example.test", domain_of "example.test")
		assert.is_nil(domain_of "@")
		assert.is_nil(domain_of(nil))
	end)

	it("is computed once, also for an invalid address", function ()
		local domain_of, calls = counting()
		for _ = 1, 3 do
			assert.equal("example.test", domain_of "user@example.test")
			assert.is_nil(domain_of "@")
		end
		assert.equal(2, calls.count)
	end)

	it("is remembered of one server apart from others", function ()
		local domain_of = counting()
		local other = address_domains.new(function ()
			return nil, "other.test"
		end)
		assert.equal("example.test", domain_of "example.test")
		assert.equal("other.test", other "example.test")
	end)

	-- Strings that a function reaches through its upvalues: how many, and how many bytes.
	local function remembered(domain_of)
		local count, bytes = 0, 0
		for index = 1, 20 do
			local name, value = debug.getupvalue(domain_of, index)
			for key in pairs(name and type(value) == "table" and value or {}) do
				count, bytes = count + 1, bytes + #key
			end
		end
		return count, bytes
	end

	it("is remembered of a bounded number of addresses", function ()
		local domain_of = counting()
		local most = 0
		for number = 1, 100000 do
			local name = ("peer%d.test"):format(number)
			assert.equal(name, domain_of("user@" .. name))
			most = number % 499 == 0 and math.max(most, (remembered(domain_of))) or most
		end
		assert.is_true(most > 1000 and most <= 2000, tostring(most))
	end)

	it("is not remembered of an address that is longer than addresses can be", function ()
		local domain_of, calls = counting()
		-- rfc7622.3.1.length-of-addresses: three parts of 1023 bytes, and two separators.
		local longest, longer = ("x"):rep(3071), ("x"):rep(3072)
		for _ = 1, 2 do
			assert.equal(longest, domain_of(longest))
			assert.equal(longer, domain_of(longer))
		end
		assert.equal(3, calls.count)
		assert.same({ 1, 3071 }, { remembered(domain_of) })
	end)
end)
