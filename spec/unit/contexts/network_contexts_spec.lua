local adapter = require "support.adapter"
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local pki = require "support.pki"
local server_contexts = require "support.server_contexts"
local ssl = require "ssl"
local tls_contexts = require "xmpp_tls_policy.contexts.tls_contexts"

local lowest = server_contexts.lowest_version

describe("direct TLS for the clients of networks", function ()
	local files, server, found, adopted, contexts, listener, told, oldest
	local set, time = core.network_contexts.set, os.time
	-- Midnight may come during a spec.
	local now = time()

	setup(function ()
		files = pki.authority():issue { names = { "a.test" }, key = "p256" }
	end)

	teardown(pki.remove)

	local function luasec()
		return server_contexts.loose(files)
	end

	local function exception(days)
		return { level = "must", expires = date.of(now + (days or 90) * date.DAY), reason = "old" }
	end

	local function ends_of(days)
		return date.ends(date.of(now + (days or 90) * date.DAY))
	end

	before_each(function ()
		-- As the core is told it: { groups, name -> number of a group -> lowest version of its context }.
		told = {}
		core.network_contexts.set = function (context, groups, names)
			local noted = groups and {}
			for name, list in pairs(names or {}) do
				noted[name] = {}
				for number, substitute in pairs(list) do
					noted[name][number] = substitute:settings().minimum_version
				end
			end
			told[#told + 1] = { groups, noted }
			return set(context, groups, names)
		end
		listener = {
			context = luasec(), role = "c2s", service = "c2s_direct_tls", option = "c2s_direct_tls_ssl",
			names = { ["a.test"] = luasec(), ["b.test"] = luasec(), ["report.test"] = luasec() }, like = luasec,
		}
		server = adapter.new { direct_tls_contexts = function () return { listener } end }
		server.options = {
			["*"] = { exceptions = { ["192.0.2.0/24"] = exception(), ["old.test"] = exception() } },
			["a.test"] = { exceptions = { ["198.51.100.7/32"] = exception(), ["2001:db8::/32"] = exception() } },
			["report.test"] = { mode = "report" },
		}
		found, adopted, contexts = server_contexts.under_policies(server, { "a.test", "b.test", "report.test" })
		oldest = lowest(luasec())
	end)

	after_each(function ()
		core.network_contexts.set = set
		rawset(os, "time", time)
		adopted:release()
	end)

	local function load(options)
		for host, of_host in pairs(options) do
			server.options[host] = of_host
		end
		found:load()
		contexts:configuration_loaded()
		contexts:search()
	end

	-- The networks of each name, as the core was told last: name -> list of "bytes/prefix end", sorted.
	local function networks()
		local groups, names, list = told[#told][1], told[#told][2], {}
		for name, substitutes in pairs(names) do
			list[name] = {}
			for number, version in pairs(substitutes) do
				assert.equal(oldest, version)
				for _, network in ipairs(groups[number]) do
					table.insert(list[name], ("%d/%d %d"):format(#network[1], network[2], network[3]))
				end
			end
			table.sort(list[name])
		end
		return list
	end

	local of_all = { ("4/24 %d"):format(ends_of()) }
	local of_a = { ("16/32 %d"):format(ends_of()), ("4/32 %d"):format(ends_of()) }

	it("has a context for each name, and the exceptions of its host", function ()
		contexts:search()
		assert.same({ [""] = of_all, ["a.test"] = of_a, ["b.test"] = of_all, ["report.test"] = {} }, networks())
		for _, context in ipairs { listener.context, listener.names["a.test"], listener.names["b.test"] } do
			assert.equal("TLSv1.2", lowest(context))
		end
		assert.equal(oldest, lowest(listener.names["report.test"]))
	end)

	it("says nothing again that the core knows", function ()
		contexts:search()
		contexts:search()
		load {}
		assert.equal(1, #told)
	end)

	-- rfc6066.3.name-in-a-labels
	it("has the A-labels of an internationalised host", function ()
		listener.names["b\195\188cher.test"] = luasec()
		contexts:search()
		assert.same(of_all, networks()["xn--bcher-kva.test"])
	end)

	it("follows the configuration", function ()
		contexts:search()
		load { ["a.test"] = {} }
		assert.same({ [""] = of_all, ["a.test"] = of_all, ["b.test"] = of_all, ["report.test"] = {} }, networks())
		load { ["*"] = {}, ["a.test"] = { exceptions = { ["198.51.100.7/32"] = exception(30) } } }
		assert.same({ [""] = {}, ["a.test"] = { ("4/32 %d"):format(ends_of(30)) }, ["b.test"] = {}, ["report.test"] = {} },
			networks())
		load { ["a.test"] = {} }
		assert.same({ [""] = {}, ["a.test"] = {}, ["b.test"] = {}, ["report.test"] = {} }, networks())
	end)

	it("leaves no context mild that no exception asks for", function ()
		contexts:search()
		local mild = {}
		for context, entry in adopted:entries() do
			mild[#mild + 1] = entry.policy.networks and context or nil
		end
		assert.equal(3, #mild)
		load { ["*"] = {}, ["a.test"] = {} }
		for _, context in ipairs(mild) do
			assert.equal("TLSv1.2", lowest(context))
			assert.is_false(contexts:serves_networks(context))
		end
	end)

	it("leaves exceptions out when they end, and the others stay", function ()
		load { ["*"] = { exceptions = { ["192.0.2.0/24"] = exception(10), ["203.0.113.0/24"] = exception(30) } } }
		assert.equal(2, #networks()[""])
		for days, expected in pairs { [9] = 2, [12] = 1, [40] = 0 } do
			rawset(os, "time", function (...)
				return time(...) + (... and 0 or days * date.DAY)
			end)
			contexts:exceptions_ended()
			assert.equal(expected, #networks()[""])
		end
	end)

	it("is for connections that began with an older context, too", function ()
		contexts:search()
		local older = listener.context
		listener.context, told = luasec(), {}
		contexts:search()
		assert.equal(2, #told)
		assert.same(told[1][2], told[2][2])
		load { ["*"] = {}, ["a.test"] = {} }
		assert.equal(4, #told)
		for index = 3, 4 do
			assert.same({ [""] = {}, ["a.test"] = {}, ["b.test"] = {}, ["report.test"] = {} }, told[index][2])
		end
		assert.truthy(adopted:get(older))
		load { ["*"] = { exceptions = { ["192.0.2.0/24"] = exception() } } }
		listener.port = 5223
		told = {}
		contexts:search()
		assert.same({}, told[#told][2])
	end)

	it("is strict where the server has no other context", function ()
		for message, like in pairs {
			["no such file"] = function () return nil, "no such file" end,
			["the server gave the context of all others again"] = function (name)
				return name and listener.names[name] or listener.context
			end,
		} do
			listener.context = luasec()
			for name in pairs(listener.names) do
				listener.names[name] = luasec()
			end
			listener.like = like
			server.lines = {}
			contexts:search()
			contexts:search()
			assert.same({ [""] = {}, ["a.test"] = {}, ["b.test"] = {}, ["report.test"] = {} }, networks())
			assert.equal("TLSv1.2", lowest(listener.context))
			local count = 0
			for _, line in ipairs(server.take_lines()) do
				count = count + (line:find("have no effect on direct TLS (c2s_direct_tls), because there is no context for them: "
					.. message, 1, true) and 1 or 0)
			end
			assert.equal(3, count)
		end
	end)

	it("is strict where the listener's context has no TLS, and for servers", function ()
		listener.context = assert(ssl.newcontext { mode = "server", protocol = "tlsv1_1", certificate = files.certificate,
			key = files.key })
		contexts:search()
		assert.same({}, networks()[""])
		listener.role, listener.context = "s2sin", luasec()
		told = {}
		contexts:search()
		-- The context of before may not have been collected.
		for _, said in ipairs(told) do
			assert.same({}, said[2])
		end
	end)

	-- Lua finalises a userdata, and has it as a weak key for one more cycle of its collector.
	it("says nothing of a listener's context that the server has dropped", function ()
		local before = listener.context
		contexts:search()
		listener.context = luasec()
		getmetatable(before).__gc(before)
		contexts:search()
		server.run_timers()
		assert.is_nil(table.concat(server.take_lines(), "\n"):find("no effect", 1, true))
		assert.same(of_all, networks()[""])
		assert.same({ listener.context }, adopted:with_networks())
	end)

	it("ends with its host", function ()
		contexts:search()
		found:remove "b.test"
		contexts:give_back "b.test"
		assert.same({}, networks()["b.test"])
		assert.same(of_a, networks()["a.test"])
	end)

	it("ends when all contexts are given back", function ()
		contexts:search()
		contexts:give_back()
		for context in adopted:entries() do
			assert.is_nil(context)
		end
		assert.equal(oldest, lowest(listener.context))
	end)

	it("keeps its contexts as long as the listener's, also over a reload of the module", function ()
		contexts:search()
		server.run_timers()
		local watched, count = setmetatable({}, { __mode = "k" }), 0
		for context, entry in adopted:entries() do
			watched[context] = entry.policy.networks and true or nil
		end
		adopted:keep {}
		contexts = nil
		collectgarbage()
		collectgarbage()
		for _ in pairs(watched) do
			count = count + 1
		end
		assert.equal(3, count)
		contexts = tls_contexts.new { server = server, policies = found, adopted = adopted }
		contexts:search()
		adopted:keep {}
		collectgarbage()
		collectgarbage()
		assert.is_nil(next(watched))
	end)
end)
