local host_names = require "xmpp_tls_policy.commands.host_names"

describe("hosts for people", function ()
	it("are their names", function ()
		assert.equal("a.test", host_names "a.test")
		assert.equal("a.test, b.test", host_names { "a.test", "b.test" })
		assert.equal("all other hosts", host_names "*")
		assert.equal("all other hosts, a.test", host_names { "*", "a.test" })
	end)

	it("have other words for all of them, if those stand alone", function ()
		assert.equal("configuration", host_names({ "*" }, "configuration"))
		assert.equal("all other hosts, a.test", host_names({ "*", "a.test" }, "configuration"))
		assert.equal("a.test", host_names({ "a.test" }, "configuration"))
	end)

	it("are counted beyond the sixth", function ()
		local names = {}
		for index = 1, 300 do
			names[index] = ("host%d.test"):format(index)
		end
		assert.equal("host1.test, host2.test, host3.test, host4.test, host5.test, host6.test and 294 more", host_names(names))
	end)
end)
