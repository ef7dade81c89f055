-- The network of an address: one customer's addresses count as one.
local network = require "xmpp_tls_policy.network"

describe("the network of", function ()
	it("an IPv4 address is the address", function ()
		assert.equal("192.0.2.1", network.of "192.0.2.1")
	end)

	it("an unknown address is unknown", function ()
		assert.is_nil(network.of(nil))
	end)

	for expected, addresses in pairs {
		["2001:db8:1:2"] = { "2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:3:4:5:6" },
		["2001:db8:1:3"] = { "2001:db8:1:3::1" },
		["2001:db8:0:0"] = { "2001:db8::1", "2001:db8::2", "2001:db8:0:0:1::" },
		["0:0:0:0"] = { "::1", "::2", "::" },
		["fe80:0:0:0"] = { "fe80::1", "fe80::2" },
	} do
		-- rfc6177.2.site-prefix
		it(("%d IPv6 addresses is %s"):format(#addresses, expected), function ()
			for _, address in ipairs(addresses) do
				assert.equal(expected, network.of(address))
			end
		end)
	end
end)
