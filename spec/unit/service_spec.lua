-- The objects of one load of the module, together.
local adapter = require "support.adapter"
local core = require "xmpp_tls_policy.core"
local service = require "xmpp_tls_policy.service"

describe("the service", function ()
	local new_store = core.session_store.new

	after_each(function ()
		core.session_store.new = new_store
	end)

	-- As in a process that may lock `limit` MiB in all.
	local function limit_memory(limit)
		core.session_store.new = function (options)
			local store = new_store(options)
			return setmetatable({
				stats = function ()
					local stats = store:stats()
					stats.locked, stats.lock_limit = options.memory <= limit, limit * 2 ^ 20
					return stats
				end,
			}, { __index = function (_, name)
				return function (_, ...)
					return store[name](store, ...)
				end
			end })
		end
	end

	local function warnings(server)
		local found = {}
		for _, line in ipairs(server.lines) do
			if line[2] == "warn" and line[3]:find("locked", 1, true) then
				found[#found + 1] = line[3]
			end
		end
		return found
	end

	it("warns once of a session store that is not locked", function ()
		limit_memory(8)
		local server = adapter.new()
		server.options["*"] = { resumption = { memory = 16 } }
		local first = service.new(server)
		first:load_policies()
		local expected = "The memory of resumable sessions (16 MiB) is not locked, because this process may lock 8 MiB in "
			.. "all: their secrets may get into swap. Raise LimitMEMLOCK of the service, as doc/systemd/xmpp-tls-policy.conf "
			.. "does, or set resumption.memory lower"
		assert.same({ expected }, warnings(server))
		first:load_policies()
		local second = service.new(server, first)
		second:load_policies()
		assert.same({ expected }, warnings(server))
		server.options["*"] = { resumption = { memory = 17 } }
		second:load_policies()
		assert.equal(2, #warnings(server))
	end)

	it("counts refusals and exceptions for the digest, from load to load", function ()
		local server = adapter.new { certificate_source = function () end, own_context = function () end }
		server.options["*"], server.options["a.test"] = {}, {}
		local kept
		for count = 1, 3 do
			kept = service.new(server, kept)
			kept:load_policies()
			kept.policies:load_host "a.test"
			kept._refusals:add { role = "s2sin", host = "a.test", domain = "far.test", clauses = {} }
			assert.equal(count, kept.digests:of("a.test").refused.servers)
			assert.equal(count, kept.refused_peers:list()[1].count)
		end
	end)

	it("warns of no store that is locked, such as the default one in a service of systemd", function ()
		limit_memory(8)
		local server = adapter.new()
		local made = service.new(server)
		made:load_policies()
		assert.same({}, warnings(server))
		server.options["*"] = { resumption = { enabled = false } }
		made:load_policies()
		assert.same({}, warnings(server))
	end)
end)
