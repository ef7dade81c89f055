local audit = require "xmpp_tls_policy.audit.audit"
local client_hello = require "xmpp_tls_policy.audit.client_hello"
local observations = require "xmpp_tls_policy.audit.observations"
local probes = require "xmpp_tls_policy.audit.probes"
local process = require "support.process"
local question = require "xmpp_tls_policy.audit.question"
local scripted = require "support.scripted_server"
local tasks = require "xmpp_tls_policy.audit.tasks"

-- The end of a wait that begins now.
local function soon()
	return tasks.now() + process.PATIENCE
end

-- A probe like the first one, which connects and finds that STARTTLS is offered, or not.
local function first(offered)
	return { name = "first", run = function (point, observed)
		assert(point:connect()):close()
		observed["starttls.offered"] = offered == nil and observations.untested "stream_error: host-unknown"
			or observations.made(offered, "said")
	end }
end

-- What audit.run returns for domains whose endpoints are at these ports.
local function run(serve, list, options)
	return scripted.run(serve or scripted.drain, function (port, server)
		local all = {
			probes = list,
			discover = function (domain)
				return { dns = { "records" }, endpoints = { { domain = domain, service = "c2s", host = "host",
					address = "127.0.0.1", port = options and options.port or port, timeout = 10,
					direct = options and options.direct } } }
			end,
		}
		for name, value in pairs(options or {}) do
			all[name] = value
		end
		return audit.run(options and options.domains or { "a.test" }, all), server
	end)
end

describe("an audit", function ()
	it("runs all probes side by side, each after those that it needs", function ()
		local order = {}
		local function probe(name, after)
			return { name = name, after = after, run = function ()
				order[#order + 1] = "begin " .. name
				tasks.sleep(name == "slow" and 0.05 or 0.001)
				order[#order + 1] = "end " .. name
			end }
		end
		run(nil, { first(true), probe("waits", { "slow", "quick" }), probe "slow", probe "quick" })
		assert.same({ "begin slow", "begin quick", "end quick", "end slow", "begin waits", "end waits" }, order)
	end)

	it("has the results of an endpoint, and its records", function ()
		local result = run(nil, { first(true), { name = "other", run = function (point, observed)
			point.certificate = { sha256 = "00" }
			observed.alpn = observations.made(false, "none")
		end } })[1]
		assert.same({ "a.test", { "records" } }, { result.domain, result.dns })
		local endpoint = result.endpoints[1]
		assert.same({ "c2s", false, "host", "127.0.0.1", 1, true, nil, "00", false }, { endpoint.service, endpoint.direct,
			endpoint.host, endpoint.address, endpoint.connections, endpoint.reached, endpoint.reason,
			endpoint.certificate.sha256, endpoint.observations.alpn.seen })
		assert.is_true(endpoint.seconds >= 0 and endpoint.seconds < 60)
	end)

	for reason, case in pairs {
		["STARTTLS is not offered"] = { false }, ["stream_error: host-unknown"] = {},
	} do
		it("tests nothing more after: " .. reason, function ()
			local ran = false
			local endpoint = run(nil, { first(case[1]), { name = "other", run = function () ran = true end } })[1].endpoints[1]
			assert.same({ false, true, reason }, { ran, endpoint.reached, endpoint.reason })
		end)
	end

	-- The result of an endpoint that closes two hellos which offer one suite. `control`: whether it also closes the hello
	-- with many that follows the second one.
	local function closing(control)
		local closed = 0
		local function serve(connection, number)
			-- The first hello of an audit is not answered here.
			local bytes = number > 1 and connection:read(soon())
			local hello = bytes and client_hello.parse(bytes)
			if hello and #hello.suites == 1 then
				closed = closed + 1
			elseif hello and not (control and closed == 2) then
				connection:write("\21\3\3\0\2\2\40", soon())
			end
		end
		local first_probe = { name = "first", run = function () end }
		local result = run(serve, { first_probe, { name = "asks", run = function (point, observed)
			for _, name in ipairs { "version.TLSv1", "suites.rc4" } do
				local answer, reason = question.ask(point, { suites = { "TLS_RSA_WITH_AES_128_CBC_SHA" } })
				observed[name] = answer and observations.made(question.is_accepted(answer), "asked")
					or observations.untested(reason)
			end
			observed["version.TLSv1.2"] = observations.made(true, "accepted")
			observed["suites.complete"] = observations.made(true, "all others are refused")
			observed["extended_master_secret"] = observations.made(false, "the ServerHello does not have it")
		end } }, { direct = true })
		return result[1].endpoints[1]
	end

	it("concludes nothing from closed connections where they are closed whatever is offered", function ()
		for _, control in ipairs { false, true } do
			local endpoint, seen = closing(control), {}
			endpoint.observations["certificate.same"] = nil
			for name, observation in pairs(endpoint.observations) do
				seen[name] = tostring(observation.seen)
			end
			assert.same(control and {
				["version.TLSv1"] = "nil", ["suites.rc4"] = "nil", ["version.TLSv1.2"] = "true", ["suites.complete"] = "nil",
				extended_master_secret = "false",
			} or {
				["version.TLSv1"] = "false", ["suites.rc4"] = "false", ["version.TLSv1.2"] = "true",
				["suites.complete"] = "true", extended_master_secret = "false",
			}, seen)
			assert.equal(control and "the server closes connections whatever is offered, so that its refusals cannot be told"
				or nil, endpoint.reason)
		end
	end)

	it("says that an endpoint was not reached", function ()
		local free = scripted.run(scripted.drain, function (port) return port end)
		for _, direct in ipairs { false, true } do
			local endpoint = run(nil, probes, { discover = function (domain)
				return { endpoints = { { domain = domain, service = "s2s", host = "host", address = "127.0.0.1", port = free,
					direct = direct } } }
			end })[1].endpoints[1]
			assert.is_false(endpoint.reached)
			assert.matches("^refused: ", endpoint.reason)
			assert.equal(1, endpoint.connections)
		end
	end)

	for address, hint in pairs { ["2001:db8::1"] = "; if this machine has no IPv6, use --ipv4", ["192.0.2.1"] = "" } do
		it("says what to do where " .. address .. " is unreachable", function ()
			local unreachable = { name = "first", run = function (_, observed)
				observed["starttls.offered"] = observations.untested "unreachable: no route"
			end }
			local endpoint = run(nil, { unreachable }, { discover = function (domain)
				return { endpoints = { { domain = domain, service = "s2s", host = "host", address = address, port = 5269 } } }
			end })[1].endpoints[1]
			assert.same({ false, "unreachable: no route" .. hint }, { endpoint.reached, endpoint.reason })
		end)
	end

	it("has the look-ups that failed", function ()
		local failed = { "SRV of _xmpp-server._tcp.a.test" }
		local result = run(nil, {}, { discover = function ()
			return { endpoints = {}, failed_lookups = failed }
		end })[1]
		assert.same(failed, result.failed_lookups)
	end)

	it("says how the server limits connections", function ()
		local endpoint = run(function (connection, number)
			if number ~= 2 then
				scripted.agree(connection, scripted.starttls)
				scripted.drain(connection)
			end
		end, { { name = "first", run = function (point, observed)
			assert(point:open()):close()
			observed["starttls.offered"] = observations.made(true, "said")
		end }, { name = "other", run = function (point)
			assert(point:open()):close()
		end } })[1].endpoints[1]
		assert.matches("^the server limits connections", endpoint.reason)
	end)

	it("goes on after a fault of ours, and says so", function ()
		for where, fail in pairs {
			["in a probe"] = function () error "of ours" end,
			["in a task of a probe"] = function ()
				tasks.all { function () tasks.sleep(0.001) end, function () tasks.sleep(0.001) error "of ours" end }
			end,
		} do
			local results = run(nil, { first(true), { name = "bad", run = fail }, { name = "good", after = { "bad" },
				run = function (_, observed) observed.alpn = observations.made(false, "none") end } },
				{ domains = { "a.test", "b.test" } })
			for _, result in ipairs(results) do
				local endpoint = result.endpoints[1]
				assert.matches("^a fault of this program: the probe bad failed: .*of ours$", endpoint.reason, nil, nil, where)
				assert.matches("stack traceback", endpoint.faults[1])
				assert.is_false(endpoint.observations.alpn.seen)
			end
		end
	end)

	it("has at most so many domains, and so many connections, at a time", function ()
		local now, most = 0, 0
		local domains = {}
		for index = 1, 10 do
			domains[index] = ("d%d.test"):format(index)
		end
		local results, server = run(nil, { first(true), { name = "other", run = function (point)
			now = now + 1
			most = math.max(most, now)
			local functions = {}
			for index = 1, 6 do
				functions[index] = function ()
					local connection = assert(point:connect())
					tasks.sleep(0.001)
					connection:close()
				end
			end
			tasks.all(functions)
			now = now - 1
		end } }, { domains = domains, jobs = 3, connections = 2 })
		assert.equal(3, most)
		-- The server may see the end of a connection after the beginning of the next.
		assert.is_true(server.most_open <= 4, server.most_open)
		for index, result in ipairs(results) do
			assert.equal(domains[index], result.domain)
		end
	end)

	it("closes what a probe left open, so that no place is lost", function ()
		local results = run(nil, { first(true), { name = "other", run = function (point)
			assert(point:connect())
		end } }, { domains = { "a.test", "b.test", "c.test" }, connections = 1, jobs = 1 })
		assert.equal(3, #results)
	end)

	it("compares the certificates of the endpoints that were reached", function ()
		local free = scripted.run(scripted.drain, function (port) return port end)
		local digests = {}
		local function same(first_digest, second_digest)
			digests[5222], digests[5269] = first_digest, second_digest
			return scripted.run(scripted.drain, function (port)
				local result = audit.run({ "a.test" }, {
					probes = { first(true), { name = "other", run = function (point)
						point.certificate = { sha256 = digests[point.service == "c2s" and 5222 or 5269] }
					end } },
					discover = function (domain)
						local list = {}
						for index, fields in ipairs { { "c2s", port }, { "s2s", port }, { "s2s", free } } do
							list[index] = { domain = domain, service = fields[1], host = "host", address = "127.0.0.1",
								port = fields[2], direct = index == 3 }
						end
						return { endpoints = list }
					end,
				})[1]
				return result.endpoints[1].observations["certificate.same"],
					result.endpoints[3].observations["certificate.same"]
			end)
		end
		local made, of_unreached = same("aa", "aa")
		assert.is_true(made.seen)
		assert.is_nil(of_unreached)
		made = same("aa", "bb")
		assert.is_false(made.seen)
		made = same("aa", nil)
		assert.is_nil(made.seen)
	end)

	it("asks one server at a time to call back, at an endpoint for servers that was reached", function ()
		local now, most, asked = 0, 0, {}
		local results = scripted.run(scripted.drain, function (port)
			return audit.run({ "a.test", "b.test", "c.test" }, {
				probes = { first(true) },
				discover = function (domain)
					local list = {}
					for index, service in ipairs(domain == "c.test" and { "c2s" } or { "c2s", "s2s", "s2s" }) do
						list[index] = { domain = domain, service = service, host = "host", address = "127.0.0.1", port = port,
							timeout = 10 }
					end
					return { endpoints = list }
				end,
				endpoint = { from = "our.test" },
				callback = function (point)
					now = now + 1
					most = math.max(most, now)
					asked[#asked + 1] = ("%s %s %s"):format(point.service, point.domain, point.from)
					tasks.sleep(0.01)
					now = now - 1
					return { ["client.calls_back"] = observations.made(true, "it did") }
				end,
			})
		end)
		table.sort(asked)
		assert.same({ 1, { "s2s a.test our.test", "s2s b.test our.test" } }, { most, asked })
		assert.is_true(results[1].client.observations["client.calls_back"].seen)
		assert.is_nil(results[3].client)
	end)

	it("reports its progress", function ()
		local events = {}
		run(nil, { first(true), { name = "other", run = function () end } }, { progress = {
			begins = function (domain, count) events[#events + 1] = ("begins %s %d"):format(domain, count) end,
			probed = function (point, probe) events[#events + 1] = ("%s %s"):format(point.domain, probe.name) end,
			ends = function (result) events[#events + 1] = "ends " .. result.domain end,
		} })
		assert.same({ "begins a.test 1", "a.test first", "a.test other", "ends a.test" }, events)
	end)
end)

describe("the probes", function ()
	it("have names of their own, and need only others that there are", function ()
		local names = {}
		for _, probe in ipairs(probes) do
			assert.is_nil(names[probe.name], probe.name)
			names[probe.name] = true
		end
		for index, probe in ipairs(probes) do
			assert.is_function(probe.run)
			for _, name in ipairs(probe.after or {}) do
				assert.is_true(names[name], name)
				assert.is_true(index > 1)
			end
		end
	end)
end)
