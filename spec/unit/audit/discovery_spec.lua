local discovery = require "xmpp_tls_policy.audit.discovery"
local dns = require "xmpp_tls_policy.audit.dns"
local name_server = require "support.name_server"
local pki = require "support.pki"
local tasks = require "xmpp_tls_policy.audit.tasks"

local A, SRV, CAA = name_server.a, name_server.srv, name_server.caa

describe("the discovery of a domain", function ()
	teardown(pki.remove)

	-- What discovery finds of a domain in zones; also the name server.
	local function found(zones, domain, options, server_options)
		return tasks.run(function ()
			local server = name_server.start(zones, server_options)
			local resolver = assert(dns.new { servers = { server.address },
				trust_file = server.anchor and pki.write(server.anchor .. "\n", ".key") })
			local result = discovery.by_dns(resolver, options)(domain or "a.example")
			resolver:close()
			server.stop()
			return result, server
		end)
	end

	-- The endpoints in few words each.
	local function endpoints(result)
		local list = {}
		for index, fields in ipairs(result.endpoints) do
			list[index] = ("%s%s %s %s:%d"):format(fields.service, fields.direct and " direct" or "", fields.host,
				fields.address, fields.port)
		end
		return list
	end

	local v6 = "\32\1\13\184" .. ("\0"):rep(11) .. "\1"

	it("finds all targets of all services, by priority and weight, with all addresses", function ()
		local result = found {
			["_xmpp-client._tcp.a.example"] = { SRV = { SRV(20, 0, 5222, "c.a.example"), SRV(10, 1, 5222, "b.a.example"),
				SRV(10, 5, 443, "b.a.example") } },
			["_xmpps-client._tcp.a.example"] = { SRV = { SRV(0, 0, 5223, "b.a.example") } },
			["_xmpp-server._tcp.a.example"] = { SRV = { SRV(0, 0, 5269, "b.a.example") } },
			["_xmpps-server._tcp.a.example"] = { SRV = { SRV(0, 0, 5270, "b.a.example") } },
			["b.a.example"] = { A = { A "192.0.2.1" }, AAAA = { v6 } }, ["c.a.example"] = { A = { A "192.0.2.2" } },
			["a.example"] = {},
		}
		assert.same({
			"c2s b.a.example 192.0.2.1:443", "c2s b.a.example 2001:db8::1:443",
			"c2s b.a.example 192.0.2.1:5222", "c2s b.a.example 2001:db8::1:5222", "c2s c.a.example 192.0.2.2:5222",
			"c2s direct b.a.example 192.0.2.1:5223", "c2s direct b.a.example 2001:db8::1:5223",
			"s2s b.a.example 192.0.2.1:5269", "s2s b.a.example 2001:db8::1:5269",
			"s2s direct b.a.example 192.0.2.1:5270", "s2s direct b.a.example 2001:db8::1:5270",
		}, endpoints(result))
		assert.is_nil(result.reason)
	end)

	it("rfc6120.3.2.2.fallback: takes the domain's own addresses without SRV records, but not for direct TLS", function ()
		assert.same({ "c2s a.example 192.0.2.1:5222", "s2s a.example 192.0.2.1:5269" },
			endpoints(found { ["a.example"] = { A = { A "192.0.2.1" } } }))
	end)

	it("says that a service is not offered, or that a target has no address", function ()
		local result = found {
			["_xmpp-client._tcp.a.example"] = { SRV = { SRV(0, 0, 0, "") } },
			["_xmpp-server._tcp.a.example"] = { SRV = { SRV(0, 0, 5269, "b.a.example") } },
			["a.example"] = { A = { A "192.0.2.1" } },
		}
		assert.same({}, endpoints(result))
		assert.equal("_xmpp-client._tcp.a.example says that the service is not offered; b.a.example has no address",
			result.reason)
	end)

	it("says that a domain does not exist or is none", function ()
		assert.equal("a.example has no address", found({}).reason)
		assert.equal("this is no domain name", found({}, "a b").reason)
	end)

	it("leaves out a kind of addresses if told to", function ()
		local zones = { ["a.example"] = { A = { A "192.0.2.1" }, AAAA = { v6 } } }
		assert.same({ "c2s a.example 2001:db8::1:5222", "s2s a.example 2001:db8::1:5269" },
			endpoints(found(zones, nil, { ipv4 = false })))
		assert.same({ "c2s a.example 192.0.2.1:5222", "s2s a.example 192.0.2.1:5269" },
			endpoints(found(zones, nil, { ipv6 = false })))
	end)

	it("looks an internationalised domain up in ASCII, and keeps it in the stream's header", function ()
		local result = found({ ["xn--bcher-kva.example"] = { A = { A "192.0.2.1" } } }, "bücher.example")
		assert.same({ "bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example" },
			{ result.endpoints[1].domain, result.endpoints[1].server_name, result.endpoints[1].host })
	end)

	it("audits an address and port once, and at most 8 targets and 4 addresses of each", function ()
		local targets, addresses, zones = {}, {}, {}
		for index = 1, 20 do
			targets[index] = SRV(index, 0, 5222, ("t%d.a.example"):format(index))
			addresses[index] = A("192.0.2." .. index)
			zones[("t%d.a.example"):format(index)] = { A = { A("198.51.100." .. index) } }
		end
		zones["_xmpp-client._tcp.a.example"] = { SRV = targets }
		zones["a.example"] = { A = addresses }
		local result = found(zones)
		assert.equal(8 + 4, #result.endpoints)
		assert.equal("of _xmpp-client._tcp.a.example, 8 of 20 targets are audited", result.reason)
		assert.same({ "c2s b.example 192.0.2.1:5222", "s2s a.example 192.0.2.1:5269" }, endpoints(found {
			["_xmpp-client._tcp.a.example"] = { SRV = { SRV(1, 0, 5222, "b.example"), SRV(2, 0, 5222, "c.example") } },
			["a.example"] = { A = { A "192.0.2.1" } }, ["b.example"] = { A = { A "192.0.2.1" } },
			["c.example"] = { A = { A "192.0.2.1" } },
		}))
	end)

	it("has TLSA records of each target and port, and the status of its SRV record", function ()
		local result = found({
			["_xmpp-client._tcp.a.example"] = { SRV = { SRV(0, 0, 443, "b.a.example") } },
			["b.a.example"] = { A = { A "192.0.2.1" } },
			["_443._tcp.b.a.example"] = { TLSA = { "\3\1\1" .. ("x"):rep(32) } },
			["a.example"] = { A = { A "192.0.2.2" } },
		}, nil, nil, { signed = "a.example" })
		local c2s, s2s = result.endpoints[1], result.endpoints[2]
		assert.same({ { usage = 3, selector = 1, matching_type = 1, data = ("x"):rep(32), dnssec = "secure" } }, c2s.tlsa)
		assert.same({ "secure", "b.a.example" }, { c2s.host_dnssec, c2s.target })
		assert.equal("secure", s2s.host_dnssec)
	end)

	it("rfc8659.3.climbs-to-the-nearest: has the CAA records of the nearest domain", function ()
		local result = found({ ["a.b.example"] = { A = { A "192.0.2.1" } },
			["b.example"] = { CAA = { CAA(0, "issue", "ca.example") } }, example = { CAA = { CAA(0, "issue", "other") } },
		}, "a.b.example")
		assert.same({ "ca.example" }, { result.endpoints[1].caa[1].value })
		assert.equal(1, #result.endpoints[1].caa)
	end)

	it("shows each record with its status", function ()
		local result = found({ ["a.example"] = { A = { A "192.0.2.1" } } }, nil, { ipv6 = false }, { signed = "a.example" })
		local shown = {}
		for _, entry in ipairs(result.dns) do
			shown[entry.name .. " " .. entry.type] = entry
		end
		assert.same({ name = "a.example", type = "A", dnssec = "secure", records = { "192.0.2.1" } }, shown["a.example A"])
		assert.is_truthy(shown["_xmpps-server._tcp.a.example SRV"])
		assert.is_truthy(shown["_5222._tcp.a.example TLSA"])
		assert.is_truthy(shown["example CAA"])
	end)

	it("asks once for what several services need", function ()
		local _, server = found({ ["a.example"] = { A = { A "192.0.2.1" } } }, nil, { ipv6 = false })
		local count = 0
		for _, asked in ipairs(server.asked) do
			count = count + (asked == "a.example A" and 1 or 0)
		end
		assert.equal(1, count)
	end)

	-- Makes the answer to a question for this name a "server failure".
	local function failing(name)
		local whole = name_server.wire(name)
		return function (answer, question)
			if question:sub(13, 12 + #whole) ~= whole then
				return answer
			end
			return answer:sub(1, 3) .. "\130" .. answer:sub(5, 6) .. ("\0"):rep(6) .. question:sub(13)
		end
	end

	it("says of a look-up that fails that it failed, not that there is nothing", function ()
		local zones = { ["a.example"] = { A = { A "192.0.2.1" } } }
		for name, reason in pairs {
			["a.example"] = "the addresses of a.example: the name servers answered: server failure",
			["_5222._tcp.a.example"] = false,
			["_xmpp-client._tcp.a.example"] = "_xmpp-client._tcp.a.example: the name servers answered: server failure",
			["_xmpps-server._tcp.a.example"] = "_xmpps-server._tcp.a.example: the name servers answered: server failure",
		} do
			local result = found(zones, nil, { ipv6 = false }, { spoil = failing(name) })
			assert.equal(reason or nil, result.reason)
			for _, failed in ipairs(result.failed_lookups) do
				assert.equal(name, failed:match "^%u+ of (.*)$")
			end
			assert.is_true(#result.failed_lookups > 0, name)
		end
		assert.same({}, found(zones, nil, { ipv6 = false }).failed_lookups)
		-- A name that does not exist is an answer.
		assert.same({}, found({ ["b.example"] = {} }).failed_lookups)
	end)

	it("ends in time, and says why, if the name server says nothing", function ()
		local began = tasks.now()
		local result = found({}, nil, { seconds = 1 }, { spoil = function () end })
		assert.is_true(tasks.now() - began < 30)
		assert.same({}, result.endpoints)
		assert.matches("^_xmpp%-client%._tcp%.a%.example: the name servers did not answer in time;", result.reason)
	end)

	it("needs no DNS for an endpoint that is given", function ()
		local result = tasks.run(function ()
			return discovery.fixed("127.0.0.1", 5269, "s2s", true)("a.example")
		end)
		assert.same({ "s2s direct 127.0.0.1 127.0.0.1:5269" }, endpoints(result))
		assert.is_nil(result.dns)
		assert.is_nil(result.endpoints[1].tlsa)
		local none = tasks.run(function ()
			return discovery.fixed("none.invalid", 5269, "s2s", true)("a.example")
		end)
		assert.same({}, none.endpoints)
		assert.matches("^none.invalid has no address: ", none.reason)
	end)
end)
