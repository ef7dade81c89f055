local dns = require "xmpp_tls_policy.audit.dns"
local name_server = require "support.name_server"
local pki = require "support.pki"
local tasks = require "xmpp_tls_policy.audit.tasks"

describe("a look-up in DNS", function ()
	teardown(pki.remove)

	-- What the look-ups of { name, type } return, side by side, in a list.
	local function lookups(zones, questions, options)
		options = options or {}
		return tasks.run(function ()
			local server = name_server.start(zones, options)
			local trust_file = options.trust and pki.write(server.anchor .. "\n", ".key") or nil
			local resolver = assert(dns.new { servers = { server.address }, trust_file = trust_file })
			local results, functions = {}, {}
			for index, question in ipairs(questions) do
				functions[index] = function ()
					local result, kind, message = resolver:lookup(question[1], question[2],
						tasks.now() + (options.seconds or 30))
					results[index] = result or { kind = kind, message = message }
				end
			end
			tasks.all(functions)
			resolver:close()
			server.stop()
			return results, server
		end)
	end

	local function lookup(zones, name, type_name, options)
		local results, server = lookups(zones, { { name, type_name } }, options)
		return results[1], server
	end

	local A, SRV = name_server.a, name_server.srv

	it("returns addresses", function ()
		local results = lookups({ ["a.example"] = {
			A = { A "192.0.2.1" },
			AAAA = { "\32\1\13\184" .. ("\0"):rep(8) .. "\0\1\0\2", },
		} }, { { "a.example", "A" }, { "A.Example", "AAAA" }, { "b.example", "A" }, { "a.example", "SRV" } })
		assert.same({ "192.0.2.1" }, results[1].records)
		assert.same({ "2001:db8::1:2" }, results[2].records)
		assert.same({ {}, false }, { results[3].records, results[3].exists })
		assert.same({ {}, true }, { results[4].records, results[4].exists })
	end)

	for text, bytes in pairs {
		["::"] = ("\0"):rep(16), ["::1"] = ("\0"):rep(15) .. "\1", ["1:2:3:4:5:6:7:8"] = "\0\1\0\2\0\3\0\4\0\5\0\6\0\7\0\8",
		["1:0:2::"] = "\0\1\0\0\0\2" .. ("\0"):rep(10), ["1:0:2:0:3:0:4:0"] = "\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0",
		["ffff:0:0:1::"] = "\255\255\0\0\0\0\0\1" .. ("\0"):rep(8),
	} do
		it("writes IPv6 short: rfc5952.4.short-form: " .. text, function ()
			assert.same({ text }, lookup({ ["a.example"] = { AAAA = { bytes } } }, "a.example", "AAAA").records)
		end)
	end

	it("returns SRV records", function ()
		local result = lookup({ ["_x._tcp.example"] = { SRV = { SRV(1, 2, 5222, "Xmpp.Example"), SRV(0, 0, 0, "") } } },
			"_x._tcp.example", "SRV")
		table.sort(result.records, function (a, b) return a.port < b.port end)
		assert.same({ { priority = 0, weight = 0, port = 0, target = "" },
			{ priority = 1, weight = 2, port = 5222, target = "xmpp.example" } }, result.records)
		assert.equal("1 2 5222 xmpp.example", dns.record_text("SRV", result.records[2]))
		assert.equal("0 0 0 .", dns.record_text("SRV", result.records[1]))
	end)

	it("returns the bytes of TLSA and CAA records", function ()
		local results = lookups({ ["a.example"] = { TLSA = { "\3\1\1ab" }, CAA = { "\0\5issueca" } } },
			{ { "a.example", "TLSA" }, { "a.example", "CAA" } })
		assert.same({ { "\3\1\1ab" }, { "\0\5issueca" } }, { results[1].records, results[2].records })
		assert.equal("0301016162", dns.record_text("TLSA", results[1].records[1]))
	end)

	it("leaves out records that are malformed, have targets that are no host names, or are too many", function ()
		local many = {}
		for index = 1, 40 do
			many[index] = A("192.0.2." .. index)
		end
		local results = lookups({
			["a.example"] = { SRV = { SRV(1, 2, 3, "a b"), SRV(1, 2, 3, "a\27[2J"), SRV(1, 2, 3, "b.example") } },
			["b.example"] = { A = many },
		}, { { "a.example", "SRV" }, { "b.example", "A" } })
		assert.same({ 1, 2 }, { #results[1].records, results[1].left_out })
		assert.equal("b.example", results[1].records[1].target)
		assert.same({ 32, 8 }, { #results[2].records, results[2].left_out })
	end)

	describe("with DNSSEC", function ()
		local zones = {
			["good.example"] = { A = { A "192.0.2.1" } }, ["none.example"] = { A = { A "192.0.2.2" }, unsigned = true },
			["forged.example"] = { A = { A "192.0.2.3" }, forged = true }, ["a.other"] = { A = { A "192.0.2.4" } },
			example = {},
		}
		for name, expected in pairs {
			["good.example"] = { "secure", "192.0.2.1" }, ["none.example"] = { "bogus", "192.0.2.2" },
			["forged.example"] = { "bogus", "192.0.2.3" }, ["a.other"] = { "insecure", "192.0.2.4" },
		} do
			it("is " .. expected[1] .. " for " .. name, function ()
				local result = lookup(zones, name, "A", { signed = "example", trust = true })
				assert.same(expected, { result.dnssec, result.records[1] })
				assert.equal(expected[1] == "bogus", result.reason ~= nil)
			end)
		end

		it("is unknown without a trust anchor", function ()
			local files = dns.trust_files
			dns.trust_files = {}
			local result = lookup(zones, "good.example", "A", { signed = "example" })
			dns.trust_files = files
			assert.same({ "unknown", "192.0.2.1" }, { result.dnssec, result.records[1] })
		end)

		it("says which file of trust anchors cannot be read", function ()
			assert.same({ nil, "the file of trust anchors, /none, cannot be read" }, { dns.new { trust_file = "/none" } })
		end)
	end)

	describe("from a name server that", function ()
		local zones = { ["a.example"] = { A = { A "192.0.2.1" } } }
		local function spoilt(spoil)
			local began = tasks.now()
			local result, server = lookup(zones, "a.example", "A", { spoil = spoil, seconds = 1 })
			assert.is_true(tasks.now() - began < 30)
			assert.is_true(#server.asked > 0)
			return result
		end

		for what, spoil in pairs {
			["says nothing"] = function () end,
			["sends garbage"] = function () return ("\255"):rep(500) end,
			["sends half of the answer"] = function (reply) return reply:sub(1, math.floor(#reply / 2)) end,
			["answers with another number"] = function (reply) return "\0\0" .. reply:sub(3) end,
			["answers another question"] = function (reply) return (reply:gsub("\1a\7example", "\1b\7example")) end,
			["sends back the question"] = function (_, query) return query end,
		} do
			it(what .. ", fails in time", function ()
				local result = spoilt(spoil)
				assert.is_nil(result.records)
				assert.truthy(result.kind == "timeout" or result.kind == "failed", result.kind)
				assert.is_string(result.message)
			end)
		end

		for code, message in pairs { [2] = "server failure", [5] = "refused", [9] = "code" } do
			it(("answers with code %d, fails"):format(code), function ()
				local result = lookup({ ["a.example"] = { code } }, "a.example", "A", { seconds = 20 })
				assert.equal("failed", result.kind)
				-- libunbound makes a server failure of all of them.
				assert.truthy(result.message:find(message, 1, true) or result.message:find("server failure", 1, true))
			end)
		end
	end)

	it("refuses names that DNS cannot have", function ()
		local result = lookup({}, ("a"):rep(64) .. ".example", "A")
		assert.same({ "failed", "syntax error" }, { result.kind, result.message })
	end)
end)
