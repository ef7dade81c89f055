-- How often each peer was refused.
local refused_peers = require "xmpp_tls_policy.refused_peers"

describe("the peers that were refused", function ()
	local now, peers

	before_each(function ()
		now = 100
		peers = refused_peers.new { now = function () return now end, keep = 10 }
	end)

	local function domains()
		local found = {}
		for _, peer in ipairs(peers:list()) do
			found[peer.domain or peer.address or "unknown"] = peer.count
		end
		return found
	end

	it("are counted by role, host and domain, and where none is known by address", function ()
		for _, entry in ipairs {
			{ role = "s2sin", host = "a.test", domain = "far.test", address = "192.0.2.1" },
			{ role = "s2sin", host = "a.test", domain = "far.test", address = "192.0.2.2" },
			{ role = "s2sin", host = "b.test", domain = "far.test", address = "192.0.2.2" },
			{ role = "s2sout", host = "a.test", domain = "far.test" },
			{ role = "c2s", address = "2001:db8:0:1::1" }, { role = "c2s", address = "2001:db8:0:1:9::2" },
			{ role = "c2s", address = "2001:db8:0:2::1" }, {}, {},
		} do
			peers:add(entry)
		end
		local counts = {}
		for index, peer in ipairs(peers:list()) do
			counts[index] = peer.count
		end
		assert.same({ 2, 2, 2, 1, 1, 1 }, counts)
	end)

	it("have the first and the last time, and the last reason that is known", function ()
		peers:add { domain = "far.test", text = "first", clauses = { "a" } }
		now = 200
		peers:add { domain = "far.test", text = "second" }
		now = 300
		peers:add { domain = "far.test" }
		assert.same({ { domain = "far.test", count = 3, first = 100, last = 300, text = "second", clauses = { "a" } } },
			peers:list())
	end)

	it("are bounded, and those that come again stay", function ()
		for number = 1, 1000 do
			peers:add { domain = number .. ".test" }
			peers:add { domain = "often.test" }
			assert.is_true(#peers:list() <= 20)
		end
		assert.equal(1000, domains()["often.test"])
		assert.equal(1, domains()["1000.test"])
		assert.is_nil(domains()["1.test"])
	end)

	it("cannot be changed by the reader of the list", function ()
		peers:add { domain = "far.test" }
		peers:list()[1].count = 7
		assert.equal(1, peers:list()[1].count)
	end)
end)
