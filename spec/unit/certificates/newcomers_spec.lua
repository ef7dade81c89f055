local newcomers = require "xmpp_tls_policy.certificates.newcomers"

local DAY = 86400

describe("new domains in a day", function ()
	local now, bounds

	before_each(function ()
		now = 1800000000
		bounds = newcomers.new { now = function () return now end }
	end)

	-- How many of so many domains are admitted, and the sentences. make(number) -> { host, certificate, … }
	local function admit(domains, make)
		local count, said = 0, {}
		for number = 1, domains do
			local admitted, message = bounds:admit(make(number))
			count = count + (admitted and 1 or 0)
			said[#said + 1] = message
		end
		return count, said
	end

	-- Certificates and networks, each another one unless it is given.
	local function newcomer(host, certificate, network, unverified)
		return function (number)
			return {
				host = host, certificate = certificate or "certificate" .. number, network = network or "net" .. number,
				unverified = unverified,
			}
		end
	end

	for _, case in ipairs {
		{ "certificate", 50, newcomer("a.test", "c"), "the certificate with the SHA-256 c has come with 50 new domains" },
		{ "network", 100, newcomer("a.test", nil, "192.0.2.1"), "the network 192.0.2.1 has come with 100 new domains" },
		{ "host, of those that no authority vouches for", 250, newcomer("a.test", nil, nil, true),
			"a.test has met 250 new domains without a valid certificate" },
		{ "host", 2000, newcomer "a.test", "a.test has met 2000 new domains" },
	} do
		local what, most, make, sentence = case[1], case[2], case[3], case[4]
		it("have a bound for each " .. what, function ()
			local count, said = admit(most + 20, make)
			assert.equal(most, count)
			assert.same({ sentence .. " today; the certificates of further ones are not remembered before tomorrow" }, said)
			now = now + DAY
			assert.equal(most, (admit(most + 20, make)))
		end)
	end

	it("have bounds for certificates and networks that all hosts share", function ()
		for _, which in ipairs { { "c", nil, 50 }, { nil, "192.0.2.1", 100 } } do
			local count = 0
			for _, host in ipairs { "a.test", "b.test", "c.test" } do
				count = count + admit(which[3], newcomer(host, which[1], which[2]))
			end
			assert.equal(which[3], count)
		end
	end)

	it("have bounds for a host that others do not use up", function ()
		admit(2000, newcomer "a.test")
		assert.equal(1, (admit(1, newcomer "b.test")))
	end)

	it("that are not admitted count for no other bound", function ()
		admit(1000, newcomer("a.test", "c", "192.0.2.1"))
		assert.equal(50, (admit(1000, newcomer("a.test", nil, "192.0.2.1"))))
	end)

	it("may come from an address that is not known", function ()
		assert.equal(150, (admit(150, function (number)
			return { host = "a.test", certificate = "c" .. number }
		end)))
	end)
end)
